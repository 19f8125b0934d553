"""Examples made from the policy's own graded completions.

SFT learns from correct ones, which is rejection sampling: the expert iteration of STaR (Zelikman et al. 2022,
arXiv:2203.14465) and RFT (Yuan et al. 2023, arXiv:2308.01825) in one round. DPO learns from pairs of a correct and a
wrong one to the same question. Answers of the same text count once, answers that no grader could decide not at all, and
which are taken where there are more than ``per_question`` depends on the seed and the question alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import groupby, product
from typing import Any

from harness.store.records import Record

Row = dict[str, Any]


def correct_examples(records: Sequence[Record], per_question: int, seed: int) -> list[Row]:
    """``{"question_id", "prompt", "completion"}``, at most ``per_question`` a question, in the questions' order.

    A correct answer that was cut off (``finish_reason`` ``"length"``) is left out: it would teach not to end.
    """
    rows = []
    for question, answers in _by_question(records):
        right = _different(each for each in answers if each.status == "correct" and each.finish_reason == "stop")
        for each in _drawn(right, per_question, seed, question):
            rows.append({**_asked(each), "completion": _turn(each)})
    return rows


def preference_pairs(records: Sequence[Record], per_question: int, seed: int) -> list[Row]:
    """``{"question_id", "prompt", "chosen", "rejected", "rejected_finish_reason"}``, at most ``per_question`` a
    question, in the questions' order.

    Chosen is a correct answer that ended, rejected a wrong one or one without an answer, cut off or not. Every answer
    stands in one pair before any stands in two.
    """
    rows = []
    for question, answers in _by_question(records):
        right = _different(each for each in answers if each.status == "correct" and each.finish_reason == "stop")
        wrong = _different(each for each in answers if each.status in ("wrong", "no_answer"))
        right = _drawn(right, len(right), seed, question)
        wrong = _drawn(wrong, len(wrong), seed, f"{question}/rejected")
        # Diagonal by diagonal through the table of all pairs.
        places = product(range(len(right)), range(len(wrong)))
        longest = max(len(right), len(wrong), 1)
        ordered = sorted(places, key=lambda place: ((place[1] - place[0]) % longest, place))
        for i, j in ordered[:per_question]:
            rows.append(
                {
                    **_asked(right[i]),
                    "chosen": _turn(right[i]),
                    "rejected": _turn(wrong[j]),
                    "rejected_finish_reason": wrong[j].finish_reason,
                }
            )
    return rows


def _by_question(records: Sequence[Record]) -> Iterable[tuple[str, list[Record]]]:
    for question, answers in groupby(records, key=lambda record: record.question_id):
        yield question, list(answers)


def _different(records: Iterable[Record]) -> list[Record]:
    """The first record of each text; a text that was once cut off and once ended counts twice."""
    return list({(each.completion, each.finish_reason): each for each in reversed(list(records))}.values())[::-1]


def _drawn(records: list[Record], count: int, seed: int, key: str) -> list[Record]:
    return random.Random(f"{seed}/{key}").sample(records, min(count, len(records)))


def _asked(record: Record) -> Row:
    return {"question_id": record.question_id, "prompt": [dict(turn) for turn in record.prompt]}


def _turn(record: Record) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": record.completion}]
