"""Audits one reward function: every case of :data:`harness.rewards.audit.case.CASES`, determinism, and time."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.rewards import RewardCalls, Rewards
from harness.rewards.audit.case import CASES, FAMILIES, PROMISES, Case, Promise
from harness.rewards.audit.hacks import QUESTION, TRUTH
from harness.tasks.forms import FORMS, form_of

SLOW_SECONDS = 60.0
"""A case that takes longer is a finding: hostile ones take about a tenth of it on one busy core."""

_NOTHING = "I do not know."
_WRONG = "41"
_CHARACTERS_A_TOKEN = 4  # no tokenizer here: lengths in tokens are guessed from characters
_ORDINARY_CHARACTERS = 5_000


@dataclass(frozen=True, slots=True)
class Outcome:
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
class RewardAudit:
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
    findings: tuple[str, ...]

    def counts(self) -> dict[str, tuple[int, int]]:
        """(as promised, all) by family."""
        by_family = {family: [each for each in self.cases if each.family == family] for family in FAMILIES}
        return {family: (sum(each.passed for each in found), len(found)) for family, found in by_family.items()}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> RewardAudit:
        """The way back; raises ``KeyError`` or ``TypeError`` for what is no audit."""
        cases = tuple(Outcome(**each) for each in kept["cases"])
        return cls(**{**kept, "cases": cases, "findings": tuple(kept["findings"])})


def audit_reward(name: str, rewards: Mapping[str, float] | None = None) -> RewardAudit:
    """Audit the function called ``name``, with the parameters and limits that ``rewards`` gives it.

    Raises:
        RewardError: there is no such function.
    """
    table = Rewards.of(rewards or {name: 1.0})
    one = Rewards(
        {name: 1.0},
        {name: table.parameters[name]} if name in table.parameters else {},
        {name: table.limit(name)},
    )
    calls = RewardCalls(one)
    promise, form = PROMISES.get(name) or _found(calls)
    texts = [case.completion(form) for case in CASES]
    truths = [case.truth for case in CASES]
    gold, nothing = _values(calls, [answer_in(form, TRUTH), _NOTHING], [TRUTH, TRUTH])
    values, seconds = _one_at_a_time(calls, texts, truths)
    outcomes = tuple(
        _outcome(case, form, promise, value, gold, nothing) for case, value in zip(CASES, values, strict=True)
    )
    deterministic = _again(calls, texts, truths, values)
    slowest = max(range(len(CASES)), key=seconds.__getitem__)
    ordinary = [spent for spent, text in zip(seconds, texts, strict=True) if len(text) < _ORDINARY_CHARACTERS]
    made = RewardAudit(
        name=name,
        promise=promise,
        form=form,
        gold=gold,
        nothing=nothing,
        cases=outcomes,
        seconds_per_completion=sorted(ordinary)[len(ordinary) // 2],
        slowest=CASES[slowest].name,
        slowest_seconds=seconds[slowest],
        deterministic=deterministic,
        findings=(),
    )
    return RewardAudit(**{**{key: getattr(made, key) for key in made.__slots__}, "findings": _findings(made, calls)})


def answer_in(form: str, answer: str) -> str:
    """A short completion with an answer in a form."""
    before, behind = FORMS[form]
    return f"{before}{answer}{behind}"


def _found(calls: RewardCalls) -> tuple[Promise, str]:
    """The form in which a function of the user's reads answers: what it says, or else the first in which a right one is
    worth most more than a wrong one. One that makes no difference between them judges something else."""
    right = _values(calls, [answer_in(form, TRUTH) for form in FORMS], [TRUTH] * len(FORMS))
    wrong = _values(calls, [answer_in(form, _WRONG) for form in FORMS], [TRUTH] * len(FORMS))
    worth = {form: (a or 0.0) - (b or 0.0) for form, a, b in zip(FORMS, right, wrong, strict=True)}
    form = form_of(calls.functions) or max(worth, key=worth.__getitem__)
    (function,) = calls.functions.values()
    return ("unknown" if worth[form] > 0 or hasattr(function, "grade") else "free"), form


def _values(calls: RewardCalls, texts: Sequence[str], truths: Sequence[str]) -> list[float | None]:
    """What a function gives, called as TRL calls it with a chat dataset."""
    size = len(texts)
    columns = {
        "ground_truth": list(truths),
        "question": [QUESTION] * size,
        "question_id": [f"audit/{row}" for row in range(size)],
        "completion_tokens": [len(text) // _CHARACTERS_A_TOKEN + 1 for text in texts],
    }
    prompts = [[{"role": "user", "content": QUESTION}] for _ in texts]
    (values,) = calls(prompts, [[{"role": "assistant", "content": text}] for text in texts], columns).values()
    return values


def _one_at_a_time(
    calls: RewardCalls, texts: Sequence[str], truths: Sequence[str]
) -> tuple[list[float | None], list[float]]:
    _values(calls, texts[:1], truths[:1])  # the first call may load something
    values, seconds = [], []
    for text, truth in zip(texts, truths, strict=True):
        started = time.perf_counter()
        values += _values(calls, [text], [truth])
        seconds.append(time.perf_counter() - started)
    return values, seconds


def _again(calls: RewardCalls, texts: Sequence[str], truths: Sequence[str], values: Sequence[float | None]) -> bool:
    """Whether a batch of all, and a shuffled one, give what one completion at a time gave."""
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    for rows in (range(len(texts)), order):
        batch = _values(calls, [texts[row] for row in rows], [truths[row] for row in rows])
        if batch != [values[row] for row in rows]:
            return False
    return True


def _outcome(
    case: Case, form: str, promise: Promise, value: float | None, gold: float | None, nothing: float | None
) -> Outcome:
    expected = case.expects(promise, form)
    paid = value is not None and gold is not None and value > ((nothing or 0.0) + gold) / 2
    if promise == "penalty":
        paid, passed = False, value is not None and -1.0 <= value <= 0.0
    elif expected == "paid" and gold is not None and gold > (nothing or 0.0):
        passed = paid
    else:
        passed = expected == "any" or (expected == "refused" and not paid)
    return Outcome(case.family, case.name, case.truth, case.shown(form), expected, value, paid, passed)


def _findings(audit: RewardAudit, calls: RewardCalls) -> tuple[str, ...]:
    found = []
    for each in audit.cases:
        if not each.passed and audit.promise == "penalty":
            found.append(f"{audit.name} gives {each.value} for {each.family} {each.name!r}: it must be from -1 to 0")
        elif not each.passed:
            verb = "pays" if each.expected == "refused" else "refuses"
            found.append(f"{audit.name} {verb} {each.family} {each.name!r}: {each.answer!r} for {each.truth!r}")
    if not audit.deterministic:
        found.append(f"{audit.name} does not give the same twice, or in another batch or order")
    if audit.slowest_seconds > SLOW_SECONDS:
        found.append(f"{audit.name} takes {audit.slowest_seconds:.0f} s for {audit.slowest!r}")
    return (*found, *calls.faults.sentences())
