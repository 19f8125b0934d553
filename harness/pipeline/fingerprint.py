"""What decides a result, as plain JSON: hashes of it name run directories and find what is kept.

Answers, grades and training have parts of their own. A changed grader leaves the answers' part as it was, so kept
answers are graded again and nothing is generated. Each part has a core that does not know the questions: two
evaluations with the same core share the answers to the questions that both ask, and two recipes that train the same
thing share the trained policy, whatever else they ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from harness.gate.health import limits
from harness.recipe import DataSection, EngineSection, EvaluateSection, Recipe
from harness.recipe.launching import argument_files
from harness.recipe.schema import data_sampling, given_file
from harness.recipe.trl_arguments import deciding
from harness.rewards.score import grader_versions
from harness.store.manifest import versions
from harness.store.records import SamplingParams
from harness.store.run_directory import digest
from harness.store.run_files import Identity
from harness.store.versions import DRAWS, ENGINES, PROMPT, SCORING, TASKS
from harness.tasks import Question, Questions, kind_of
from harness.training.examples import read_examples

if TYPE_CHECKING:
    from harness.models.engines.chat_server import Served  # which brings an HTTP client

# Decoding settings that two evaluations must share to be compared; one may be asked more often, or with another seed.
COMPARED = ("max_new_tokens", "temperature", "top_p", "top_k")


@dataclass(frozen=True, slots=True)
class Keys:
    """Content hashes: ``generation`` of all that decides the answers, ``grading`` of all that decides their grades.

    ``answer`` and ``grader`` are of their cores: answers to the same question and prompt, with the same ``sample`` and
    ``answer``, are the same; so are grades of the same answer and ground truth with the same ``grader``, which knows
    all columns that the reward functions take. Without them
    (``""``) only whole evaluations are found again.
    """

    generation: str
    grading: str
    answer: str = ""
    grader: str = ""

    @classmethod
    def of(cls, generation: Mapping[str, Any], grading: Mapping[str, Any]) -> Keys:
        """The keys of a :func:`generation_identity` and a :func:`grading_identity`."""
        answer = {key: value for key, value in generation.items() if key not in ("questions", "prompts")}
        decoding = generation["decoding"].items()
        answer["decoding"] = {key: value for key, value in decoding if key != "samples_per_question"}
        grader = {key: value for key, value in grading.items() if key != "ground_truths"}
        return cls(digest(generation), digest(grading), digest(answer), digest(grader))


def run_identity(
    recipe: str, generation: dict[str, Any], grading: dict[str, Any], training: dict[str, Any]
) -> Identity:
    """Everything that decides the result of a run. Recipes of different names are different runs."""
    decided = {"format": 1, "generation": generation, "grading": grading, "training": training}
    return cast(Identity, {"key": digest([recipe, decided]), **decided})


def decides(key: str, recipe: Recipe) -> bool:
    """Whether a dotted key of a recipe has a say in the result: what only asks, watches, logs or saves has none."""
    table, _, rest = key.partition(".")
    match table:
        case "description" | "requires" | "seeds" | "gate":
            return False
        case "health":
            return rest == "stop_on" or bool(recipe.health.stop_on)
        case "train":
            return bool(deciding({rest.partition(".")[0]: None}, stops=bool(recipe.health.stop_on)))
        case "evaluate" if recipe.evaluate.every_steps is None:
            return rest not in ("batch_size", "during_questions", "keep_best")
    return key not in ("evaluate.batch_size", "launch.max_restarts", "launch.command")


def generation_identity(
    model: dict[str, str],
    questions: Sequence[Question],
    decoding: SamplingParams,
    engine: EngineSection,
    *,
    device: str,
    dtype: str,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What decides the answers of one policy; ``model`` is its fingerprint (content, not name)."""
    return {
        "model": model,
        **questions_identity(questions, decoding, chat_template_kwargs),
        "engine": engine_identity(engine),
        "device": device,
        "dtype": dtype,
    }


def questions_identity(
    questions: Sequence[Question], decoding: SamplingParams, chat_template_kwargs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What was asked, and how."""
    return {
        **({"chat_template_kwargs": dict(chat_template_kwargs)} if chat_template_kwargs else {}),
        "questions": digest([[each.id, each.text] for each in questions]),
        "prompts": digest([each.prompt for each in questions]),
        "prompt": PROMPT,
        "decoding": effective_decoding(decoding),
    }


def served_generation(
    served: Served, recipe: Recipe, questions: Sequence[Question], decoding: SamplingParams
) -> dict[str, Any]:
    """What decides a served model's answers, as :func:`generation_identity` says it of one here.

    The address and the server's word stand for the weights, which nobody here can see; not ``created``: some servers
    say the time of the question there. How fast the engine asks and how often it tries again decide nothing; what its
    requests leave out does.
    """
    word = {"endpoint": served.url, "served": served.model, "root": served.root, "owned_by": served.owned_by}
    return {
        **questions_identity(questions, decoding, recipe.model.chat_template_kwargs),
        "model": {key: value for key, value in word.items() if value is not None},
        "engine": {
            "name": "endpoint",
            "version": ENGINES["endpoint"],
            **({"omit": sorted(omitted)} if (omitted := set(recipe.engine.arguments.get("omit", ()))) else {}),
            **versions("rl-harness"),
        },
        "device": "endpoint",
        "dtype": "unknown",
    }


def engine_identity(engine: EngineSection) -> dict[str, Any]:
    """What answers, its settings, and the libraries that it computes with."""
    libraries = ["rl-harness", "transformers", "torch", *(["vllm"] if engine.name == "vllm" else [])]
    return {"name": engine.name, "version": ENGINES[engine.name], **engine.arguments, **versions(*libraries)}


def effective_decoding(decoding: SamplingParams) -> dict[str, Any]:
    """The settings that have a say: batch size never does, and greedy decoding draws nothing."""
    kept = asdict(decoding)
    del kept["batch_size"]
    if decoding.temperature == 0:
        kept = {key: kept[key] for key in ("max_new_tokens", "temperature", "samples_per_question")}
    return kept


def grading_identity(recipe: Recipe, questions: Sequence[Question]) -> dict[str, Any]:
    """What decides the grades of given answers."""
    return {
        "ground_truths": digest([[each.id, each.ground_truth] for each in questions]),
        **_columns_identity(questions),
        "rewards": list(recipe.rewards.items()),
        **({"reward_settings": settings} if (settings := recipe.rewards.settings()) else {}),
        "graders": grader_versions(recipe.rewards),
        "scoring": SCORING,
    }


def _columns_identity(questions: Sequence[Question]) -> dict[str, str]:
    """The columns of the questions' rows, where reward functions ask for any."""
    found = [[each.id, each.columns] for each in questions if each.columns]
    return {"columns": digest(found)} if found else {}


def training_dtype(dtype: str) -> str:
    """Weights are trained in full precision unless the recipe says otherwise; TRL's bf16 autocasts.

    In bf16 weights, steps of a learning rate of 5e-6 are lost to rounding.
    """
    return "float32" if dtype == "auto" else dtype


def training_identity(recipe: Recipe, questions: Questions, seed: int) -> dict[str, Any]:
    """What decides the trained policy, beyond the base model and the rewards.

    What only watches has no say; so recipes without an evaluation during training or ``stop_on`` keep their runs. So do
    those of one process, and files of TRL's keys decide by their content, not by their names.
    """
    health, method, drawn = recipe.health, recipe.train.method, recipe.engine.sampling
    chosen = limits(health.limits)
    files = {key: {"content": digest(content)} for key, content in argument_files(recipe).items()}
    return {
        "method": method,
        **({"sampling": drawn, "draws": DRAWS.get(drawn)} if method == "grpo" else {}),
        "arguments": deciding(recipe.train.arguments, stops=bool(health.stop_on)) | files,
        **({"processes": recipe.launch.processes} if recipe.launch.processes > 1 else {}),
        "task": f"{kind_of(recipe.task)} {TASKS[kind_of(recipe.task)]}",
        "questions": digest([[each.id, each.ground_truth, each.prompt] for each in questions.train]),
        **_columns_identity(questions.train),
        **({"learnable": recipe.task.learnable} if recipe.task.learnable else {}),
        "prompt": PROMPT,
        **({"chat_template_kwargs": dict(asked)} if (asked := recipe.model.chat_template_kwargs) else {}),
        **({"data": _rows_identity(recipe, recipe.data, questions, seed)} if recipe.data else {}),
        "seed": seed,
        "dtype": training_dtype(recipe.model.dtype),
        "versions": versions("rl-harness", "trl", "accelerate", *(["peft"] if recipe.lora else [])),
        **({"lora": recipe.lora.model_dump()} if recipe.lora else {}),
        **({"during": _during_identity(recipe.evaluate, questions)} if recipe.evaluate.every_steps is not None else {}),
        **({"stop_on": {name: chosen[name] for name in sorted(health.stop_on)}} if health.stop_on else {}),
    }


def _rows_identity(recipe: Recipe, data: DataSection, questions: Questions, seed: int) -> dict[str, Any]:
    """What decides the rows of ``[data]``, beyond the base model, the training questions and the graders."""
    if (given := given_file(recipe)) is not None:
        try:  # its content decides, not its name
            return {"source": "file", "content": digest(given.read_text(encoding="utf-8-sig"))}
        except (OSError, UnicodeDecodeError):
            read_examples(given, recipe.train.method)  # says what is wrong
            raise
    if decoding := data_sampling(recipe, seed):
        # The pairs are chosen by the seed, and the grades depend on the ground truths that the training identity has.
        decided = {"decoding": effective_decoding(decoding), "per_question": data.per_question}
    else:
        decided = {"solutions": digest([each.solution for each in questions.train])}
    return {"source": data.source, **decided}


def _during_identity(during: EvaluateSection, questions: Questions) -> dict[str, Any]:
    """The evaluation during training, which may choose the policy."""
    return {
        "every_steps": during.every_steps,
        "questions": digest([[each.id, each.ground_truth, each.prompt] for each in questions.held_out]),
        **_columns_identity(questions.held_out),
        "keep_best": during.keep_best,
        "decoding": effective_decoding(during.sampling),
    }


def policy_identity(
    generation: Mapping[str, Any], grading: Mapping[str, Any], training: Mapping[str, Any], recipe: Recipe
) -> dict[str, Any]:
    """What decides a trained policy and what is told of its training, whatever it is asked before and after.

    Args:
        generation: a :func:`generation_identity` of the base; its questions and its decoding have no say.
        grading: a :func:`grading_identity`; the test questions' ground truths and columns have no say.
        training: :func:`training_identity`.
    """
    sampled = recipe.task.learnable or (recipe.data is not None and recipe.data.source == "completions")
    return {
        "base": generation["model"],
        "device": generation["device"],
        "sampled_by": {key: generation[key] for key in ("engine", "dtype")} if sampled else None,
        "libraries": versions("rl-harness", "transformers", "torch"),
        "grader": {key: value for key, value in grading.items() if key not in ("ground_truths", "columns")},
        "training": training,
        # Limits that only watch change no weight, but they decide what health.jsonl says.
        "health": limits(recipe.health.limits),
    }
