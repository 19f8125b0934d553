"""What a report shows, as frozen data: a run, its evaluations, its questions, its training.

What lies in the directory has the store's types; a file that is missing, or does not fit its type, is ``None``, ``""``
or an empty collection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.store.audit import Audit
    from harness.store.changes import Change, Part
    from harness.store.methods import Comparison
    from harness.store.question import Message
    from harness.store.records import Record, Summary
    from harness.store.run_files import (
        Environment,
        Finding,
        HeldAgainst,
        HeldOut,
        Identity,
        Logged,
        Overrides,
        Progress,
        Signal,
        TrainingSummary,
        Verdict,
    )

Flip = Literal["lost", "gained", "wrong", "right", "unscored", "unasked"]
"""How one question fared: ``wrong`` and ``right`` are "both" where there are two evaluations."""

FLIPS: tuple[Flip, ...] = ("lost", "gained", "unscored", "wrong", "right", "unasked")
"""In the order in which a report lists them."""


Prompt = tuple["Message", ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A test question with every answer to it. ``number`` counts from 1 in the fixed order of the questions.
    ``baseline`` is the share of the baseline's answers that were right, if it was asked and can be compared with;
    ``fell`` says that the run's share is smaller."""

    number: int
    id: str
    text: str
    ground_truth: str
    prompt: Prompt
    before: tuple[Record, ...]
    after: tuple[Record, ...]
    flip: Flip
    baseline: float | None = None
    fell: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One side of a run in numbers. ``summary`` is ``None`` where the evaluation did not finish; ``accuracy`` then is
    the share of correct answers among the scored ones so far and ``interval`` is None."""

    name: str
    answers: int
    questions: int
    accuracy: float | None
    interval: tuple[float, float] | None
    counts: Mapping[str, int]
    truncated: int
    prompt_tokens: int
    completion_tokens: int
    rewards: Mapping[str, float | None]
    mean_reward: float | None
    summary: Summary | None


@dataclass(frozen=True, slots=True)
class Training:
    """The training job: logged steps in order, its summary, and what went wrong. ``health`` is ``None`` where no health
    check was at work."""

    steps: tuple[Logged, ...]
    summary: TrainingSummary | None
    error: str
    health: tuple[Finding, ...] | None = None
    evaluations: tuple[HeldOut, ...] = ()
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Since:
    """The last green run of the same recipe and seed, with its ``path``, or the baseline: when it was, what it reached,
    which ``parts`` of it are known, and what differs from it."""

    what: str
    date: str
    accuracy: float | None
    parts: tuple[Part, ...]
    changes: tuple[Change, ...]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Versus:
    """Two runs on one page: the sides' names, the directories, the evaluation that each side shows (``before`` or
    ``after``), and what differs between them, ``None`` where that cannot be read."""

    words: Mapping[str, str]
    names: tuple[str, str]
    stages: tuple[str, ...]
    changes: tuple[Change, ...] | None


@dataclass(frozen=True, slots=True)
class Run:
    """Everything of one run directory. ``notes`` are sentences about what could not be read. ``baseline`` is what it
    was held against, ``overrides`` what the command line changed in the recipe's file, and ``methods`` the comparison
    it took part in. ``progress`` is that of a training under way, ``since`` what changed since it
    last was green, and since the baseline.

    With ``versus`` these are two runs: "before" is A and "after" is B.
    """

    path: Path
    name: str
    recipe_text: str
    recipe: Mapping[str, Any]
    environment: Environment | None
    identity: Identity | None
    verdicts: tuple[Verdict, ...]
    before: Evaluation | None
    after: Evaluation | None
    training: Training | None
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = field(default=())
    baseline: HeldAgainst | None = None
    overrides: Overrides | None = None
    versus: Versus | None = None
    audit: Audit | None = None
    methods: Comparison | None = None
    progress: Progress | None = None
    since: tuple[Since, ...] = ()

    @property
    def weights(self) -> Mapping[str, Any]:
        """Reward function to weight; a function with parameters has its weight among them."""
        rewards = self.recipe.get("rewards")
        if not isinstance(rewards, dict):
            return {}
        weights = {name: each.get("weight") if isinstance(each, dict) else each for name, each in rewards.items()}
        return {name: weight for name, weight in weights.items() if name != "timeout_seconds" and weight is not None}

    @property
    def green(self) -> Path | None:
        """The directory of the last green run."""
        return next((since.path for since in self.since if since.path), None)

    @property
    def compares(self) -> bool:
        """Whether there are two evaluations to hold against each other."""
        return self.before is not None and self.after is not None
