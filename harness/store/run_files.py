"""What stands in a run directory beside the answers: what ran, what was said of it, and what its training left.

Together with :mod:`harness.store.records`, :mod:`harness.store.audit` and :mod:`harness.store.methods` these are the
types of all files of a run directory, but for one that belongs to one room alone: ``job.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired

from markupsafe import Markup
from typing_extensions import TypedDict

from harness.store.files import JsonFile, JsonLines, Stored
from harness.store.html import shown
from harness.store.question import Message, Question
from harness.store.records import Count, FinishReason, Interval, Status

_OPEN = {**Stored.__pydantic_config__, "extra": "allow"}  # of a type that has more keys than are read here


class Engine(TypedDict):
    """What answers; its settings and versions stand beside the name."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    name: str


class GenerationIdentity(TypedDict):
    """What decides the answers of a policy (:func:`harness.pipeline.fingerprint.generation_identity`)."""

    model: dict[str, str]
    questions: str
    prompts: str
    prompt: int
    decoding: dict[str, int | float]
    engine: Engine
    device: str
    dtype: str
    chat_template_kwargs: NotRequired[dict[str, Any]]


class GradingIdentity(TypedDict):
    """What decides the grades of answers."""

    ground_truths: str
    columns: NotRequired[str]
    rewards: list[tuple[str, float]]
    reward_settings: NotRequired[Any]
    graders: dict[str, str]
    scoring: int


class TrainingIdentity(TypedDict):
    """What decides a trained policy."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    method: str
    questions: str


class Identity(TypedDict):
    """``identity.json``: all that decides the result of a run, and in ``key`` the hash by which the run is found."""

    key: str
    format: int
    generation: GenerationIdentity
    grading: GradingIdentity
    training: TrainingIdentity


class Git(TypedDict):
    """The commit, and whether tracked files differ from it."""

    commit: str
    dirty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment(Stored):
    """``environment.json``: when (UTC, ISO 8601), where and by what command a run was made, who opened it, and the
    ``key`` of its identity; of a served model also what the server says, and of what is from the Hub the commit."""

    created: str
    python: str
    platform: str
    processor: str
    device: str
    packages: dict[str, str | None]
    git: Git | None
    command: str
    recipe: str
    seed: int
    session: str
    key: str = ""
    endpoint: str | None = None
    served_model: str | None = None
    served_root: str | None = None
    served_owned_by: str | None = None
    served_created: int | None = None
    served_context_length: int | None = None
    weights: str | None = None
    hub_model: str | None = None
    hub_data: str | None = None


@dataclass(frozen=True, slots=True)
class Changed(Stored):
    """A key of a recipe, its value in the file and in the run; ``None`` is not set."""

    key: str
    file: Any = None
    run: Any = None


@dataclass(frozen=True, slots=True)
class Overrides(Stored):
    """``overrides.json``: what differs from the recipe's ``file``, which is relative to ``folder`` if it lies there."""

    file: str
    folder: str
    changed: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class Name(Stored):
    """``name.json``: what a person calls a run, as ``units lr=2e-6 seed 1``; ``variant`` is the same for all seeds.
    ``given`` is a name that somebody chose."""

    name: str
    variant: str
    given: bool = False


@dataclass(frozen=True, slots=True)
class HeldAgainst(Stored):
    """``baseline.json``: what a reader wants to know of the baseline that a run was held against. ``correct`` is how
    many of ``samples`` answers to a question were right."""

    path: str
    recipe: str
    seed: int
    commit: str
    date: str
    model: str
    accuracy: float | None
    correct: dict[str, Count]
    samples: Count
    versions: dict[str, str | None]
    recipe_toml: str

    @property
    def shares(self) -> dict[str, float]:
        """The share of right answers by question."""
        return {question: right / self.samples for question, right in self.correct.items()}


Word = Literal[
    "IMPROVED",
    "OK",
    "REGRESSED",
    "NOT_IMPROVED",
    "TOO_LOW",
    "UNSOUND",
    "INCOMPARABLE",
    "INCONCLUSIVE",
    "NO_BASELINE",
]
PASSES = frozenset({"IMPROVED", "OK"})
WARNS = frozenset({"INCONCLUSIVE", "NO_BASELINE"})


@dataclass(frozen=True, slots=True)
class Verdict(Stored):
    """``gate`` names what was judged (``improvement``, ``baseline``, ``accuracy``, ``training`` or ``recipe``);
    ``code`` and ``numbers`` say why, and ``sentence`` is what :mod:`harness.gate.wording` makes of them. ``session`` is
    the one that came to it, in ``verdicts.json``."""

    gate: str
    verdict: Word
    code: str
    sentence: str
    numbers: dict[str, Any]
    session: str | None = None

    @property
    def passed(self) -> bool | None:
        """True, False, or ``None`` where the data cannot tell."""
        return None if self.verdict in WARNS else self.verdict in PASSES

    @property
    def holds(self) -> bool | None:
        """``passed``, and ``None`` too for a pass that is not a plain one."""
        return None if self.passed and self.numbers.get("finding") else self.passed

    def _repr_html_(self) -> str:
        mark = {True: "✓", False: "✗", None: "!"}[self.holds]
        return Markup("{} <b>{}</b> {}: {}").format(mark, self.verdict, self.gate, shown(self.sentence))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"{self.verdict} {self.gate}: {self.sentence}")  # in IPython's lists too


@dataclass(frozen=True, slots=True)
class Verdicts(Stored):
    """``verdicts.json``: what was said of a run, where its gate ``asked`` for this."""

    recipe: str
    seed: int
    asked: dict[str, Any]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Failed(Stored):
    """``failed.json``: why a training failed in this session; ``no_signal`` where it was refused before it began."""

    session: str
    error: str
    no_signal: bool


@dataclass(frozen=True, slots=True)
class Signal(Stored):
    """``signal.json``: what the base policy's answers say of a training (:mod:`harness.gate.signal`)."""

    questions: Count
    samples_per_question: Count
    num_generations: Count
    accuracy: float
    interval: Interval
    signal_share: float
    signal_interval: Interval
    zero_std_share: float
    steps: Count
    groups_per_step: Count
    steps_without_signal: float
    counts: dict[Status, Count]
    truncated: Count
    concentration: float | None
    limit: float
    refused: bool
    kept: Count | None = None  # questions that are trained on, where [task] learnable chose them
    advice: tuple[str, ...] = ()
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Finding(Stored):
    """A line of ``health.jsonl``. ``key`` is the TRL metric that the check reads."""

    check: str
    key: str
    step: Count
    level: Literal["warning", "fatal"]
    value: float | None
    limit: float
    sentence: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class HeldOut(Stored):
    """A line of ``evaluations.jsonl``: an evaluation during training; ``best`` of those until then."""

    step: Count
    accuracy: float
    interval: Interval
    questions: Count
    best: bool


@dataclass(frozen=True, slots=True)
class Selected(Stored):
    """The checkpoint that was chosen by held-out accuracy, of ``evaluations``."""

    step: Count
    of: Count
    accuracy: float
    interval: Interval
    questions: Count
    evaluations: Count
    sentence: str


@dataclass(frozen=True, slots=True)
class Sampled(Stored):
    """What was sampled for a training before it began; the seconds are ``None`` where they are not known."""

    completions: Count = 0
    sampled_tokens: Count = 0
    sampling_seconds: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSummary(Stored):
    """``train/summary.json``. ``completions`` and tokens are those sampled in training or for it (``sampling_seconds``
    is ``None`` where that is not known), ``examples`` those learnt from in SFT and DPO; ``seconds`` are since
    ``resumed_from``. ``source`` is the run that trained, where the training was found. ``policy`` is the fingerprint of
    ``final/`` and ``logs`` has the digests of the files that its verdict and findings come from, as training left
    them."""

    steps: Count
    resumed_from: Count | None = None
    seconds: float
    seconds_per_step: float
    examples: Count | None = None
    completions: Count
    sampled_tokens: Count
    sampling_seconds: float | None = 0.0
    peak_memory_bytes: Count | None = None
    slow: str | None = None
    stopped: Finding | None = None
    selected: Selected | None = None
    training_key: str
    processes: Count = 1
    restarts: Count = 0
    source: str | None = None
    policy: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)


Doing = Literal["", "sampling", "updating", "evaluating", "restarted"]


@dataclass(frozen=True, slots=True)
class Progress(Stored):
    """``progress.json``: how far a job is, and what it is at within a step or between two, ``parts`` of ``of``."""

    step: Count = 0
    first_step: Count | None = 0
    total: int | None = None
    seconds: float = 0.0
    reward: float | None = None
    doing: Doing = ""
    parts: Count = 0
    of: Count = 0

    @property
    def done(self) -> int:
        """Steps since the job began or was resumed."""
        return self.step - (self.first_step or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Stored):
    """A line of ``completions.jsonl``: a completion that GRPO sampled for the optimizer ``step`` (from 1); a ``group``
    is the completions to one question within it. ``extra`` is what a reward function gave TRL's ``log_extra``."""

    step: Count
    group: str
    question_id: str
    prompt: tuple[Message, ...]
    completion: str
    ground_truth: str
    status: Status
    rewards: dict[str, float | None]
    reward: float | None
    advantage: float | None
    completion_tokens: Count
    finish_reason: FinishReason
    extra: dict[str, Any] = field(default_factory=dict)


class _Logged(TypedDict):
    """A line of ``metrics.jsonl``: the optimizer step, the time, and whatever TRL logs; what was not finite is null."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    step: Count
    time: NotRequired[float]


Logged = dict[str, Any]
"""What ``_Logged`` says, for who reads keys that are TRL's."""


class Example(TypedDict):
    """A line of ``data.jsonl``: what SFT (``completion``) or DPO (``chosen``, ``rejected``) learns from."""

    question_id: NotRequired[str]
    prompt: list[Message]
    completion: NotRequired[list[Message]]
    chosen: NotRequired[list[Message]]
    rejected: NotRequired[list[Message]]
    rejected_finish_reason: NotRequired[FinishReason]


# Of the run directory itself,
QUESTIONS = JsonLines[Question]("questions.jsonl", Question)
IDENTITY = JsonFile[Identity]("identity.json", Identity, remade=True)
ENVIRONMENT = JsonFile[Environment]("environment.json", Environment)
OVERRIDES = JsonFile[Overrides]("overrides.json", Overrides)
NAME = JsonFile[Name]("name.json", Name, remade=True)
HELD_AGAINST = JsonFile[HeldAgainst]("baseline.json", HeldAgainst, remade=True)
SIGNAL = JsonFile[Signal]("signal.json", Signal)
VERDICTS = JsonFile[Verdicts]("verdicts.json", Verdicts, remade=True)
# and of train/, which has records.FAULTS too.
TRAINED = JsonFile[TrainingSummary]("summary.json", TrainingSummary, remade=True, sealed=True)
FAILED = JsonFile[Failed]("failed.json", Failed, remade=True)
PROGRESS = JsonFile[Progress]("progress.json", Progress, derived=True, remade=True)
DATA = JsonLines[Example]("data.jsonl", Example)
METRICS = JsonLines[Logged]("metrics.jsonl", _Logged)
COMPLETIONS = JsonLines[Completion]("completions.jsonl", Completion)
HEALTH = JsonLines[Finding]("health.jsonl", Finding)
EVALUATIONS = JsonLines[HeldOut]("evaluations.jsonl", HeldOut)
