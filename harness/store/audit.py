"""``audit.json``: what each reward function of a recipe pays for, and what is wrong (:mod:`harness.rewards.audit`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from harness.store.files import JsonFile, Stored

Family = Literal["gold", "near miss", "invariance", "hack", "thought"]
Promise = Literal[
    "exact",
    "numeric",
    "symbolic",
    "format",
    "layout",
    "penalty",
    "unknown",
    "free",
    "choice",
    "words",
    "overlap",
    "pattern",
    "schema",
]

FAMILIES: tuple[Family, ...] = get_args(Family)

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Outcome(Stored):
    """What one reward function gave for one case. ``value`` is before weighting."""

    family: str
    name: str
    truth: str
    answer: str
    expected: str
    value: float | None
    paid: bool
    passed: bool


@dataclass(frozen=True, slots=True)
class RewardAudit(Stored):
    """One reward function, audited. ``gold`` and ``nothing`` are what it pays for a right answer and for none;
    more than halfway between them is *paid*. ``findings`` are sentences, empty where all is as promised."""

    name: str
    promise: Promise
    form: str
    gold: float | None
    nothing: float | None
    cases: tuple[Outcome, ...]
    seconds_per_completion: float
    slowest: str
    slowest_seconds: float
    deterministic: bool
    findings: tuple[str, ...] = ()

    def counts(self) -> dict[str, tuple[int, int]]:
        """(as promised, all) by family."""
        by_family = {family: [each.passed for each in self.cases if each.family == family] for family in FAMILIES}
        return {family: (sum(passed), len(passed)) for family, passed in by_family.items()}


@dataclass(frozen=True, slots=True)
class GoldCheck(Stored):
    """A grader on a task's own ground truths: each said back must be accepted, and one more than each refused.
    ``faults`` say where a user's grader failed."""

    name: str
    questions: int
    refused: tuple[str, ...]
    numbers: int
    accepted_one_more: tuple[str, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Total(Stored):
    """What the recipe's weighted total pays for one case."""

    family: str
    name: str
    total: float | None


@dataclass(frozen=True, slots=True)
class Disagreement(Stored):
    """A case that the strict and the flexible grader judge differently."""

    family: str
    name: str
    truth: str
    answer: str
    strict: bool
    flexible: bool


@dataclass(frozen=True, slots=True)
class Audit(Stored):
    """``audit.json``. ``form`` is that in which the recipe's rewards read answers: what the one that decides says, or
    else as it was found. ``totals`` are of the cases, and ``right``, ``wrong`` and ``nothing`` what the total pays for
    honest answers, in the form of each reward. ``key`` is the content of what decides it."""

    form: str
    rewards: tuple[RewardAudit, ...]
    weights: dict[str, float]
    right: float | None
    wrong: float | None
    nothing: float | None
    totals: tuple[Total, ...]
    disagreements: tuple[Disagreement, ...]
    golds: tuple[GoldCheck, ...]
    key: str = ""

    @property
    def findings(self) -> list[str]:
        """What is wrong, a sentence each; empty where everything is as promised."""
        found = [finding for each in self.rewards for finding in each.findings]
        for each in self.golds:
            if each.refused:
                named = ", ".join(each.refused[:_MOST_NAMED])
                found.append(f"{each.name} refuses {len(each.refused)} gold answers of {each.questions}: {named}")
            if each.accepted_one_more:
                named = ", ".join(each.accepted_one_more[:_MOST_NAMED])
                found.append(f"{each.name} accepts one more than the gold answer of {named}")
            found += each.faults
        return found

    def hacks_paid(self) -> list[Total]:
        """Hacks whose total is above that of an honest wrong answer, the dearest first."""
        wrong = self.wrong or 0.0
        paid = [each for each in self.totals if each.family == "hack" and (each.total or 0.0) > wrong]
        return sorted(paid, key=lambda each: -(each.total or 0.0))


AUDIT = JsonFile[Audit]("audit.json", Audit, remade=True)
