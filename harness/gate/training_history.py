"""What the health checks look at: the logged steps of a job, its groups of completions, and its evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from harness.store.run_files import Completion, HeldOut, Logged

WINDOW = 5  # logged steps that one look averages over: a single step of a few completions is noise


@dataclass(frozen=True, slots=True)
class Group:
    """The completions to one question within one generation batch, in order; ``None`` where nothing was scored."""

    step: int
    question_id: str
    rewards: tuple[float | None, ...]
    statuses: tuple[str | None, ...]

    @property
    def scored(self) -> tuple[float, ...]:
        return tuple(reward for reward in self.rewards if reward is not None)

    @property
    def differs(self) -> bool:
        """Whether any two rewards differ: only then has the group a gradient."""
        return len(set(self.scored)) > 1


@dataclass(frozen=True, slots=True)
class History:
    """A job up to now.

    ``rows`` are the lines of ``metrics.jsonl`` that hold a ``loss``, and ``evaluations`` those of
    ``evaluations.jsonl``. ``formats`` names the rewards that judge no answer. ``concentration`` says how much the
    questions differ in difficulty (:func:`harness.gate.signal.concentration`); infinite where they are taken as equal.
    """

    rows: Sequence[Logged]
    groups: Sequence[Group] = ()
    evaluations: Sequence[HeldOut] = ()
    formats: tuple[str, ...] = ()
    concentration: float = math.inf

    @property
    def step(self) -> int:
        return self.rows[-1]["step"] if self.rows else 0

    def first(self, key: str) -> float | None:
        """Mean of a metric over its first :data:`WINDOW` logged steps; ``None`` before there are so many."""
        return _mean(_values(self.rows[:WINDOW], key))

    def latest(self, key: str) -> float | None:
        """The same over the latest ones."""
        return _mean(_values(self.rows[-WINDOW:], key))

    def first_groups(self) -> list[Group]:
        """The groups that the first :data:`WINDOW` logged steps learned from."""
        if len(self.rows) < WINDOW:
            return []
        until = self.rows[WINDOW - 1]["step"]
        return list(takewhile(lambda group: group.step <= until, self.groups))

    def latest_groups(self) -> list[Group]:
        """The groups that the latest :data:`WINDOW` logged steps learned from."""
        if len(self.rows) < WINDOW:
            return []
        after = self.rows[-WINDOW - 1]["step"] if len(self.rows) > WINDOW else 0
        found: list[Group] = []
        for group in reversed(self.groups):
            if group.step <= after:
                break
            found.append(group)
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check has seen: the number that it holds against its limit, and the sentence that says so."""

    value: float
    sentence: str


def groups_of(lines: Iterable[Completion]) -> list[Group]:
    """The groups in lines of ``completions.jsonl``, whose completions stand together."""
    made = []
    for _, members in groupby(lines, key=lambda line: (line.step, line.group)):
        group = list(members)
        made.append(
            Group(
                step=group[0].step,
                question_id=group[0].question_id,
                rewards=tuple(line.reward for line in group),
                statuses=tuple(line.status for line in group),
            )
        )
    return made


def share(statuses: Iterable[str | None], wanted: str) -> tuple[float, int]:
    """Share of one status among the completions that were judged, and how many those are."""
    judged = [status for status in statuses if status is not None and status != "unscored"]
    return (judged.count(wanted) / len(judged) if judged else 0.0), len(judged)


def standard_error(share: float, n: int) -> float:
    """Of a share of ``n`` completions; never 0, so that a run of equal outcomes is not taken for certainty."""
    softened = (share * n + 1) / (n + 2)
    return math.sqrt(softened * (1 - softened) / n) if n else math.inf


def _values(rows: Sequence[Logged], key: str) -> list[float]:
    values: list[object] = [row.get(key) for row in rows]
    return [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if len(values) >= WINDOW else None
