"""A run's texts as packed data for the page's script: gzipped JSON, in base 64, in ``<script>`` blocks that a browser
does not run.

A page of ten thousand completions is megabytes of text that nobody reads at once. The index of the questions is
columnar and small: with it the page draws its list, filters and sorts. A block of texts holds the prompts and
completions of some tens of questions and is unpacked when one of them is opened, searched or exported. Turns that
stand in several prompts, such as the system prompt and worked examples, stand once in the index.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.report import present
from harness.report.present import shorten
from harness.report.views import FLIPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Prompt, Question, Run
    from harness.store.records import Record

    Turn = tuple[str, str]  # role and content

BLOCK = 300_000
"""About how many characters a block holds: small enough to unpack in a blink, large enough to pack well."""
_MARKED_UP = re.compile(
    r"\$[^$\n]+\$|\\[(\[]|\\begin\{|\\d?frac|\\text|\\times|\\cdot|^\s{0,3}(?:#{1,6} |```|[-*+] |\d+\. |\|)|\*\*\S|`\S",
    re.MULTILINE,
)

Blocks = list[tuple[str, str]]
"""``(id, packed)``."""


def pack(value: object) -> str:
    """``value`` as base 64 of gzipped JSON; no text can end the block that it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    deflate = zlib.compressobj(wbits=31, memLevel=9)
    return base64.b64encode(deflate.compress(text.encode("ascii")) + deflate.flush()).decode("ascii")


def unpack(packed: str) -> Any:
    """The value of :func:`pack`."""
    return json.loads(zlib.decompress(base64.b64decode(packed), wbits=31))


def question_blocks(run: Run, words: Mapping[str, str], sides: Sequence[str]) -> Blocks:
    """``questions``, ``questions-0``, ``questions-1`` and so on, of a run's page."""
    questions = run.questions
    counts = Counter(turn for question in questions for turn in dict.fromkeys(_pairs(question.prompt)))
    shared = [turn for turn, times in counts.items() if times > 1]
    places = {turn: place for place, turn in enumerate(shared)}
    size = _block_size(questions)
    parts = [questions[start : start + size] for start in range(0, len(questions), size)]
    index = _index(run, words, sides) | {"turns": shared, "size": size, "blocks": len(parts)}
    texts = (pack([_text(question, places) for question in part]) for part in parts)
    return [("questions", pack(index)), *((f"questions-{place}", text) for place, text in enumerate(texts))]


def marked_up(questions: Sequence[Question]) -> bool:
    """Whether any text is written in Markdown or LaTeX, so that the page needs what renders them."""
    return any(
        _MARKED_UP.search(text)
        for question in questions
        for text in (question.text, *(answer.completion for answer in (*question.before, *question.after)))
    )


def _block_size(questions: Sequence[Question]) -> int:
    characters = sum(
        len(question.text) + sum(len(answer.completion) for answer in (*question.before, *question.after))
        for question in questions
    )
    return max(1, min(200, BLOCK * len(questions) // max(1, characters)))


def _text(question: Question, places: Mapping[Turn, int]) -> list[Any]:
    """``[text, truth, prompt, before, after]``; a text that is the prompt's last turn is null. A completion that was
    asked with another prompt is ``[completion, prompt]``."""
    last = question.prompt[-1]["content"] if question.prompt else None
    sides = [
        [
            [answer.completion, _turns(answer.prompt, places)]
            if answer.prompt and answer.prompt != question.prompt
            else answer.completion
            for answer in side
        ]
        for side in (question.before, question.after)
    ]
    text = None if question.text == last else question.text
    return [text, question.ground_truth, _turns(question.prompt, places), *sides]


def _pairs(prompt: Prompt) -> list[Turn]:
    return [(turn["role"], turn["content"]) for turn in prompt]


def _turns(prompt: Prompt, places: Mapping[Turn, int]) -> list[int | list[str]]:
    """A prompt's turns: the place of a shared one in the index, or ``[role, content]``."""
    return [places.get(turn, [*turn]) for turn in _pairs(prompt)]


def _index(run: Run, words: Mapping[str, str], sides: Sequence[str]) -> dict[str, Any]:
    questions = run.questions
    answers = {name: [getattr(question, name) for question in questions] for name in sides}
    every = [answer for side in answers.values() for samples in side for answer in samples]
    statuses = [*dict.fromkeys(answer.status for answer in every)]
    finishes = [*dict.fromkeys(answer.finish_reason for answer in every)]
    return {
        "names": {name: words[name] if run.compares else "answer" for name in sides},
        "weights": {function: present.plain(weight) for function, weight in run.weights.items()},
        "flips": [[flip, present.flip_words(flip, run.compares)] for flip in FLIPS],
        "statuses": [
            [each, present.STATUSES.get(each, each), present.MARKS.get(each, "?"), present.KINDS.get(each, "open")]
            for each in statuses
        ],
        "finishes": [[each, present.FINISHES.get(each, each)] for each in finishes],
        "graders": present.GRADERS,
        "rules": present.RULES,
        "form": present.form_of(run.weights)._asdict(),
        "number": [question.number for question in questions],
        "id": [question.id for question in questions],
        "text": [shorten(question.text) for question in questions],
        "truth": [shorten(question.ground_truth, 24) for question in questions],
        "flip": [FLIPS.index(question.flip) for question in questions],
        "fell": [place for place, question in enumerate(questions) if question.fell],
        "baseline": _same([question.baseline for question in questions]),
        "sides": {name: _side(side, statuses, finishes) for name, side in answers.items()},
    }


def _side(answers: Sequence[Sequence[Record]], statuses: Sequence[str], finishes: Sequence[str]) -> dict[str, Any]:
    """One side's answers, column by column, in the questions' order. ``count`` is the answers of each question."""
    every = [answer for samples in answers for answer in samples]
    functions = dict.fromkeys(function for answer in every for function in answer.rewards)
    graders = dict.fromkeys(grader for answer in every for grader in answer.grades)
    grades = [answer.grades for answer in every]
    return {
        "count": [len(samples) for samples in answers],
        "sample": _same([answer.sample for answer in every]),
        "seed": _same([answer.seed for answer in every]),
        "status": [statuses.index(answer.status) for answer in every],
        "finish": _same([finishes.index(answer.finish_reason) for answer in every]),
        "extracted": [_clipped(answer.extracted) for answer in every],
        "reward": [answer.reward for answer in every],
        # A function or grader that an answer lacks is false, one without a value null.
        "rewards": {f: _same([answer.rewards.get(f, False) for answer in every]) for f in functions},
        "grades": {
            grader: {
                "correct": [_verdict(grade.get(grader)) for grade in grades],
                "extracted": _same(
                    [
                        _grade_extracted(grade[grader].extracted if grader in grade else None, answer.extracted)
                        for grade, answer in zip(grades, every, strict=True)
                    ]
                ),
            }
            for grader in graders
        },
        "prompt_tokens": _same([answer.prompt_tokens for answer in every]),
        "completion_tokens": [answer.completion_tokens for answer in every],
        "error": _same([answer.error for answer in every]),
    }


def _same(column: list[Any]) -> Any:
    """A column of one value as ``{"every": value}``."""
    same = column and all(value == column[0] and type(value) is type(column[0]) for value in column)
    return {"every": column[0]} if same else column


def _clipped(extracted: str | None) -> str | None:
    return None if extracted is None else present.clip(extracted)


def _verdict(grade: Any) -> int:
    """3 without a grade, 2 not scored, 1 correct, 0 wrong."""
    return 3 if grade is None else 2 if grade.correct is None else int(grade.correct)


def _grade_extracted(extracted: str | None, decided: str | None) -> str | int | None:
    """What a grader extracted; 0 where that is what decided the status, as it mostly is."""
    return 0 if extracted == decided else _clipped(extracted)
