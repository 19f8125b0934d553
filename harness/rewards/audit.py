r"""The reward audit: what a reward function pays for right answers, for almost right ones, and for tricks.

    >>> audit = audit_reward("boxed_numeric")
    >>> audit.findings, audit.deterministic
    ((), True)

The cases are the lines of ``audit_cases.jsonl``: ``family``, ``name``, ground ``truth``, ``answer``, and who pays:
``paid`` names the promises that do, ``any`` those that are held to nothing, and all others refuse. Some promises
have cases of their own, which name them as ``for`` and whose ``answer`` is the whole completion; the function is then
tried with :data:`SETTINGS` and not with a recipe's parameters, and the first gold is what it is measured by. Of a hack
or a thought of all others, ``answer`` is the whole completion with ``[[42]]`` for an answer in the form that a grader
reads, and the question is :data:`QUESTION`; of others it is what stands in the form. A long answer is a list of texts
and of ``[text, times]``.

What is expected follows from what a function promises:

- ``exact`` (equal as text, in the first form), ``numeric`` (the same number or words), ``symbolic`` (the same
  expression), ``format`` (an answer in the form), ``layout`` (a thought, and then one answer in tags);
- ``choice`` (the option of :data:`SETTINGS`, by letter or by text), ``words`` (the same words), ``overlap`` (more than
  half of them, in any order), ``pattern`` (as the ground truth's regular expression has it),
  ``schema`` (JSON that the ground truth admits);
- ``penalty``: a value from -1 to 0 for anything;
- ``unknown``: a function of the user's that grades, or pays a right answer more than a wrong one;
- ``free``: any other, held to nothing but repeatability.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from harness.rewards import RewardCalls, Rewards, answer_form, functions_of, parse_number
from harness.rewards.grader import form_of
from harness.rewards.score import grader_versions, primary_grader, strict_and_flexible, weighted_total
from harness.store.audit import AUDIT, Audit, Disagreement, Family, GoldCheck, Outcome, Promise, RewardAudit, Total
from harness.store.run_directory import digest
from harness.tasks import Question
from harness.tasks.forms import FORMS

Expected = Literal["paid", "refused", "any"]
Row = Mapping[str, Any]

PROMISES: Mapping[str, tuple[Promise, str]] = MappingProxyType(
    {
        "boxed_exact": ("exact", "box"),
        "boxed_numeric": ("numeric", "box"),
        "math_equivalent": ("symbolic", "box"),
        "answer_in_tags": ("numeric", "tags"),
        "format_boxed": ("format", "box"),
        "format_tags": ("layout", "thought"),
        "length_penalty": ("penalty", "box"),
        "repetition_penalty": ("penalty", "box"),
        "choice": ("choice", "letter"),
        "exact": ("words", "line"),
        "f1": ("overlap", "line"),
        "regex": ("pattern", "line"),
        "json_schema": ("schema", "json"),
    }
)
"""Promise and form of the shipped reward functions."""

SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"choice": {"options": ["London", "Paris", "New York", "York", "None of these"]}}
)
"""The parameters with which those are tried that have cases of their own."""

QUESTION = "Natalia sold 30 clips in April and 12 clips in May. How many clips did she sell altogether?"
TRUTH, WRONG, NOTHING = "42", "41", "I do not know."
SLOW_SECONDS = 60.0
"""A case that takes longer is a finding: hostile ones take about a tenth of it on one busy core."""

_RULES: tuple[Promise, ...] = ("pattern", "schema")  # their ground truths are rules, and no answers
_TABLE = Path(__file__).with_name("audit_cases.jsonl")
_MOST_SHOWN = 120
_CHARACTERS_A_TOKEN = 4  # no tokenizer here: lengths in tokens are guessed from characters
_ORDINARY_CHARACTERS = 5_000


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table. ``expected`` is by promise."""

    family: Family
    name: str
    truth: str
    answer: str
    expected: Mapping[Promise, Expected]
    own: frozenset[Promise] = frozenset()

    def belongs(self, promises: Iterable[Promise]) -> bool:
        """Whether it is a case of one of these promises."""
        own = self.own or _COMMON
        return any(promise in own for promise in promises)

    def completion(self, form: str) -> str:
        """The whole completion, its answers in a form of :data:`FORMS`."""
        if self.own:
            return self.answer
        if self.family in ("hack", "thought"):
            before, behind = FORMS["tags" if form == "thought" else form]
            return self.answer.replace("[[", before).replace("]]", behind)
        text = answer_in(form, self.answer)
        return text if form == "thought" else f"We work it out step by step.\nThe answer is {text}"

    def expects(self, promise: Promise, form: str) -> Expected:
        """What is expected in a form. Where nothing but a line's end closes it, a form that is cut off is whole, and a
        bare answer may be one: no one is held to such a hack."""
        open_ended = self.family == "hack" and not self.own and not FORMS[form].behind.strip()
        whole = self.answer.count("[[") == self.answer.count("]]") and ("[[" in self.answer or TRUTH not in self.answer)
        return "any" if open_ended and not whole else self.expected[promise]

    def shown(self, form: str) -> str:
        """What a person reads of it: the answer, or the whole completion of a hack or thought, a long one cut."""
        text = self.completion(form) if self.family in ("hack", "thought") else self.answer
        return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 40]}... ({len(text)} characters)"


def answer_in(form: str, answer: str) -> str:
    """A short completion with an answer in a form."""
    return f"{FORMS[form].before}{answer}{FORMS[form].behind}"


def _case(row: Mapping[str, Any]) -> Case:
    answer, own = row["answer"], frozenset(row.get("for", ()))
    held_to_nothing = {"penalty", "free", *row.get("any", ()), *(_ALL - own if own else OWN)}
    if not isinstance(answer, str):
        answer = "".join(part if isinstance(part, str) else part[0] * part[1] for part in answer)
    expected: dict[Promise, Expected] = {
        promise: "any" if promise in held_to_nothing else "paid" if promise in row["paid"] else "refused"
        for promise in get_args(Promise)
    }
    return Case(row["family"], row["name"], row["truth"], answer, MappingProxyType(expected), own)


_ROWS = [json.loads(line) for line in _TABLE.read_text(encoding="utf-8").splitlines()]
_ALL: frozenset[Promise] = frozenset(get_args(Promise))
OWN: frozenset[Promise] = frozenset(promise for row in _ROWS for promise in row.get("for", ()))
"""The promises that have cases of their own."""
_COMMON = _ALL - OWN
CASES: tuple[Case, ...] = tuple(map(_case, _ROWS))


def _deciding(rewards: Mapping[str, float]) -> Promise:
    """The promise of the function that decides in a recipe."""
    return PROMISES.get(primary_grader(functions_of(rewards))[0], ("unknown", ""))[0]


def _measure(cases: Iterable[Case], promise: Promise, form: str) -> tuple[str, str]:
    """The right answer, and its ground truth, by whose reward all others are measured."""
    golds = (case for case in cases if case.family == "gold" and promise in case.own)
    return next(((case.answer, case.truth) for case in golds), (answer_in(form, TRUTH), TRUTH))


# One function


def audit_reward(name: str, rewards: Mapping[str, float] | None = None, row: Row = MappingProxyType({})) -> RewardAudit:
    """Audit the function called ``name``, with the parameters and limits that ``rewards`` gives it: every case by
    itself, all at once, and shuffled. ``row`` has the columns that it takes, of a question for all cases. Raises
    ``RewardError`` where there is no such function, or a column is missing."""
    table = Rewards.of(rewards or {name: 1.0})
    parameters = SETTINGS if PROMISES.get(name, ("unknown", ""))[0] in OWN else table.parameters
    own = {name: parameters[name]} if name in parameters else {}
    calls = RewardCalls(Rewards({name: 1.0}, own, {name: table.limit(name)}, folder=table.folder))
    promise, form = PROMISES.get(name) or _tried(calls, row)
    cases = [case for case in CASES if case.belongs([promise, _deciding(table)])]  # so that a total can be said of them
    texts = [case.completion(form) for case in cases]
    truths = [case.truth for case in cases]
    right, truth = _measure(cases, promise, form)
    gold, nothing = _values(calls, row, [right, NOTHING], [truth, truth])
    values, seconds = _one_at_a_time(calls, row, texts, truths)
    slowest = max(range(len(cases)), key=seconds.__getitem__)
    ordinary = [spent for spent, text in zip(seconds, texts, strict=True) if len(text) < _ORDINARY_CHARACTERS]
    audit = RewardAudit(
        name=name,
        promise=promise,
        form=form,
        gold=gold,
        nothing=nothing,
        cases=tuple(
            _outcome(case, form, promise, value, gold, nothing) for case, value in zip(cases, values, strict=True)
        ),
        seconds_per_completion=sorted(ordinary)[len(ordinary) // 2],
        slowest=cases[slowest].name,
        slowest_seconds=seconds[slowest],
        deterministic=_same_again(calls, row, texts, truths, values),
    )
    return replace(audit, findings=(*_findings(audit), *calls.faults.sentences()))


def _tried(calls: RewardCalls, row: Row) -> tuple[Promise, str]:
    """The form in which a function of the user's reads answers: what it says, or else the first in which a right one is
    worth most more than a wrong one. One that makes no difference between them judges something else."""
    right, wrong = (
        _values(calls, row, [answer_in(form, answer) for form in FORMS], [TRUTH] * len(FORMS))
        for answer in (TRUTH, WRONG)
    )
    worth = {form: (a or 0.0) - (b or 0.0) for form, a, b in zip(FORMS, right, wrong, strict=True)}
    form = form_of(calls.functions) or max(worth, key=worth.__getitem__)
    (function,) = calls.functions.values()
    return ("unknown" if worth[form] > 0 or hasattr(function, "grade") else "free"), form


def _values(calls: RewardCalls, row: Row, texts: Sequence[str], truths: Sequence[str]) -> list[float | None]:
    """What a function gives, called as TRL calls it with a chat dataset."""
    size = len(texts)
    columns = {
        **{name: [value] * size for name, value in row.items()},
        "ground_truth": list(truths),
        "question": [QUESTION] * size,
        "question_id": [f"audit/{number}" for number in range(size)],
        "completion_tokens": [len(text) // _CHARACTERS_A_TOKEN + 1 for text in texts],
    }
    prompts = [[{"role": "user", "content": QUESTION}]] * size
    (values,) = calls(prompts, [[{"role": "assistant", "content": text}] for text in texts], columns).values()
    return values


def _one_at_a_time(
    calls: RewardCalls, row: Row, texts: Sequence[str], truths: Sequence[str]
) -> tuple[list[float | None], list[float]]:
    _values(calls, row, texts[:1], truths[:1])  # the first call may load something
    values, seconds = [], []
    for text, truth in zip(texts, truths, strict=True):
        started = time.perf_counter()
        values += _values(calls, row, [text], [truth])
        seconds.append(time.perf_counter() - started)
    return values, seconds


def _same_again(
    calls: RewardCalls, row: Row, texts: Sequence[str], truths: Sequence[str], values: Sequence[float | None]
) -> bool:
    """Whether a batch of all, and a shuffled one, give what one completion at a time gave."""
    order = list(range(len(texts)))
    for shuffled in (order, random.Random(0).sample(order, len(order))):
        again = _values(calls, row, [texts[each] for each in shuffled], [truths[each] for each in shuffled])
        if again != [values[each] for each in shuffled]:
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


def _findings(audit: RewardAudit) -> Iterable[str]:
    for each in audit.cases:
        if not each.passed and audit.promise == "penalty":
            yield f"{audit.name} gives {each.value} for {each.family} {each.name!r}: it must be from -1 to 0"
        elif not each.passed:
            verb = "pays" if each.expected == "refused" else "refuses"
            yield f"{audit.name} {verb} {each.family} {each.name!r}: {each.answer!r} for {each.truth!r}"
    if not audit.deterministic:
        yield f"{audit.name} does not give the same twice, or in another batch or order"
    if audit.slowest_seconds > SLOW_SECONDS:
        yield f"{audit.name} takes {audit.slowest_seconds:.0f} s for {audit.slowest!r}"


# A recipe


def audit_rewards(rewards: Mapping[str, float], questions: Iterable[Question] = ()) -> Audit:
    """Audit a recipe's ``rewards`` (name to weight, with their parameters) and, with ``questions``, its golds.

    Raises ``RewardError`` where a name does not resolve.
    """
    functions, asked = functions_of(rewards), list(questions)
    answered = [each for each in asked if each.ground_truth]
    row = asked[0].columns if asked else {}
    audits = tuple(audit_reward(name, rewards, row) for name in functions)
    judging = (each.form for each in audits if each.promise not in ("free", "penalty"))
    cases = [(case.family, case.name) for case in CASES if case.belongs([_deciding(rewards)])]
    values = {each.name: {(case.family, case.name): case.value for case in each.cases} for each in audits}

    def total(case: tuple[Family, str]) -> float | None:
        return weighted_total({name: given[case] for name, given in values.items() if case in given}, rewards)

    return Audit(
        form=answer_form(rewards) or next(judging, "box"),
        rewards=audits,
        weights=dict(rewards),
        right=weighted_total({each.name: each.gold for each in audits}, rewards),
        wrong=total(next(case for case in cases if case[0] == "near miss")),
        nothing=weighted_total({each.name: each.nothing for each in audits}, rewards),
        totals=tuple(Total(*case, total(case)) for case in cases),
        disagreements=tuple(disagreements(rewards)),
        golds=tuple(
            check_golds(RewardCalls(rewards), each.name, each.form, answered)
            for each in audits
            if answered and hasattr(functions[each.name], "grade") and each.promise not in _RULES
        ),
    )


def disagreements(rewards: Iterable[str]) -> Iterable[Disagreement]:
    """The cases on which the strict and the flexible grader, which grade every answer, do not agree; none where the
    form of answers is not known."""
    functions = functions_of(rewards)
    graders = tuple(strict_and_flexible(functions).values())
    form = form_of(functions) or "box"
    for case in CASES if graders else ():
        if case.own:
            continue
        strict, flexible = (grader(case.completion(form), case.truth).correct is True for grader in graders)
        if strict != flexible:
            yield Disagreement(case.family, case.name, case.truth, case.shown(form), strict, flexible)


def check_golds(calls: RewardCalls, name: str, form: str, questions: Sequence[Question]) -> GoldCheck:
    """The grader called ``name`` on the ground truths of questions, said back in the form that it reads. ``calls`` hold
    it to its time, and count where it fails."""
    _, grader = primary_grader({name: calls.functions[name]})
    gold = getattr(calls.functions[name], "gold", None)
    refused, numbers, accepted = [], 0, []
    for question in questions:
        truth, columns = question.ground_truth, {key: [value] for key, value in question.columns.items()}
        said = truth if gold is None else gold(truth, **question.columns)
        if calls.grade(name, grader, answer_in(form, said), truth, 0, columns).correct is not True:
            refused.append(question.id)
        number = parse_number(truth)
        if number is not None:
            numbers += 1
            if calls.grade(name, grader, answer_in(form, str(number + 1)), truth, 0, columns).correct:
                accepted.append(question.id)
    faults = tuple(calls.faults.sentences())
    return GoldCheck(name, len(questions), tuple(refused), numbers, tuple(accepted), faults)


# What was audited before


def audit_once(rewards: Rewards, questions: Sequence[Question], runs: Iterable[Path]) -> Audit:
    """The audit of these rewards, from one of these run directories or made now. One with findings is made again each
    time, since a busy machine makes some of them.

    Raises ``RewardError`` where a name does not resolve.
    """
    code = hashlib.sha256()
    for path in (Path(__file__), _TABLE):
        code.update(path.read_bytes().replace(b"\r\n", b"\n"))
    key = digest(
        {
            "audit": code.hexdigest(),
            "forms": dict(FORMS),
            "rewards": list(rewards.items()),
            "settings": rewards.settings(),
            "graders": grader_versions(rewards),
            "questions": [[each.id, each.ground_truth, each.columns] for each in questions],
        }
    )
    for run in runs:
        kept = AUDIT.fit(run)
        if kept and kept.key == key and not kept.findings:
            return kept
    return replace(audit_rewards(rewards, questions), key=key)
