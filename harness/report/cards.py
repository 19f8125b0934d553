"""Questions as static HTML: what a reader without JavaScript meets, and what paper gets.

The markup is in ``reports/cards.html``. ``open.js`` fills the same slots in a browser; a test holds the two together.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.report import present
from harness.report.reasons import RULES
from harness.report.skeleton import fill, joined
from harness.report.spot import spots
from harness.report.text import folded, shorten, shown
from harness.store.redact import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.report.page import Page
    from harness.report.views import Question
    from harness.store.question import Message
    from harness.store.records import Grade, Record

ARROW = Markup(' <span class="soft" aria-hidden="true">→</span> ')
NOTHING = Markup("")


def rows(questions: Sequence[Question], page: Page) -> Markup:
    """The rows of some questions, each with its card."""
    return joined((row(question, page) for question in questions), "\n")


def row(question: Question, page: Page) -> Markup:
    """One question folded into a line that opens."""
    sides = [(word, present.side(answers)) for word, answers in sides_of(question, page)]
    marks = _arrows(
        fill(
            "mark",
            kind=side.kind,
            mark=side.mark,
            words=f"{word} {side.words}, " if page.two_sided else side.words + ", ",
        )
        for word, side in sides
    )
    flip = fill("flip", flip=question.flip, words=present.flip_words(question.flip, page.two_sided))
    return fill(
        "row",
        number=str(question.number),
        flip=question.flip,
        marks=marks + Markup(" ") + flip,
        text=shorten(question.text),
        truth=shorten(question.ground_truth, 24),
        said=_arrows(
            fill("said", words=shorten(side.extracted, 24) or present.NONE, cut="cut" if side.cut else "")
            for _, side in sides
        ),
        opened=card(question, page),
    )


def card(question: Question, page: Page) -> Markup:
    """One question opened. The turns that begin every prompt of the page are not told again."""
    own = question.prompt[len(page.common) :]
    return fill(
        "question",
        earlier=earlier(own[:-1], earlier_words(own[:-1])) if own[1:] else NOTHING,
        asked=turns(own[-1:]) if own else fill("turn", role="user", content=folded(question.text)),
        truth=folded(question.ground_truth),
        number=str(question.number),
        id=shown(question.id),
        answers=answers_of(question, page),
    )


def earlier_words(prompt: Sequence[Message]) -> str:
    """What stands before a question in a few words."""
    if [turn["role"] for turn in prompt] == ["system"]:
        return "system prompt"
    return f"{present.plural(len(prompt), 'earlier turn')} of the prompt"


def earlier(prompt: Sequence[Message], summary: str) -> Markup:
    """Turns behind a line that opens."""
    return fill("earlier", summary=summary, turns=turns(prompt))


def turns(prompt: Sequence[Message]) -> Markup:
    """Chat turns as they were sent."""
    return joined(fill("turn", role=shown(turn["role"]), content=folded(turn["content"])) for turn in prompt)


def sides_of(question: Question, page: Page) -> list[tuple[str, tuple[Record, ...]]]:
    """What is shown beside each other: ``(name, answers)``."""
    both = [(page.words["before"], question.before), (page.words["after"], question.after)]
    return both if page.two_sided else [("answer", question.after or question.before)]


def answers_of(question: Question, page: Page) -> Markup:
    """Before beside after; of several samples each pair folded but the first."""
    sides = sides_of(question, page)
    samples = max(len(answers) for _, answers in sides)
    pairs = [[(name, answers[at] if at < len(answers) else None) for name, answers in sides] for at in range(samples)]
    shape = "" if page.two_sided else "alone"
    if samples <= 1:
        told = pairs or [[(name, None) for name, _ in sides]]
        return fill("pair", sides=shape, answers=_beside(told[0], page, question.prompt))
    return joined(
        fill(
            "sample" if at else "sample-open",
            name=f"sample {at + 1} of {samples}",
            marks=_arrows(status(answer.status) for _, answer in pair if answer is not None),
            sides=shape,
            answers=_beside(pair, page, question.prompt),
        )
        for at, pair in enumerate(pairs)
    )


def _beside(pair: Sequence[tuple[str, Record | None]], page: Page, asked: Sequence[Message]) -> Markup:
    return joined(
        fill("missing", words=f"{name}: not asked") if answer is None else answer_card(answer, name, page, asked)
        for name, answer in pair
    )


def answer_card(answer: Record, name: str, page: Page, asked: Sequence[Message]) -> Markup:
    """One completion with everything that is known of it."""
    another = bool(answer.prompt) and tuple(answer.prompt) != tuple(asked)
    terms = [_term(function, value, page.weights.get(function)) for function, value in answer.rewards.items()]
    cut = answer.finish_reason == "length"
    finish = present.FINISH_WORDS.get(answer.finish_reason, answer.finish_reason)
    marked = [(start, end, spot_title(grader)) for start, end, grader in spots(answer)]
    return fill(
        "answer",
        name=name,
        status=status(answer.status),
        prompt=earlier(answer.prompt, "asked with another prompt") if another else NOTHING,
        completion=(
            folded(answer.completion, spots=marked)
            if answer.completion
            else fill("soft", words=shown(answer.error or "(empty)"))
        ),
        extracted=extracted_of(answer.extracted, page.form.why(answer.completion)),
        reward=present.plain(answer.reward),
        terms=joined([" = ", joined(terms, " + ")]) if terms else NOTHING,
        graders=joined(grader_card(name, grade) for name, grade in answer.grades.items()),
        finish=fill("bold", words=finish) if cut else shown(finish),
        tokens=present.count(answer.completion_tokens),
        prompt_tokens=present.count(answer.prompt_tokens),
    )


# Few of these differ from each other, and a report has tens of thousands of each.
_FEW = functools.lru_cache(maxsize=10_000)


@_FEW
def status(status: str) -> Markup:
    """The status as mark and word."""
    return fill(
        "status",
        kind=present.KINDS.get(status, "open"),
        mark=present.MARKS.get(status, "?"),
        words=shown(present.STATUS_WORDS.get(status, status)),
    )


@_FEW
def extracted_of(extracted: str | None, nothing: str) -> Markup:
    """An extracted answer, at most :data:`harness.report.present.CLIP_AT` characters of it."""
    if extracted is None:
        return fill("soft", words=nothing)
    return fill("mono", words=shown(present.clip(extracted)))


@_FEW
def grader_card(grader: str, grade: Grade) -> Markup:
    """What one grader made of the completion."""
    kind, verdict = present.graded(grade)
    words = NOTHING if grade.extracted is None else fill("code", words=shown(present.clip(grade.extracted)))
    name = present.GRADER_WORDS.get(grader, grader)
    return fill(
        "grader",
        grader=RULES.get(grader, grader),
        name=shown(name),
        kind=kind,
        verdict=verdict,
        extracted=words,
    )


def _arrows(pieces: Iterable[Markup]) -> Markup:
    return joined(pieces, ARROW)


def spot_title(grader: str) -> str:
    """What a marked passage is."""
    return f"extracted by the {present.GRADER_WORDS.get(grader, grader)}" if grader else "extracted"


@_FEW
def _term(function: str, value: float | None, weight: str | None) -> Markup:
    weighed = "" if weight is None else f" \N{MULTIPLICATION SIGN} weight {visible(weight)}"
    return fill("term", function=shown(function), value=present.plain(value), weight=weighed)
