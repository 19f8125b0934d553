"""The reward audit of a run, from ``audit.json``: what each reward paid for right answers, near misses and hacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.loose import dicts, number, string, whole

FAMILIES = ("gold", "near miss", "invariance", "hack", "thought")


@dataclass(frozen=True, slots=True)
class Cell:
    """One case of one reward. ``kind``: ``paid`` or ``refused`` as promised, ``price`` paid by choice, ``bad``."""

    name: str
    answer: str
    truth: str
    kind: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Reward:
    """One reward function's row of the matrix; ``passed`` is (as promised, all) by family."""

    name: str
    promise: str
    weight: float | None
    microseconds: float | None
    slowest: str
    slowest_seconds: float | None
    deterministic: bool
    cells: Mapping[str, tuple[Cell, ...]]
    passed: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Hack:
    """What one hack would be paid: by reward, and in the recipe's weighted total."""

    name: str
    answer: str
    values: tuple[float | None, ...]
    total: float | None
    above_wrong: bool


@dataclass(frozen=True, slots=True)
class Golds:
    """One grader on the task's own gold answers."""

    name: str
    accepted: int
    questions: int
    one_more: int
    numbers: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A case that the strict and the flexible grader judge differently; ``strict`` is who pays."""

    family: str
    name: str
    truth: str
    answer: str
    strict: bool


@dataclass(frozen=True, slots=True)
class Audit:
    """The whole section. ``right``, ``wrong`` and ``nothing`` are what the total pays for honest answers."""

    rewards: tuple[Reward, ...]
    right: float | None
    wrong: float | None
    nothing: float | None
    hacks: tuple[Hack, ...]
    golds: tuple[Golds, ...]
    disagreements: tuple[Disagreement, ...]
    findings: tuple[str, ...]


def audit_of(tree: Mapping[str, Any]) -> Audit | None:
    """The section of one run, or ``None`` where its rewards were not audited."""
    rewards = dicts(tree.get("rewards"))
    if not rewards:
        return None
    weights = tree.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    wrong = number(tree.get("wrong"))
    findings = tree.get("findings")
    return Audit(
        rewards=tuple(_reward(row, weights) for row in rewards),
        right=number(tree.get("right")),
        wrong=wrong,
        nothing=number(tree.get("nothing")),
        hacks=_hacks(rewards, dicts(tree.get("totals")), wrong or 0.0),
        golds=tuple(_golds(row) for row in dicts(tree.get("golds"))),
        disagreements=tuple(_disagreement(row) for row in dicts(tree.get("disagreements"))),
        findings=tuple(string(each) for each in findings) if isinstance(findings, list) else (),
    )


def _reward(row: Mapping[str, Any], weights: Mapping[str, Any]) -> Reward:
    cells: dict[str, list[Cell]] = {family: [] for family in FAMILIES}
    passed = {family: [0, 0] for family in FAMILIES}
    for case in dicts(row.get("cases")):
        family = string(case.get("family"))
        if family in cells:
            cells[family].append(_cell(case))
            passed[family][0] += case.get("passed") is True
            passed[family][1] += 1
    seconds = number(row.get("seconds_per_completion"))
    return Reward(
        name=string(row.get("name")),
        promise=string(row.get("promise")),
        weight=number(weights.get(string(row.get("name")))),
        microseconds=None if seconds is None else seconds * 1e6,
        slowest=string(row.get("slowest")),
        slowest_seconds=number(row.get("slowest_seconds")),
        deterministic=row.get("deterministic") is True,
        cells={family: tuple(found) for family, found in cells.items()},
        passed={family: (good, of) for family, (good, of) in passed.items()},
    )


def _cell(case: Mapping[str, Any]) -> Cell:
    paid = case.get("paid") is True
    if case.get("passed") is not True:
        kind = "bad"
    elif case.get("expected") == "any":
        kind = "price" if paid else "refused"
    else:
        kind = "paid" if paid else "refused"
    name, answer, truth = (string(case.get(key)) for key in ("name", "answer", "truth"))
    return Cell(name, answer, truth, kind, number(case.get("value")))


def _hacks(rewards: list[dict[str, Any]], totals: list[dict[str, Any]], wrong: float) -> tuple[Hack, ...]:
    """Every hack, the dearest first; of the same price in the table's order."""
    by_reward = [
        {string(case.get("name")): case for case in dicts(row.get("cases")) if case.get("family") == "hack"}
        for row in rewards
    ]
    found = []
    for row in totals:
        if row.get("family") == "hack":
            name, total = string(row.get("name")), number(row.get("total"))
            cases = [cases.get(name, {}) for cases in by_reward]
            values = tuple(number(case.get("value")) for case in cases)
            found.append(Hack(name, string(cases[0].get("answer")), values, total, (total or 0.0) > wrong))
    return tuple(sorted(found, key=lambda hack: -(hack.total or 0.0)))


def _disagreement(row: Mapping[str, Any]) -> Disagreement:
    family, name, truth, answer = (string(row.get(key)) for key in ("family", "name", "truth", "answer"))
    return Disagreement(family, name, truth, answer, row.get("strict") is True)


def _golds(row: Mapping[str, Any]) -> Golds:
    refused, accepted = row.get("refused"), row.get("accepted_one_more")
    questions = whole(row.get("questions")) or 0
    return Golds(
        string(row.get("name")),
        questions - (len(refused) if isinstance(refused, list) else 0),
        questions,
        len(accepted) if isinstance(accepted, list) else 0,
        whole(row.get("numbers")) or 0,
    )
