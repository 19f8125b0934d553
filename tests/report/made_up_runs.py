"""Run directories that no model made: invented questions, answers and training steps, in the real layout.

Every number that a summary holds is counted from the invented records, so that a test can count it again.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from made_up_training import write_training

from tests.run_files import identity

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = "Work out the answer and put it in \\boxed{}."
NAMES = ("Ada", "Ben", "Chloe", "Dov", "Esra", "Femi", "Gita", "Hugo")
THINGS = ("apples", "coins", "books", "marbles", "stamps", "pencils")

Speech = Callable[[str, int, int], str | None]
"""``(side, question index, sample) -> completion``, or ``None`` for the builder's own words."""


@dataclass(frozen=True)
class MadeUp:
    """What to invent. ``asked_after`` is how many questions the second evaluation reached.

    A training step samples ``groups`` groups of ``group_size`` completions, going round ``train_questions`` questions;
    ``sampled`` is their speech by question id, step and sample.
    """

    recipe: str = "made-up"
    seed: int = 0
    questions: int = 12
    samples: int = 1
    steps: int = 10
    train: bool = True
    after: bool = True
    asked_after: int | None = None
    error: str | None = None
    verdicts: bool = True
    functions: Mapping[str, float] = field(default_factory=lambda: {"boxed_numeric": 1.0})
    accuracies: tuple[float, float] = (0.25, 0.9)
    speech: Speech = lambda side, index, sample: None
    question_text: Callable[[int], str | None] = lambda index: None
    description: str = "A made-up run: nothing was trained for it."
    environment: Mapping[str, Any] = field(default_factory=dict)
    method: str = "grpo"
    groups: int = 3
    group_size: int = 4
    train_questions: int = 5
    sampled: Speech = lambda question, step, sample: None
    health: Sequence[Mapping[str, Any]] | None = None
    evaluations: Sequence[Mapping[str, Any]] = ()


def write_run(root: Path, made_up: MadeUp = MadeUp()) -> Path:
    """Write one run directory under ``root`` and return its path."""
    key = hashlib.sha256(repr((made_up.recipe, made_up.seed)).encode()).hexdigest()[:12]
    run = root / f"{made_up.recipe}-{made_up.seed}-{key}"
    run.mkdir(parents=True)
    questions = [_question(made_up, index) for index in range(made_up.questions)]
    (run / "recipe.toml").write_text(_recipe(made_up), encoding="utf-8")
    _json(run / "environment.json", _environment(made_up))
    _json(run / "identity.json", identity(made_up.method))
    _jsonl(run / "questions.jsonl", questions)
    before = _evaluate(run / "before", made_up, questions, "before", None)
    if made_up.train:
        write_training(run / "train", made_up)
    after = None
    if made_up.after:
        after = _evaluate(run / "after", made_up, questions, "after", made_up.asked_after)
    if made_up.verdicts:
        _json(run / "verdicts.json", _verdicts(made_up, before, after))
    return run


def records_of(run: Path, side: str) -> list[dict[str, Any]]:
    """The records that were written for one side."""
    lines = (run / side / "records.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def _question(made_up: MadeUp, index: int) -> dict[str, Any]:
    pick = random.Random(f"{made_up.seed}/{index}")
    first, second = pick.randint(2, 12), pick.randint(2, 12)
    name, thing = pick.choice(NAMES), pick.choice(THINGS)
    invented = made_up.question_text(index)
    text = invented or f"{name} has {first} {thing} and finds {second} more. How many {thing} does {name} have now?"
    prompt = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return {
        "id": f"made-up/test/{index}",
        "text": text,
        "ground_truth": str(first + second),
        "split": "test",
        "prompt": prompt,
    }


def _record(made_up: MadeUp, question: Mapping[str, Any], index: int, side: str, sample: int) -> dict[str, Any]:
    pick = random.Random(f"{made_up.seed}/{side}/{index}/{sample}")
    accuracy = made_up.accuracies[side == "after"]
    truth = question["ground_truth"]
    outcome = pick.random()
    finish, said = "stop", truth
    if outcome < accuracy:
        completion, status = f"We add the two numbers.\nThe answer is \\boxed{{{truth}}}.", "correct"
    elif outcome < accuracy + 0.4 * (1 - accuracy):
        said = str(int(truth) + pick.choice((-1, 1, 2)))
        completion, status = f"We add the two numbers.\nThe answer is \\boxed{{{said}}}.", "wrong"
    elif outcome < accuracy + 0.7 * (1 - accuracy):
        completion, status, said = f"We add the two numbers. The answer is {truth}.", "no_answer", None
    else:
        completion, status, said, finish = "We add the two numbers, and then we add " * 6, "no_answer", None, "length"
    completion = made_up.speech(side, index, sample) or completion
    right = status == "correct"
    rewards = {function: float(right) for function in made_up.functions}
    return {
        "question_id": question["id"],
        "sample": sample,
        "seed": made_up.seed,
        "prompt": question["prompt"],
        "completion": completion,
        "finish_reason": finish,
        "prompt_tokens": 40 + len(question["text"]) // 4,
        "completion_tokens": 1 + len(completion) // 4,
        "ground_truth": truth,
        "extracted": said,
        "status": status,
        "reward": sum(weight * rewards[function] for function, weight in made_up.functions.items()),
        "rewards": rewards,
        "grades": {
            "boxed_exact": {"extracted": said, "correct": right},
            "boxed_numeric": {"extracted": said, "correct": right},
        },
    }


def _evaluate(
    folder: Path, made_up: MadeUp, questions: Sequence[Mapping[str, Any]], side: str, asked: int | None
) -> dict[str, Any] | None:
    """Write one evaluation; its summary too, unless it stopped early."""
    records = [
        _record(made_up, question, index, side, sample)
        for index, question in enumerate(questions[:asked])
        for sample in range(made_up.samples)
    ]
    # Records come in order of completion, which is not the order of the questions.
    random.Random(made_up.seed).shuffle(records)
    folder.mkdir()
    _jsonl(folder / "records.jsonl", records)
    if asked is not None and asked < len(questions):
        return None
    summary = summary_of(records, made_up)
    _json(folder / "summary.json", summary)
    return summary


def summary_of(records: Sequence[Mapping[str, Any]], made_up: MadeUp) -> dict[str, Any]:
    """The numbers of some records, counted."""
    statuses = [record["status"] for record in records]
    accuracy = statuses.count("correct") / max(1, len(statuses))
    return {
        "questions": len({record["question_id"] for record in records}),
        "samples_per_question": made_up.samples,
        "accuracy": accuracy,
        "interval": list(_wilson(accuracy, len(statuses))),
        "planned_questions": made_up.questions,
        "strict_accuracy": accuracy,
        "flexible_accuracy": accuracy,
        "counts": {status: statuses.count(status) for status in ("correct", "wrong", "no_answer", "unscored")},
        "truncated": sum(record["finish_reason"] == "length" for record in records),
        "mean_reward": sum(record["reward"] for record in records) / max(1, len(records)),
        "rewards": dict.fromkeys(made_up.functions, accuracy),
        "prompt_tokens": sum(record["prompt_tokens"] for record in records),
        "completion_tokens": sum(record["completion_tokens"] for record in records),
        "generation_key": "d" * 16,
        "grading_key": "e" * 16,
        "seconds": 7.25,
        "device": "cpu",
        "model": "made-up-model",
        "peak_memory_bytes": 512 * 1024 * 1024,
    }


def _wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    n = max(1, n)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _verdicts(made_up: MadeUp, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any]:
    verdicts: list[dict[str, Any]] = []
    if before and after:
        gain = after["accuracy"] - before["accuracy"]
        improved = gain > 0.05
        sentence = (
            f"Accuracy went from {before['accuracy']:.3f} to {after['accuracy']:.3f} on {after['questions']} questions."
        )
        verdicts.append(
            {"gate": "improvement", "verdict": "IMPROVED" if improved else "NOT_IMPROVED", "code": "gain"}
            | {"sentence": sentence, "numbers": {"gain": gain, "needed": 0.05}}
        )
        verdicts.append(
            {"gate": "baseline", "verdict": "NO_BASELINE", "code": "none"}
            | {"sentence": "No baseline is committed for this recipe and seed.", "numbers": {}}
        )
    elif before:
        reached = before["interval"][0] >= 0.3
        sentence = f"The lower bound {before['interval'][0]:.3f} is held against 0.300."
        verdicts.append(
            {"gate": "accuracy", "verdict": "OK" if reached else "TOO_LOW", "code": "reached"}
            | {"sentence": sentence, "numbers": {"lower": before["interval"][0], "min_accuracy": 0.3}}
        )
    return {"recipe": made_up.recipe, "seed": made_up.seed, "asked": {}, "verdicts": verdicts}


def _recipe(made_up: MadeUp) -> str:
    lines = [f"description = {json.dumps(made_up.description)}", "requires = []", f"seeds = [{made_up.seed}]", ""]
    lines += ["[model]", 'name = "made-up-model"', 'revision = "main"', 'dtype = "float32"', ""]
    lines += [
        "[task]",
        'name = "made-up"',
        f"test_questions = {made_up.questions}",
        f"system_prompt = {json.dumps(SYSTEM)}",
        "",
    ]
    lines += [
        "[rewards]",
        *(f"{json.dumps(function)} = {weight}" for function, weight in made_up.functions.items()),
        "",
    ]
    if made_up.train:
        lines += [
            "[train]",
            f'method = "{made_up.method}"',
            f"num_generations = {made_up.group_size}",
            "learning_rate = 1e-4",
            "",
        ]
    lines += ["[evaluate]", "max_new_tokens = 64", f"samples_per_question = {made_up.samples}", ""]
    lines += ["[gate]", "min_accuracy = 0.3", "min_improvement = 0.05", "margin = 0.05", "alpha = 0.05", ""]
    return "\n".join(lines)


def _environment(made_up: MadeUp) -> dict[str, Any]:
    return {
        "created": "2001-02-03T04:05:06+00:00",
        "python": "3.11.0",
        "platform": "made-up platform",
        "processor": "made-up processor",
        "device": "cpu",
        "packages": {"torch": "0.0.1", "trl": "0.0.2"},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
        "command": "pytest suites/",
        "recipe": made_up.recipe,
        "seed": made_up.seed,
        "session": "one",
    } | dict(made_up.environment)


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _jsonl(path: Path, rows: Iterable[object]) -> None:
    # ASCII escapes carry what UTF-8 cannot, such as half a surrogate pair.
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
