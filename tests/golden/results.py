"""What graders, tasks, prompts and engines give today, part by part, each with its version.

A part is ``{"version": 1, "with": {package: version}, "results": {case: result}}``; a result is text that a person can
read in a diff. ``with`` names the packages whose version is part of the fingerprint too: under others the results may
be others.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.recipe import TaskSection
from harness.rewards import resolve_reward, score_all
from harness.rewards.audit import CASES, OWN, PROMISES, SETTINGS
from harness.rewards.functions import tags_exact
from harness.rewards.grader import configured
from harness.rewards.registry import PACKAGES
from harness.store.manifest import versions
from harness.store.records import SamplingParams
from harness.store.versions import DRAWS, ENGINES, PROMPT, REWARDS, SCORING, TASKS
from harness.tasks import Question, load_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.models import Policy
    from harness.store.audit import Promise

    Part = dict[str, Any]

_LONGEST = 5_000  # longer completions of the audit are there for the time that they take, and these two as well
_ENDLESS = ("a computation without an end", "a tower of powers")
_PARAMETERS = {"length_penalty": {"max_tokens": 24, "soft_tokens": 16}}


def rewards() -> dict[str, Part]:
    """Every shipped reward, and the strict grader of tags, on the audit's cases, their answers in the form that it
    reads; and what scoring makes of several rewards."""
    needs = {name: versions(*PACKAGES.get(name, ())) for name in REWARDS}
    there = [name for name in REWARDS if None not in needs[name].values()]  # jsonschema is an extra
    found = {name: {**_part(REWARDS[name], dict(_rewarded(name))), "with": needs[name]} for name in there}
    return {**found, "scoring": _part(SCORING, dict(_scored()))}


def _rewarded(name: str) -> Iterable[tuple[str, str]]:
    function: Any = tags_exact if name == "tags_exact" else configured(resolve_reward(name), SETTINGS.get(name, {}))
    promise, form = PROMISES.get(name, ("exact", "tags"))
    graded = hasattr(function, "grade")
    for label, completion, truth in (*_audited(promise, form), *(_tabled() if graded and promise not in OWN else ())):
        if graded:
            grade = function.grade(completion, truth)
            if grade.status == "unscored":
                continue  # a matter of time
            result = f"{grade.status}{'' if grade.extracted is None else f': {_short(grade.extracted)}'}"
            result += "" if grade.worth is None else f", {grade.worth:.6g}"
        else:
            columns = {"ground_truth": [truth], "completion_tokens": [len(completion.split())]}
            (value,) = function(["?"], [completion], **columns, **_PARAMETERS.get(name, {}))
            result = f"{value:.6g}"
        yield f"{label} {_digest(completion, truth)}", result


def _audited(promise: Promise, form: str) -> Iterable[tuple[str, str, str]]:
    """Label, completion and ground truth of the audit's cases of a promise, with the answer in a form."""
    for case in CASES:
        if not case.belongs([promise]):
            continue
        completion = case.completion(form)
        if len(completion) <= _LONGEST and case.name not in _ENDLESS:
            yield case.name, completion, case.truth


def _tabled() -> Iterable[tuple[str, str, str]]:
    """The same of the tests' own tables: rows of ``tests/**/*.jsonl`` with a completion and a ground truth."""
    for path in sorted(Path(__file__).parents[1].rglob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if {"completion", "ground_truth"} <= row.keys():
                yield str(row.get("kind", path.stem)), row["completion"], row["ground_truth"]


_MIXTURES: tuple[dict[str, float], ...] = (
    {"boxed_numeric": 1.0},
    {"boxed_numeric": 1.0, "format_boxed": 0.2, "repetition_penalty": 0.5},
    {"format_tags": 0.5, "answer_in_tags": 2.0, "boxed_exact": -1.0},
    {"format_boxed": 1.0},
)


def _scored() -> Iterable[tuple[str, str]]:
    completions = [
        r"It is \boxed{42}.",
        r"It is \boxed{42.0}, it is it is it is",
        "<think>We add.</think>\n<answer>42</answer>",
        r"<answer>41</answer> \boxed{41}",
        "Forty-two.",
        "",
    ]
    for mixture in _MIXTURES:
        columns = {"ground_truth": ["42"] * len(completions)}
        scored = score_all(["?"] * len(completions), completions, columns, mixture)
        for completion, each in zip(completions, scored, strict=True):
            parts = {name: value for name, value in each.rewards.items() if value is not None}
            grades = {name: grade.status for name, grade in each.grades.items()}
            said = [each.status, each.extracted, each.reward, parts, grades]
            yield f"{json.dumps(mixture)} {completion}", json.dumps(said)


_GSM8K = [
    {"question": " What is 600 * 2? ", "answer": "600 * 2 = <<600*2=1200>>1,200 eggs.\n#### 1,200"},
    {"question": "What does it cost?", "answer": "It is 5 * 3 = <<5*3=15>>$15.\n#### $15"},
    {"question": "How cold is it?", "answer": "3 - 10 = <<3-10=-7>>-7.\nSo it is.\n#### -7"},
    {"question": "How much is left?", "answer": "#### 0.5"},
    {"question": "How many in all?", "answer": "4 #### 4 is not the end\n#### 1,234,567"},
]
_FILE = [
    {"question": "What is 1 + 1?", "answer": 2, "solution": "1 + 1 = 2, so \\boxed{2}", "id": "first"},
    {"question": "What is 2 + 2?", "answer": "so it is\n#### 4", "solution": None, "id": "seventh"},
    {"question": "Where is it?", "answer": " Paris ", "id": None},
    {"question": "What is half?", "answer": 0.5},
    {"question": "What is 1 + 1?", "answer": "2", "solution": "\\boxed{2}"},
    {"question": "What is a third?", "answer": r"\frac{1}{3}", "solution": r"\boxed{\frac{1}{3}}", "id": "a/b"},
    {"question": "What is a half?", "solution": r"At first \boxed{2}, no: \boxed{\frac{1}{2}}."},
    *({"question": f"What is {n} + 1?", "answer": n + 1} for n in range(12)),
]


def tasks() -> dict[str, Part]:
    """The first questions of each source; the order says which are trained on and which are tested."""
    return {
        "arithmetic": _part(TASKS["arithmetic"], dict(_questions({"name": "arithmetic"}))),
        "gsm8k": _part(TASKS["gsm8k"], dict(_read("gsm8k", {"train": _GSM8K[:3], "test": _GSM8K[3:]}))),
        "jsonl": _part(
            TASKS["jsonl"],
            {
                **dict(_read("folder", {"train": _FILE[:10], "test": _FILE[10:]})),
                **dict(_read("file", {"questions": _FILE})),
            },
        ),
    }


def _read(kind: str, files: dict[str, list[dict[str, Any]]]) -> Iterable[tuple[str, str]]:
    with TemporaryDirectory() as made:
        folder = Path(made) / "questions"
        folder.mkdir()
        for name, rows in files.items():
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        if kind == "gsm8k":
            yield from _questions({"name": "gsm8k", "train_questions": 3, "test_questions": 2}, data=folder)
            return
        path = folder if kind == "folder" else folder / "questions.jsonl"
        for name, result in _questions({"name": str(path), "train_questions": 8, "test_questions": 5}):
            yield f"{kind}: {name}", result


def _questions(task: dict[str, Any], data: Path | None = None) -> Iterable[tuple[str, str]]:
    found = load_questions(TaskSection(**{"train_questions": 12, "test_questions": 12, **task}), data=data)
    for split in ("train", "test"):
        for place, question in enumerate(getattr(found, split)):
            said = [question.id, question.text, question.ground_truth, question.solution]
            yield f"{split} {place}", json.dumps(said)


_TEMPLATES = {
    "takes a system turn": "",
    "refuses a system turn": "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}",
    "drops a system turn": "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}",
}
_TURNS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def prompts() -> dict[str, Part]:
    """Chats of questions with and without a system prompt and worked examples, and the text that a model is given."""
    from harness.models import load_policy

    policy = load_policy("tiny", device="cpu", dtype="float32")
    found: dict[str, str] = {}
    for few_shot in (0, 2):
        for system in ("", "Think, then put the answer in \\boxed{}."):
            task = TaskSection(
                name="arithmetic", train_questions=3, test_questions=2, few_shot=few_shot, system_prompt=system
            )
            for question in load_questions(task).test:
                chat = f"{few_shot} examples, system prompt {system!r}: {question.text}"
                found[f"chat, {chat}"] = json.dumps(list(question.prompt))
                found[f"text, {chat}"] = policy.tokenizer.decode(policy.encode(question.prompt))
    for name, template in _TEMPLATES.items():
        found |= {f"{name}, {chat}": text for chat, text in _rendered(policy, template + _TURNS)}
    return {"prompt": _part(PROMPT, found)}


def _rendered(policy: Policy, template: str) -> Iterable[tuple[str, str]]:
    from transformers import AutoTokenizer

    from harness.models import Policy

    tokenizer = AutoTokenizer.from_pretrained(policy.tokenizer.name_or_path)
    tokenizer.chat_template = template
    asked = Policy.of(policy.model, tokenizer)
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 3?"}
    example = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]
    for name, chat in {
        "a question": [user],
        "a system turn": [system, user],
        "an example": [*example, user],
        "both": [system, *example, user],
    }.items():
        yield name, tokenizer.decode(asked.encode(chat))


# The embedded model is sure of its answers to these: its best token leads by far at every step, so that rounding, which
# differs between machines, changes none.
_ASKED = (
    "Grace puts 4 apples on the table, then 2 more. How many apples are on the table now?",
    "Omar buys 2 cups in the morning and 7 in the evening. How many cups does Omar buy in all?",
    "Lena fills 4 boxes with 1 coin in each. How many coins are in the boxes?",
    "Grace has 2 bags with 7 coins in each. How many coins does Grace have in all?",
    "Ivy puts 9 cards on the table and takes 4 back. How many cards are on the table now?",
    "Lena puts 12 books on the table, then 4 more. How many books are on the table now?",
)
_CHOICES: tuple[dict[str, Any], ...] = ({"temperature": 0.0}, {"temperature": 3.0, "seed": 3})


def engines() -> dict[str, Part]:
    """Answers of the embedded model, and how tokens are drawn in training; not of engines that are not installed."""
    from harness.models import load_policy
    from harness.models.engines.local import TransformersEngine

    policy = load_policy("tiny", device="cpu", dtype="float32")
    found = {"transformers": dict(_answers(TransformersEngine(policy)))}
    parts = {name: _part(ENGINES[name], results) for name, results in found.items()}
    return {**parts, "draws": _part(DRAWS["shared"], dict(_drawn()))}


def _answers(engine: Any) -> Iterable[tuple[str, str]]:
    asked = [
        Question(f"golden/{place}", text, "?", "test", prompt=({"role": "user", "content": text},))
        for place, text in enumerate(_ASKED)
    ]
    texts = {question.id: question.text for question in asked}
    for choice in _CHOICES:
        decoding = SamplingParams(max_new_tokens=32, batch_size=4, **choice)
        answers = [answer for batch in engine.answer(asked, decoding) for answer in batch]
        for answer in sorted(answers, key=lambda each: each.question_id):
            yield f"{json.dumps(choice)} {texts[answer.question_id]}", f"{answer.finish_reason}: {answer.completion}"
    engine.close()


def _drawn() -> Iterable[tuple[str, str]]:
    """Tokens of a table of scores, by the generator that training seeds."""
    import torch

    from harness.models.engines.sampling import Drawn, warpers

    scores = (torch.arange(6 * 50, dtype=torch.float64) * 0.7).sin().reshape(6, 50) * 3
    state = torch.get_rng_state()
    try:
        for settings in ((1.0, 1.0, 0), (0.7, 1.0, 0), (1.0, 0.9, 0), (1.0, 1.0, 5)):
            torch.manual_seed(0)
            draw = Drawn(warpers(*settings))
            rows = [draw(scores.float(), range(6)).tolist() for _ in range(3)]
            yield f"temperature, top_p, top_k = {settings}", json.dumps(rows)
    finally:
        torch.set_rng_state(state)


KINDS: dict[str, Callable[[], dict[str, Part]]] = {
    "rewards": rewards,
    "tasks": tasks,
    "prompts": prompts,
    "engines": engines,
}


def _part(version: int, results: dict[str, str]) -> Part:
    return {"version": version, "with": {}, "results": results}


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}... {_digest(text)}"


def _digest(*texts: str) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()[:8]
