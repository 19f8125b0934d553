"""A run's questions as packed data for the page's script: an index of everything but texts, and blocks of texts.

The index is columnar and small: with it the page draws its table, filters and sorts. A text block holds the prompts and
completions of some tens of questions and is unpacked when one of them is opened, searched or exported. Turns that stand
in several prompts, such as the system prompt and worked examples, stand once in the index.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.report import present
from harness.report.cards import spot_title
from harness.report.pack import pack, parts
from harness.report.reasons import RULES
from harness.report.spot import spots
from harness.report.text import rules, shorten
from harness.report.views import FLIPS
from harness.report.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.page import Page
    from harness.report.views import Prompt, Question
    from harness.store.records import Record

    Turn = tuple[str, str]  # role and content

BLOCK_CHARACTERS = 300_000
"""About how much text a block holds: small enough to unpack in a blink, large enough for deflate."""
_SAMPLE_CHARACTERS = 2_000_000
"""How much text the table of frequent words is counted from."""

Blocks = list[tuple[str, str, str]]
"""``(id, id of the words block or "", packed)``."""


def blocks_of(page: Page) -> Blocks:
    """The blocks of a run's page: ``words``, ``questions-index``, ``questions-text-0`` and so on."""
    questions = page.run.questions
    shared = _shared_turns(questions)
    places = {turn: place for place, turn in enumerate(shared)}
    size = _block_size(questions)
    blocks = list(parts(questions, size))
    stride = max(1, len(blocks) * BLOCK_CHARACTERS // _SAMPLE_CHARACTERS)
    texts = ([_text(question, places) for question in part] for part in blocks[::stride])  # one block at a time
    words = Words.of(json.dumps(block, separators=(",", ":")) for block in texts)
    index = _index(page, shared) | {"size": size, "blocks": len(blocks)}
    packed: Blocks = [("words", "", pack({"single": words.single, "listed": words.listed}))]
    packed.append(("questions-index", "words", pack(index, words)))
    for place, part in enumerate(blocks):
        packed.append((f"questions-text-{place}", "words", pack([_text(question, places) for question in part], words)))
    return packed


def _block_size(questions: Sequence[Question]) -> int:
    characters = sum(
        len(question.text) + sum(len(answer.completion) for answer in (*question.before, *question.after))
        for question in questions
    )
    return max(1, min(200, BLOCK_CHARACTERS * len(questions) // max(1, characters)))


def _shared_turns(questions: Sequence[Question]) -> list[Turn]:
    """Turns that more than one question has, in order of appearance."""
    counts = Counter(turn for question in questions for turn in dict.fromkeys(_pairs(question.prompt)))
    return [turn for turn, count in counts.items() if count > 1]


def _text(question: Question, places: Mapping[Turn, int]) -> list[Any]:
    """``[text, truth, prompt, before, after]``; a text that is the prompt's last turn is null."""
    last = question.prompt[-1]["content"] if question.prompt else None
    return [
        None if question.text == last else question.text,
        question.ground_truth,
        _turns(question.prompt, places),
        *([_completion(answer, question, places) for answer in side] for side in (question.before, question.after)),
    ]


def _pairs(prompt: Prompt) -> list[Turn]:
    return [(turn["role"], turn["content"]) for turn in prompt]


def _turns(prompt: Prompt, places: Mapping[Turn, int]) -> list[int | list[str]]:
    """A prompt's turns: the place of a shared one in the index, or ``[role, content]``."""
    return [places.get(turn, [*turn]) for turn in _pairs(prompt)]


def _completion(answer: Record, question: Question, places: Mapping[Turn, int]) -> list[Any]:
    """``[completion, spots, prompt]``, the last two only where there are any."""
    marked = [[*_units(answer.completion, start, end), spot_title(grader)] for start, end, grader in spots(answer)]
    row: list[Any] = [answer.completion]
    if answer.prompt and answer.prompt != question.prompt:
        return [*row, marked, _turns(answer.prompt, places)]
    return [*row, marked] if marked else row


def _units(text: str, start: int, end: int) -> tuple[int, int]:
    """Places in a text as JavaScript counts them: characters outside the basic plane are two."""
    if text.isascii():
        return start, end
    begin = start + sum(character > "\uffff" for character in text[:start])
    return begin, begin + end - start + sum(character > "\uffff" for character in text[start:end])


def _index(page: Page, shared: Sequence[Turn]) -> dict[str, Any]:
    questions = page.run.questions
    sides = {"before": [q.before for q in questions], "after": [q.after for q in questions]}
    shown = {name: sides[name] for name in page.sides}
    return {
        "two_sided": page.two_sided,
        "names": {name: page.words[name] if page.two_sided else "answer" for name in page.sides},
        "weights": page.weights,
        "common": len(page.common),
        "turns": [[*turn] for turn in shared],
        "flips": [[flip, present.flip_words(flip, page.two_sided)] for flip in FLIPS],
        "statuses": _words(page.statuses, present.STATUS_WORDS, present.MARKS, present.KINDS),
        "finishes": _words(page.finishes, present.FINISH_WORDS),
        "graders": present.GRADER_WORDS,
        "rules": RULES,
        "form": page.form._asdict(),
        "text_rules": rules(),
        "clip": present.CLIP_AT,
        "number": [question.number for question in questions],
        "id": [question.id for question in questions],
        "text": [shorten(question.text) for question in questions],
        "truth": [shorten(question.ground_truth, 24) for question in questions],
        "flip": [FLIPS.index(question.flip) for question in questions],
        "sides": {name: _side(answers, page) for name, answers in shown.items()},
    }


def _words(pairs: Sequence[tuple[str, str]], *tables: Mapping[str, str]) -> list[list[str]]:
    """``[value, word, mark, css class]`` of each value met."""
    defaults = ("", "?", "open")
    values = dict.fromkeys(value for _, value in pairs)
    return [
        [value, *(table.get(value, default or value) for table, default in zip(tables, defaults, strict=False))]
        for value in values
    ]


def _side(answers: Sequence[Sequence[Record]], page: Page) -> dict[str, Any]:
    """One side's answers, column by column, in the questions' order. ``count`` is the answers of each question."""
    every = [answer for samples in answers for answer in samples]
    statuses = _places(status for _, status in page.statuses)
    finishes = _places(finish for _, finish in page.finishes)
    functions = dict.fromkeys(function for answer in every for function in answer.rewards)
    graders = dict.fromkeys(grader for answer in every for grader in answer.grades)
    grades = [answer.grades for answer in every]
    return {
        "count": [len(samples) for samples in answers],
        "sample": [answer.sample for answer in every],
        "seed": _same([answer.seed for answer in every]),
        "status": [statuses[answer.status] for answer in every],
        "finish": [finishes[answer.finish_reason] for answer in every],
        "extracted": [_clipped(answer.extracted) for answer in every],
        "reward": [answer.reward for answer in every],
        # A function or grader that an answer lacks is false, one without a value null.
        "rewards": {f: _same([answer.rewards.get(f, False) for answer in every]) for f in functions},
        "grades": {
            grader: {
                "correct": [_verdict(grade.get(grader)) for grade in grades],
                "extracted": [
                    _grade_extracted(grade[grader].extracted if grader in grade else None, answer.extracted)
                    for grade, answer in zip(grades, every, strict=True)
                ],
            }
            for grader in graders
        },
        "prompt_tokens": [answer.prompt_tokens for answer in every],
        "completion_tokens": [answer.completion_tokens for answer in every],
        "error": _same([answer.error for answer in every]),
    }


def _places(values: Any) -> dict[str, int]:
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def _same(column: list[Any]) -> Any:
    """A column of one value as ``{"every": value}``."""
    return (
        {"every": column[0]}
        if column and all(value == column[0] and type(value) is type(column[0]) for value in column)
        else column
    )


def _clipped(extracted: str | None) -> str | None:
    return None if extracted is None else present.clip(extracted)


def _verdict(grade: Any) -> int:
    """3 without a grade, 2 not scored, 1 correct, 0 wrong."""
    return 3 if grade is None else 2 if grade.correct is None else int(grade.correct)


def _grade_extracted(extracted: str | None, decided: str | None) -> str | int | None:
    """What a grader extracted; 0 where that is what decided the status, as it mostly is."""
    return 0 if extracted == decided else _clipped(extracted)
