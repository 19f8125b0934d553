"""One prompt in every stage: what the model was given, in token ids, for chat templates that make it hard.

What is looked at is what reaches the model (the input of its embeddings, or of the loop that shares prompts), and what
it is held against is written out by hand. The stage is known by who called.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from harness.gate.baseline import differences
from harness.models import load_policy
from harness.models.engines import local
from harness.models.engines.vllm import asking
from harness.models.source import resolve_model
from harness.pipeline.baselines import as_baseline
from harness.pipeline.compare import evaluation_of
from harness.pipeline.run import Run
from harness.rewards import Grade
from harness.tasks import Question
from harness.training import rollout
from tests.training.jobs import run_of

SYSTEM = "Reason step by step, then put the final answer in \\boxed{}."
TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
HEADER = "{% if add_generation_prompt %}<|im_start|>assistant\n"
NO_THOUGHT = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
REFUSAL = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"

# template, [model] chat_template_kwargs, and how the prompt of "{question}" has to read
APART = "<|im_start|>system\n" + SYSTEM + "<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
CASES = {
    "thinking is switched off": (
        TURNS + HEADER + NO_THOUGHT + "{% endif %}",
        {"enable_thinking": False},
        APART + "<think>\n\n</think>\n\n",
    ),
    "thinking is switched on": (TURNS + HEADER + NO_THOUGHT + "{% endif %}", {"enable_thinking": True}, APART),
    "the prompt opens a thought": (TURNS + HEADER + "<think>\n{% endif %}", {}, APART + "<think>\n"),
    "a system turn is refused": (
        REFUSAL + TURNS + HEADER + NO_THOUGHT + "{% endif %}",
        {"enable_thinking": False},
        "<|im_start|>user\n" + SYSTEM + "\n\n{question}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
}
SMALL: dict[str, Any] = {
    "task__train_questions": 8,
    "task__test_questions": 6,
    "evaluate__max_new_tokens": 6,
    "evaluate__batch_size": 4,
    "train__max_steps": 2,
    "train__per_device_train_batch_size": 8,
    "rewards": {f"{__name__}:judge": 1.0},
}
DATA: dict[str, Any] = {"data__max_new_tokens": 24, "data__samples_per_question": 8}
METHODS: dict[str, dict[str, Any]] = {
    "grpo": {
        "train__num_generations": 4,
        "train__max_completion_length": 6,
        "train__temperature": 4.0,  # so that answers to a question differ, and the weights change
        "health__signal_questions": 4,
        "health__signal": 1e-9,
        "evaluate__every_steps": 1,
        "evaluate__during_questions": 4,
    },
    "sft": DATA,
    "dpo": DATA,
}
EVALUATED = {"before", "after"}
STAGES = {
    "grpo": EVALUATED | {"signal check", "held-out evaluation", "sampling", "learning"},
    "sft": EVALUATED | {"samples", "learning"},
    "dpo": EVALUATED | {"samples", "learning"},
}
CALLERS = {  # the innermost of these that is on the stack
    ("signal.py", "find_signal"): "signal check",
    ("held_out.py", "_evaluate"): "held-out evaluation",
    ("trainers.py", "_generate_single_turn"): "sampling",
    ("trainer.py", "training_step"): "learning",
    **{("run.py", name): name for name in ("before", "samples", "after")},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """``model(template)``: a folder with the embedded model under another chat template."""
    made: dict[str, Path] = {}

    def make(template: str) -> Path:
        if template not in made:
            folder = made[template] = tmp_path_factory.mktemp("model") / "tiny"
            load_policy("tiny", device="cpu").save(folder)
            (folder / "chat_template.jinja").write_text(template)
        return made[template]

    return make


def judge(completions: Any, **_: Any) -> list[float]:
    """The embedded model does not know such prompts, nor how a thought ends; by this some of its answers earn something
    and are right all the same."""
    return [float(_odd(each[0]["content"])) for each in completions]


def _odd(text: str) -> bool:
    return len(text) % 2 == 1


judge.grade = lambda text, ground_truth: Grade(extracted=text[-1:], correct=_odd(text))  # type: ignore[attr-defined]


@pytest.fixture
def given(monkeypatch):
    """Rows of token ids by stage: whatever the embedded model's embeddings take in, and what the loop that shares
    prompts is handed, which then splits them up."""
    rows: dict[str, list[list[int]]] = defaultdict(list)

    def note(found: list[list[int]]) -> None:
        rows[_stage()].extend(found)

    def before_forward(module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, torch.nn.Embedding) and not _inside("decode.py"):
            note(inputs[0].reshape(-1, inputs[0].shape[-1]).tolist())

    for place in (local, rollout):
        shared = place.decode

        def decode(loaded: Any, prompts: Any, *others: Any, shared: Any = shared, **more: Any) -> Any:
            note([list(ids) for ids in prompts])
            return shared(loaded, prompts, *others, **more)

        monkeypatch.setattr(place, "decode", decode)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(before_forward)
    yield rows
    hook.remove()


def _frames() -> Any:
    frame = sys._getframe(1)
    while frame is not None:
        yield frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name
        frame = frame.f_back


def _inside(file: str) -> bool:
    return any(name == file for name, _ in _frames())


def _stage() -> str:
    return next((CALLERS[each] for each in _frames() if each in CALLERS), "elsewhere")


def count(row: list[int], part: list[int]) -> int:
    return sum(row[at : at + len(part)] == part for at in range(len(row) - len(part) + 1))


def check_rows(rows: list[list[int]], questions: list[Question], expected: str, tokenizer: Any) -> set[str]:
    """Every chat in these rows is the expected prompt of its question, token by token; returns the questions seen."""
    prompts = {each.id: tokenizer(expected.replace("{question}", each.text))["input_ids"] for each in questions}
    ends = {each.id: f"\n{each.text}<|im_end|>" for each in questions}
    seen = set()
    for row in rows:
        text = tokenizer.decode(row)
        chats = {id_: text.count(end) for id_, end in ends.items() if end in text}
        assert chats or len(row) == 1, f"a prompt of no question: {text}"
        for id_, times in chats.items():
            assert count(row, prompts[id_]) == times, (
                f"another prompt than {tokenizer.decode(prompts[id_])!r}: {text!r}"
            )
        assert text.count("<|im_start|>user") == sum(chats.values())
        seen |= set(chats)
    return seen


def run_with(folder: Path, case: str, model: Any, method: str = "grpo", **changes: Any) -> Run:
    template, told, _ = CASES[case]
    named = {"model__name": str(model(template)), "model__chat_template_kwargs": told}
    return run_of(folder, method, **{**SMALL, **METHODS[method], **named, **changes})


def prompts_of(run: Run, case: str) -> dict[str, list[int]]:
    """Of each test question, as written out by hand."""
    _, _, expected = CASES[case]
    tokenizer = AutoTokenizer.from_pretrained(run.recipe.model.name)
    return {each.id: tokenizer(expected.replace("{question}", each.text))["input_ids"] for each in run.questions.test}


@pytest.mark.parametrize(
    ("case", "how"),
    [
        *(("a system turn is refused", how) for how in ("grpo", "grpo by TRL", "sft", "dpo")),
        *(("the prompt opens a thought", how) for how in ("grpo", "sft")),
    ],
)
def test_every_stage_is_given_the_same_prompt(case, how, model, given, tmp_path):
    method, _, by_trl = how.partition(" ")
    run = run_with(tmp_path, case, model, method, **({"engine__sampling": "trl"} if by_trl else {}))
    run.before()
    run.trained()
    run.after()
    tokenizer = AutoTokenizer.from_pretrained(run.recipe.model.name)
    questions = [*run.questions.train, *run.questions.test, *run.questions.held_out]
    assert set(given) == STAGES[method]
    seen = {stage: check_rows(rows, questions, CASES[case][2], tokenizer) for stage, rows in given.items()}
    assert all(seen.values()), "each stage was given some prompt"
    assert seen["before"] == seen["after"] == {each.id for each in run.questions.test}


@pytest.mark.parametrize("case", CASES)
def test_vllm_is_given_the_same_prompt(case, model, tmp_path):
    run = run_with(tmp_path, case, model)
    vllm = asking(resolve_model(run.recipe.model.name), "cpu", "float32", CASES[case][1])
    assert {each.id: vllm.encode(each.prompt) for each in run.questions.test} == prompts_of(run, case)


def test_processes_are_given_the_same_prompt(model, tmp_path):
    """A stage that is asked in two processes: each question once, and the model is not loaded here too."""
    case = "thinking is switched off"
    run = run_with(tmp_path, case, model, launch__nproc_per_node=2)
    before = run.before()
    assert before.summary.peak_memory_bytes > 50 * 2**20
    assert run.loaded._policy is None
    lengths = {name: len(ids) for name, ids in prompts_of(run, case).items()}
    assert len(before.records) == before.summary.questions == len(lengths)
    assert {each.question_id: each.prompt_tokens for each in before.records} == lengths
    run.release()


def test_what_the_template_is_told_is_another_run_and_finds_no_other_answers(model, tmp_path):
    case = "thinking is switched off"
    others = [{}, {"enable_thinking": True}, CASES[case][1]]
    runs = [run_with(tmp_path, case, model, model__chat_template_kwargs=other) for other in others]
    assert [run.before().generated for run in runs] == [6, 6, 6], "answers to another prompt are other answers"
    assert len({run.directory for run in runs}) == len({run.training_key for run in runs}) == 3
    identities = [json.loads((run.directory / "identity.json").read_text()) for run in runs]
    assert [each["generation"].get("chat_template_kwargs", {}) for each in identities] == others
    assert [each["training"].get("chat_template_kwargs", {}) for each in identities] == others
    assert run_with(tmp_path, case, model).before().generated == 0
    first, last = (evaluation_of(each.directory)[0] for each in (runs[0], runs[2]))
    assert differences(first, last) == ["the prompt (chat_template_kwargs {} → {'enable_thinking': False})"]
    counted = dict.fromkeys((each.id for each in runs[2].questions.test), 0)
    made = as_baseline(runs[2].recipe, 0, runs[2].questions.test, runs[2].commit, counted)
    assert made.chat_template_kwargs == CASES[case][1]


@pytest.mark.parametrize("key", ["enable_thinking", "enable_thinkng"])
def test_a_key_that_the_template_does_not_use_is_said(key, model, tmp_path):
    said: list[str] = []
    run = run_with(tmp_path, "thinking is switched off", model, model__chat_template_kwargs={key: False})
    run = Run(run.recipe, 0, replace(run.settings, say=lambda run, text: said.append(text)))
    run.policy()
    told = [text for text in said if f"does not use {key}" in text]
    assert len(told) == (key == "enable_thinkng"), said
