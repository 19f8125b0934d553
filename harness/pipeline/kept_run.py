"""A finished run, read from its directory: what comparisons of several runs need of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.store.errors import HarnessError
from harness.store.records import iter_records, question_means
from harness.store.run_directory import read_json, read_lines


@dataclass(frozen=True)
class Kept:
    """What a finished run directory says: ``before`` and ``after`` are shares correct by question id. ``seconds`` are
    those of sampling and training, without evaluation."""

    directory: Path
    recipe: str
    method: str
    seed: int
    order: tuple[str, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    completions: int
    sampled_tokens: int
    seconds: float | None
    sameness: Mapping[str, Any]

    @property
    def asked(self) -> list[str]:
        """The questions that were scored before and after, in their order."""
        return [question for question in self.order if question in self.before and question in self.after]

    @property
    def gain(self) -> dict[str, float]:
        """After less before, by question."""
        return {question: self.after[question] - self.before[question] for question in self.asked}


def read_kept(directory: Path) -> Kept:
    """One finished run.

    Raises:
        HarnessError: a stage is missing.
    """
    names = ("environment.json", "identity.json", "train/summary.json", "before/summary.json", "after/summary.json")
    files = {name: read_json(directory / name) for name in names}
    for name, content in files.items():
        if content is None:
            raise HarnessError(f"{directory}: not a finished run, {name} is missing; run its recipe to the end")
    environment, identity, trained, *_ = (content or {} for content in files.values())
    if "sampled_tokens" not in trained:
        raise HarnessError(f"{directory}: was trained before tokens were counted; run its recipe again with --rl-fresh")
    generation, training = identity["generation"], identity["training"]
    seconds = trained["seconds_per_step"] * trained["steps"]  # of all steps, also where the job was resumed
    sampling = trained.get("sampling_seconds", 0.0)
    return Kept(
        directory=directory,
        recipe=str(environment["recipe"]),
        method=str(training["method"]),
        seed=int(environment["seed"]),
        order=tuple(row["id"] for row in read_lines(directory / "questions.jsonl")),
        before=question_means(iter_records(directory / "before")),
        after=question_means(iter_records(directory / "after")),
        completions=int(trained["completions"]),
        sampled_tokens=int(trained["sampled_tokens"]),
        seconds=None if sampling is None else seconds + sampling,
        sameness={
            "base model": generation["model"],
            "test questions": [generation["questions"], generation["prompts"]],
            "decoding": generation["decoding"],
            "graders": identity["grading"],
            "training questions": training["questions"],
        },
    )
