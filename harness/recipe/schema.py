"""The tables of a recipe, a class each, and all of them together.

A new table ``[word]`` is a class ``WordSection`` here and a field ``word`` of :class:`RecipeTables`; ``[task]`` is with
the tasks, ``[rewards]`` with the rewards. What keys may not say together belongs in :mod:`harness.recipe.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, InstanceOf, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.rewards import answer_form
from harness.rewards.registry import Rewards, columns_asked
from harness.store.names import as_file, as_path, is_there
from harness.store.question import Questions
from harness.store.records import SamplingParams
from harness.store.table import Positive, Share, Table
from harness.tasks.load import TaskSection, load_questions

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes


class _OpenTable(Table):
    """A table of which some keys are another's: those that the class does not know are gathered under ``rest``."""

    rest: ClassVar[str] = "arguments"

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        if isinstance(table.get(cls.rest), Mapping) and table.keys() <= cls.model_fields.keys():
            return table  # built in Python
        own = {key: value for key, value in table.items() if key in cls.model_fields and key != cls.rest}
        return {**own, cls.rest: {key: value for key, value in table.items() if key not in own}}


def _batch_size(given: Any) -> Any:
    if given != "auto" and not (type(given) is int and given >= 1):
        raise PydanticCustomError("batch_size", 'must be a whole number of 1 or more, or "auto"')
    return given


class ModelSection(Table):
    """``[model]``: ``"tiny"`` (embedded), a Hub id, a local folder or a ``.gguf`` file.

    ``from_recipe`` starts from what another recipe trained with the same seed instead; ``name`` may then be left out.
    ``endpoint`` is the address of an OpenAI-compatible server that answers instead; ``name`` is then the served model's
    id, and may be left out where one is served. What is served can be evaluated and not trained.
    ``chat_template_kwargs`` is handed to the chat template in every stage, by every engine.
    """

    from_recipe: str | None = None
    endpoint: str | None = None
    name: str = Field(default="", validate_default=True)
    revision: str = "main"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    chat_template_kwargs: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _say_which(cls, name: str, info: ValidationInfo) -> str:
        if not name and info.data.get("from_recipe") is None and info.data.get("endpoint") is None:
            raise PydanticCustomError("missing", "no model is named")
        return name


class TrainSection(_OpenTable):
    """``[train]``: the method; every other key goes to TRL's config of that method unchanged."""

    method: Literal["grpo", "sft", "dpo"] = "grpo"
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class DataSection(Table):
    """``[data]``: what SFT and DPO learn from.

    ``source`` is ``"completions"`` (the policy's own graded answers to the training questions), ``"solutions"`` (the
    task's worked ones, SFT only) or the path of a ``.jsonl`` file; see :mod:`harness.training.examples`. All other keys
    are about completions: the answers sampled a question, at most ``per_question`` examples (SFT: different correct
    answers; DPO: pairs of a correct and a wrong one) made of them, and how they are sampled. ``max_new_tokens`` is
    that of ``[evaluate]`` unless given.
    """

    source: str = "completions"
    samples_per_question: Positive = 8
    per_question: Positive = 4
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Positive | None = None


class LoraSection(Table):
    """``[lora]``: train low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft instead of all weights.

    ``alpha / r`` scales the adapter. ``target_modules`` is ``"all-linear"`` (all but the output layer) or a list of
    module names. ``merge`` saves the final policy as plain weights; without it, as an adapter beside its base's name.
    """

    r: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[
        list[str], Field(min_length=1), BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
    ] = Field(default=["all-linear"])
    merge: bool = True


class EvaluateSection(Table):
    """``[evaluate]``: how answers are sampled (``SamplingParams``), and what is asked during training."""

    max_new_tokens: Positive = 512
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    samples_per_question: Positive = 1
    seed: int = 0
    batch_size: Annotated[int | str, BeforeValidator(_batch_size)] = "auto"
    # During training: see harness.training.held_out.
    every_steps: Positive | None = None
    during_questions: Positive = 64
    keep_best: bool = False

    @property
    def sampling(self) -> SamplingParams:
        """What engines are told of it."""
        return SamplingParams(**self.model_dump(exclude={"every_steps", "during_questions", "keep_best"}))


class EngineSection(_OpenTable):
    """``[engine]``: what answers questions; see :mod:`harness.models.engines`. Every other key goes to that engine.

    ``sampling`` is who samples in GRPO: ``"shared"`` computes a group's prompt once, as the default engine does
    (:mod:`harness.training.rollout`); ``"trl"`` leaves it to the trainer.
    """

    name: Literal["transformers", "vllm"] = "transformers"
    sampling: Literal["shared", "trl"] = "shared"
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class HealthSection(_OpenTable):
    """``[health]``: see :mod:`harness.gate.health` and :mod:`harness.gate.signal`.

    A check's name with a number sets its limit, with ``false`` switches it off; ``signal`` is one of them: the share of
    groups with a gradient under which nothing is trained, as found on ``signal_questions`` training questions (four
    times as many before it refuses). Findings of checks in ``stop_on`` end the training. A job that shows no progress
    for ``stall_seconds`` at the least is ended.
    """

    rest = "limits"
    stop_on: list[str] = Field(default=[])
    signal_questions: Positive = 16
    stall_seconds: Annotated[float, Field(gt=0)] = 600.0
    limits: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def signal(self) -> float | None:
        """The signal check's limit; ``None`` where it is switched off."""
        limit = self.limits.get("signal", 0.05)
        return None if limit is False else float(limit)


class LaunchSection(Table):
    """``[launch]``: the processes that train and answer together.

    ``nproc_per_node`` processes of this machine, which ``torch.distributed.run`` starts. When one dies, all are started
    again from the last checkpoint, at most ``max_restarts`` times: once unless said otherwise, since a crash that comes
    back is no accident. ``command`` starts the training's processes instead, here or on other machines: the words that
    are put before a process's own command, as ``["accelerate", "launch", "--no_python", ...]``. Then
    ``nproc_per_node`` counts all that it starts, and starting again is its affair.
    """

    nproc_per_node: Positive = 1
    max_restarts: Annotated[int, Field(ge=0)] = 1
    command: list[str] = Field(default=[])

    @property
    def processes(self) -> int:
        """All processes that train together."""
        return self.nproc_per_node


class GateSection(Table):
    """``[gate]``: what is asked of the trained policy; see :mod:`harness.gate`. Shares, not percent."""

    min_accuracy: Share | None = None
    min_improvement: Share | None = None
    margin: Annotated[float, Field(gt=0, le=1)] = 0.05
    stop_early: bool = False
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(gt=0, lt=1)] = 0.80


class RecipeTables(Table):
    """The keys of a recipe, each of its own type. ``source`` is the file it came from, if any.

    :class:`harness.recipe.Recipe` adds what they may not say together.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    requires: list[Literal["gpu", "request"]] = Field(default=[])
    seeds: list[Seed] = Field(default=[0], min_length=1)
    model: ModelSection
    task: TaskSection
    rewards: InstanceOf[Rewards] = Rewards({"boxed_numeric": 1.0})
    train: TrainSection = TrainSection()
    data: DataSection | None = None
    lora: LoraSection | None = None
    evaluate: EvaluateSection = EvaluateSection()
    engine: EngineSection = EngineSection()
    gate: GateSection = GateSection()
    health: HealthSection = HealthSection()
    launch: LaunchSection = LaunchSection()
    source: Path | None = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="after")
    def _say_what_is_learnt_from(self) -> RecipeTables:
        if self.train.method != "grpo" and self.data is None:  # its defaults are part of the recipe
            object.__setattr__(self, "data", DataSection())
        return self


def section_types() -> dict[str, type[Table]]:
    """The recipe's tables by name; ``DataSection | None`` is a table that may be left out."""
    kinds = {name: (field.annotation, *get_args(field.annotation)) for name, field in RecipeTables.model_fields.items()}
    return {
        name: kind
        for name, found in kinds.items()
        for kind in found
        if isinstance(kind, type) and issubclass(kind, Table)
    }


def located(recipe: RecipeTables, name: str) -> str:
    """The path that a name in a recipe stands for, looked for beside the recipe, then in the working directory; a name
    that is found nowhere stays as it is."""
    name = as_path(name)
    if recipe.source is not None and name not in ("", "tiny", "arithmetic", "gsm8k"):
        beside = recipe.source.parent / name
        if is_there(beside):
            return str(beside.resolve())
    return name


def located_task(recipe: RecipeTables) -> TaskSection:
    """``[task]`` with the path of its questions."""
    return recipe.task.model_copy(update={"name": located(recipe, recipe.task.name)})


def questions_of(recipe: RecipeTables, data: Path | None) -> Questions:
    """The recipe's questions, or those of ``data`` in their place; raises as :func:`load_questions` does."""
    held_out = recipe.evaluate.during_questions if recipe.evaluate.every_steps else 0
    return load_questions(
        located_task(recipe),
        data=data,
        held_out=held_out,
        form=answer_form(recipe.rewards),
        columns=columns_asked(recipe.rewards),
    )


def given_file(recipe: RecipeTables) -> Path | None:
    """The file of ``[data] source``, where that names one."""
    if recipe.data is None or recipe.data.source in ("completions", "solutions"):
        return None
    return as_file(located(recipe, recipe.data.source))


def data_sampling(recipe: RecipeTables, seed: int) -> SamplingParams | None:
    """How the policy is asked for the completions that a job learns from; each training seed draws its own."""
    data = recipe.data
    if data is None or data.source != "completions":
        return None
    return SamplingParams(
        max_new_tokens=data.max_new_tokens or recipe.evaluate.max_new_tokens,
        temperature=data.temperature,
        top_p=data.top_p,
        top_k=data.top_k,
        samples_per_question=data.samples_per_question,
        seed=seed,
        batch_size=recipe.evaluate.batch_size,
    )
