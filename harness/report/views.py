"""What a report shows, as frozen data: a run, its evaluations, its questions, its training.

Everything comes from files that may be missing, half written or from another version, so every field has a value that
means "not there": ``None``, ``""`` or an empty collection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.report.loose import dicts, string

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.report.audit import Audit

Flip = Literal["lost", "gained", "wrong", "right", "unscored", "unasked"]
"""How one question fared: ``wrong`` and ``right`` are "both" where there are two evaluations."""

FLIPS: tuple[Flip, ...] = ("lost", "gained", "unscored", "wrong", "right", "unasked")
"""In the order in which a report lists them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of ``verdicts.json``; ``passed`` is ``None`` where the gate cannot tell."""

    gate: str
    word: str
    passed: bool | None
    sentence: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One chat turn of a prompt."""

    role: str
    content: str


def turns(prompt: Any) -> tuple[Turn, ...]:
    """A prompt's chat turns; a bare string counts as one user turn."""
    if isinstance(prompt, str):
        return (Turn("user", prompt),)
    return tuple(Turn(string(turn.get("role")) or "?", string(turn.get("content"))) for turn in dicts(prompt))


@dataclass(frozen=True, slots=True)
class Grade:
    """What one grader made of a completion. ``correct`` is ``None`` where it could not say."""

    grader: str
    extracted: str | None
    correct: bool | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion with its grades: a line of ``records.jsonl``. ``error`` says why there is none, where an engine
    could not have one."""

    sample: int
    seed: int | None
    prompt: tuple[Turn, ...]
    completion: str
    ground_truth: str
    finish_reason: str
    status: str
    extracted: str | None
    reward: float | None
    rewards: Mapping[str, float | None]
    grades: tuple[Grade, ...]
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A test question with every answer to it. ``number`` counts from 1 in the fixed order of the questions."""

    number: int
    id: str
    text: str
    ground_truth: str
    prompt: tuple[Turn, ...]
    before: tuple[Answer, ...]
    after: tuple[Answer, ...]
    flip: Flip


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One side of a run in numbers. ``summary`` is ``summary.json`` as it stands, empty where the evaluation did not
    finish; ``accuracy`` then is the share of correct answers among the scored ones so far and ``interval`` is None."""

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
    summary: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether a summary was written, which happens once all questions are asked."""
        return bool(self.summary)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a health check said during training: a line of ``train/health.jsonl``. ``key`` is the metric it read."""

    check: str
    key: str
    step: int
    level: str
    sentence: str


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An evaluation during training: a line of ``train/evaluations.jsonl``."""

    step: int
    accuracy: float | None
    interval: tuple[float, float] | None
    questions: int | None
    best: bool


@dataclass(frozen=True, slots=True)
class Training:
    """The training job: logged steps in order, its summary, and what went wrong. ``health`` is ``None`` where no health
    check was at work; ``signal`` is ``signal.json`` as it stands."""

    steps: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Any]
    error: str
    health: tuple[Finding, ...] | None = None
    evaluations: tuple[HeldOut, ...] = ()
    signal: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A key with two values as text."""

    key: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Versus:
    """Two runs on one page: the sides' names, the directories, the evaluation that each side shows (``before`` or
    ``after``), their commits, and where their recipes and versions differ."""

    words: Mapping[str, str]
    names: tuple[str, str]
    stages: tuple[str, ...]
    commits: tuple[str, ...]
    changes: tuple[Change, ...]
    versions: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything of one run directory. ``notes`` are sentences about what could not be read. ``baseline`` is what it
    was held against ``overrides`` what the command line changed in the recipe's file, and
    ``methods`` the comparison it took part in, as their JSON stands.

    With ``versus`` these are two runs: "before" is A and "after" is B.
    """

    path: Path
    name: str
    seed: int | None
    key: str
    recipe_text: str
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any]
    identity: Mapping[str, Any]
    verdicts: tuple[Verdict, ...]
    before: Evaluation | None
    after: Evaluation | None
    training: Training | None
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = field(default=())
    baseline: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    versus: Versus | None = None
    audit: Audit | None = None
    methods: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> Mapping[str, Any]:
        """Reward function to weight; a function with parameters has its weight among them."""
        rewards = self.recipe.get("rewards")
        if not isinstance(rewards, dict):
            return {}
        weights = {name: each.get("weight") if isinstance(each, dict) else each for name, each in rewards.items()}
        return {name: weight for name, weight in weights.items() if name != "timeout_seconds" and weight is not None}

    @property
    def compares(self) -> bool:
        """Whether there are two evaluations to hold against each other."""
        return self.before is not None and self.after is not None

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """The verdicts that the outcome depends on: where others are there, not that nobody recorded a baseline yet."""
        return tuple(verdict for verdict in self.verdicts if verdict.word != "NO_BASELINE") or self.verdicts

    @property
    def outcome(self) -> bool | None:
        """``False`` where anything failed, ``None`` where anything stayed open or nothing was judged, else ``True``."""
        passed = [verdict.passed for verdict in self.judged]
        if False in passed or (self.training is not None and self.training.error):
            return False
        return None if None in passed or not passed else True
