"""Audits all rewards of a recipe: each by itself, what their weighted total pays for a hack, and the task's golds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.rewards import RewardCalls, answer_form, parse_number, resolve_reward, weighted_total
from harness.rewards.audit.case import CASES
from harness.rewards.audit.reward import Outcome, RewardAudit, answer_in, audit_reward
from harness.rewards.score import primary_grader, strict_and_flexible
from harness.tasks import Question
from harness.tasks.forms import form_of

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class GoldCheck:
    """A grader on a task's own ground truths: each said back must be accepted, and one more than each refused.
    ``faults`` say where a user's grader failed."""

    name: str
    questions: int
    refused: tuple[str, ...]
    numbers: int
    accepted_one_more: tuple[str, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Total:
    """What the recipe's weighted total pays for one case."""

    family: str
    name: str
    total: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A case that the strict and the flexible grader judge differently."""

    family: str
    name: str
    truth: str
    answer: str
    strict: bool
    flexible: bool


@dataclass(frozen=True, slots=True)
class Audit:
    """``audit.json``. ``form`` is that in which the recipe's rewards read answers: what the one that decides says, or
    else as it was found. ``totals`` are of the cases, and ``right``, ``wrong`` and ``nothing`` what the total pays for
    honest answers, in the form of each reward."""

    form: str
    rewards: tuple[RewardAudit, ...]
    weights: Mapping[str, float]
    right: float | None
    wrong: float | None
    nothing: float | None
    totals: tuple[Total, ...]
    disagreements: tuple[Disagreement, ...]
    golds: tuple[GoldCheck, ...]

    @property
    def findings(self) -> list[str]:
        """What is wrong, a sentence each; empty where everything is as promised."""
        found = [finding for each in self.rewards for finding in each.findings]
        for each in self.golds:
            if each.refused:
                shown = ", ".join(each.refused[:_SHOWN])
                found.append(f"{each.name} refuses {len(each.refused)} gold answers of {each.questions}: {shown}")
            if each.accepted_one_more:
                shown = ", ".join(each.accepted_one_more[:_SHOWN])
                found.append(f"{each.name} accepts one more than the gold answer of {shown}")
            found += each.faults
        return found

    def hacks_paid(self) -> list[Total]:
        """Hacks whose total is above that of an honest wrong answer, the dearest first."""
        wrong = self.wrong or 0.0
        paid = [each for each in self.totals if each.family == "hack" and (each.total or 0.0) > wrong]
        return sorted(paid, key=lambda each: -(each.total or 0.0))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "findings": self.findings}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Audit:
        """The way back; raises ``KeyError`` or ``TypeError`` for what is no audit."""
        return cls(
            form=kept["form"],
            rewards=tuple(RewardAudit.from_json(each) for each in kept["rewards"]),
            weights=kept["weights"],
            right=kept["right"],
            wrong=kept["wrong"],
            nothing=kept["nothing"],
            totals=tuple(Total(**each) for each in kept["totals"]),
            disagreements=tuple(Disagreement(**each) for each in kept["disagreements"]),
            golds=tuple(
                GoldCheck(
                    each["name"],
                    each["questions"],
                    tuple(each["refused"]),
                    each["numbers"],
                    tuple(each["accepted_one_more"]),
                    tuple(each.get("faults", ())),
                )
                for each in kept["golds"]
            ),
        )


def audit_rewards(rewards: Mapping[str, float], questions: Iterable[Question] = ()) -> Audit:
    """Audit a recipe's ``rewards`` (name to weight, with their parameters) and, with ``questions``, its golds.

    Raises:
        RewardError: a name does not resolve.
    """
    audited = tuple(audit_reward(name, rewards) for name in rewards)
    values = {each.name: [outcome.value for outcome in each.cases] for each in audited}
    asked = list(questions)
    return Audit(
        form=answer_form(rewards) or _found(audited),
        rewards=audited,
        weights=dict(rewards),
        right=weighted_total({each.name: each.gold for each in audited}, rewards),
        wrong=weighted_total({each.name: _value(each, "near miss", "one less") for each in audited}, rewards),
        nothing=weighted_total({each.name: each.nothing for each in audited}, rewards),
        totals=tuple(
            Total(case.family, case.name, weighted_total({name: given[row] for name, given in values.items()}, rewards))
            for row, case in enumerate(CASES)
        ),
        disagreements=tuple(disagreements(rewards)),
        golds=tuple(
            check_golds(RewardCalls(rewards), each.name, each.form, asked)
            for each in audited
            if asked and hasattr(resolve_reward(each.name), "grade")
        ),
    )


def disagreements(rewards: Iterable[str]) -> Iterable[Disagreement]:
    """The cases on which the strict and the flexible grader, which grade every answer, do not agree; none where the
    form of answers is not known."""
    functions = {name: resolve_reward(name) for name in rewards}
    graders = tuple(strict_and_flexible(functions).values())
    if not graders:
        return
    strict, flexible = graders
    form = form_of(functions) or "box"
    for case in CASES:
        text = case.completion(form)
        said = strict(text, case.truth).correct is True, flexible(text, case.truth).correct is True
        if said[0] != said[1]:
            yield Disagreement(case.family, case.name, case.truth, case.shown(form), *said)


def _found(audited: Iterable[RewardAudit]) -> str:
    """The form of the first reward that judges answers."""
    judging = (each.form for each in audited if each.promise not in ("free", "penalty"))
    return next(judging, "box")


def _value(audit: RewardAudit, family: str, name: str) -> float | None:
    outcomes: dict[tuple[str, str], Outcome] = {(each.family, each.name): each for each in audit.cases}
    return outcomes[family, name].value


def check_golds(calls: RewardCalls, name: str, form: str, questions: Sequence[Question]) -> GoldCheck:
    """The grader called ``name`` on the ground truths of questions, said back in the form that it reads. ``calls`` hold
    it to its time, and count where it fails."""
    _, grader = primary_grader({name: calls.functions[name]})
    refused, numbers, accepted = [], 0, []
    for row, question in enumerate(questions):
        truth = question.ground_truth
        if calls.grade(name, grader, answer_in(form, truth), truth, row).correct is not True:
            refused.append(question.id)
        number = parse_number(truth)
        if number is not None:
            numbers += 1
            if calls.grade(name, grader, answer_in(form, str(number + 1)), truth, row).correct:
                accepted.append(question.id)
    faults = tuple(calls.faults.sentences())
    return GoldCheck(name, len(questions), tuple(refused), numbers, tuple(accepted), faults)
