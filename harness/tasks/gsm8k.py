r"""Reads the rows of GSM8K (Cobbe et al. 2021, arXiv:2110.14168): grade-school word problems with worked answers.

A row's answer is a solution with calculator annotations, and then the final answer on a line of its own:

    >>> answer = "She sold 600 * 2 = <<600*2=1200>>1,200 eggs.\n#### 1,200"
    >>> final_answer(answer)
    '1200'
    >>> print(worked_solution(answer))
    She sold 600 * 2 = 1,200 eggs.
    The answer is \boxed{1200}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.store.errors import TaskError
from harness.store.question import Question

DATASET, SUBSET = "openai/gsm8k", "main"  # on the Hub

_MARK = "####"
_ANNOTATION = re.compile(r"<<[^<>]*>>")
_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def final_answer(answer: str) -> str:
    """What follows the last ``####``, without thousands commas and dollar signs: ``"1200"`` for ``#### $1,200``.

    Raises ``TaskError`` where nothing does.
    """
    _, mark, final = answer.rpartition(_MARK)
    final = _THOUSANDS_COMMA.sub("", final.replace("$", "")).strip()
    if not (mark and final):
        raise TaskError(f'the answer has no final answer behind "{_MARK}": it ends in {answer[-60:]!r}')
    return final


def worked_solution(answer: str) -> str:
    r"""The solution as a model should write it: no ``<<...>>``, and a last sentence that ends in ``\boxed{1200}.``"""
    steps = _ANNOTATION.sub("", answer.rpartition(_MARK)[0]).strip()
    closing = rf"The answer is \boxed{{{final_answer(answer)}}}."
    return f"{steps}\n{closing}" if steps else closing


def to_question(row: Mapping[str, Any], split: str, index: int) -> Question:
    """The question of one row, ``{"question": text, "answer": text}``; its id is ``gsm8k/<split>/<index>``.

    Raises ``TaskError``, naming the row, where a field or the final answer is missing.
    """
    name = f"gsm8k/{split}/{index}"
    for field in ("question", "answer"):
        if not isinstance(row.get(field), str):
            raise TaskError(f'{name}: a GSM8K row needs the text fields "question" and "answer"; "{field}" is missing')
    try:
        truth, solution = final_answer(row["answer"]), worked_solution(row["answer"])
    except TaskError as error:
        raise TaskError(f"{name}: {error}") from error
    return Question(id=name, text=row["question"].strip(), ground_truth=truth, split=split, solution=solution)
