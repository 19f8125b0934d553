"""The reward audit of a run, from ``audit.json``: what each reward paid for right answers, near misses and hacks."""

from __future__ import annotations

from dataclasses import dataclass

from harness.store.audit import FAMILIES, Audit, Outcome, RewardAudit


@dataclass(frozen=True, slots=True)
class Hack:
    """What one hack would be paid: by reward, and in the recipe's weighted total."""

    name: str
    answer: str
    values: tuple[float | None, ...]
    total: float | None
    above_wrong: bool


def kind_of(case: Outcome) -> str:
    """``paid`` or ``refused`` as promised, ``price`` paid by choice, ``bad``."""
    if not case.passed:
        return "bad"
    return "refused" if not case.paid else "price" if case.expected == "any" else "paid"


def cells_of(reward: RewardAudit) -> dict[str, list[Outcome]]:
    """A reward's cases by family."""
    return {family: [each for each in reward.cases if each.family == family] for family in FAMILIES}


def hacks_of(audit: Audit) -> list[Hack]:
    """Every hack, the dearest first; of the same price in the table's order."""
    dear, found = audit.hacks_paid(), []
    for row in (each for each in audit.totals if each.family == "hack"):
        cases = [next(each for each in reward.cases if each.name == row.name) for reward in audit.rewards]
        values = tuple(each.value for each in cases)
        found.append(Hack(row.name, cases[0].answer, values, row.total, row in dear))
    return sorted(found, key=lambda hack: -(hack.total or 0.0))
