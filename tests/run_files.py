"""A value of each type of the files of a run directory, for tests that need a whole one: ``summary(questions=8)``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.store.records import Record, Summary
from harness.store.run_files import (
    Completion,
    Environment,
    Finding,
    HeldOut,
    Identity,
    Signal,
    TrainingSummary,
    Verdict,
)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file as they stand."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]] if path.exists() else []


TURNS = ({"role": "user", "content": "1 + 1?"},)


def record(**changes: Any) -> Record:
    made = Record(
        question_id="q",
        sample=0,
        seed=0,
        prompt=TURNS,
        completion="\\boxed{2}",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        ground_truth="2",
        extracted="2",
        status="correct",
        reward=1.0,
        rewards={},
        grades={},
    )
    return replace(made, **changes)


def summary(**changes: Any) -> Summary:
    made = Summary(
        questions=1,
        samples_per_question=1,
        accuracy=0.5,
        interval=(0.25, 0.75),
        strict_accuracy=None,
        flexible_accuracy=None,
        counts={"correct": 1, "wrong": 0, "no_answer": 0, "unscored": 0},
        truncated=0,
        mean_reward=None,
        rewards={},
        prompt_tokens=1,
        completion_tokens=1,
        planned_questions=1,
    )
    return replace(made, **changes)


def environment(**changes: Any) -> Environment:
    made = Environment(
        created="2001-02-03T04:05:06+00:00",
        python="3.11.0",
        platform="made-up platform",
        processor="made-up processor",
        device="cpu",
        packages={"torch": "0.0.1", "trl": "0.0.2"},
        git={"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
        command="pytest suites/",
        recipe="made-up",
        seed=0,
        session="one",
    )
    return replace(made, **changes)


def identity(method: str = "grpo", **generation: Any) -> Identity:
    return {
        "key": "0" * 64,
        "format": 1,
        "generation": {
            "model": {"weights": "a" * 16},
            "questions": "b" * 16,
            "prompts": "c" * 16,
            "prompt": 1,
            "decoding": {"temperature": 0.0},
            "engine": {"name": "transformers"},
            "device": "cpu",
            "dtype": "float32",
            **generation,  # type: ignore[typeddict-item]
        },
        "grading": {
            "ground_truths": "d" * 16,
            "rewards": [("boxed_numeric", 1.0)],
            "graders": {"boxed_numeric": "1"},
            "scoring": 1,
        },
        "training": {"method": method, "questions": "e" * 16},
    }


def trained(**changes: Any) -> TrainingSummary:
    made = TrainingSummary(
        steps=2, seconds=1.0, seconds_per_step=0.5, completions=8, sampled_tokens=80, training_key="f" * 16
    )
    return replace(made, **changes)


def verdict(gate: str = "accuracy", word: str = "OK", sentence: str = "so", **changes: Any) -> Verdict:
    return replace(Verdict(gate, word, "reached", sentence, {}), **changes)  # type: ignore[arg-type]


def completion(**changes: Any) -> Completion:
    made = Completion(
        step=1,
        group="1/q",
        question_id="q",
        prompt=TURNS,
        completion="\\boxed{2}",
        ground_truth="2",
        status="correct",
        rewards={},
        reward=1.0,
        advantage=0.0,
        completion_tokens=1,
        finish_reason="stop",
    )
    return replace(made, **changes)


def finding(check: str = "truncation", **changes: Any) -> Finding:
    return replace(Finding(check, "reward", 1, "warning", 0.5, 0.3, "a sentence"), **changes)


def signal(**changes: Any) -> Signal:
    made = Signal(
        questions=8,
        samples_per_question=4,
        num_generations=4,
        accuracy=0.5,
        interval=(0.25, 0.75),
        signal_share=0.875,
        signal_interval=(0.5, 1.0),
        zero_std_share=0.125,
        steps=10,
        groups_per_step=2,
        steps_without_signal=0.5,
        counts={"correct": 16, "wrong": 16},
        truncated=0,
        concentration=None,
        limit=0.05,
        refused=False,
        sentence="a sentence",
    )
    return replace(made, **changes)


def held_out(step: int = 0, accuracy: float = 0.3, **changes: Any) -> HeldOut:
    return replace(HeldOut(step, accuracy, (0.2, 0.4), 64, best=False), **changes)
