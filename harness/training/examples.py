"""Examples for SFT and pairs for DPO: from a JSON Lines file, or from the policy's own graded completions.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    {"prompt": [{"role": "user", "content": "..."}], "completion": [{"role": "assistant", "content": "..."}]}
    {"prompt": "...", "chosen": "...", "rejected": "..."}

Each value is chat turns or text: the text of a prompt is one user turn, that of an answer one assistant turn. The last
turn of ``messages`` is learnt, and the others are its prompt.

Of completions, SFT learns from correct ones, which is rejection sampling: the expert iteration of STaR (Zelikman et al.
2022, arXiv:2203.14465) and RFT (Yuan et al. 2023, arXiv:2308.01825) in one round. DPO learns from pairs of a correct
and a wrong one to the same question. Answers of the same text count once, answers that no grader could decide not at
all, and which are taken where there are more than ``per_question`` depends on the seed and the question alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any

from harness.store.errors import TaskError
from harness.store.records import Record
from harness.tasks.files import read_rows

Row = dict[str, Any]
Turns = list[dict[str, str]]

_ROLES = ("system", "user", "assistant")
_ELSEWHERE = {  # what TRL would render this row's prompt with
    "chat_template_kwargs": "belongs to [model] of the recipe, so that every stage asks the same prompt",
    "tools": "no stage asks with any; leave it out",
}
_NEEDED = {
    "sft": '"messages", or "prompt" and "completion"',
    "dpo": '"prompt", "chosen" and "rejected"',
}


def read_examples(path: Path, method: str) -> list[dict[str, Any]]:
    """The rows of a file for ``"sft"`` (``prompt``, ``completion``) or ``"dpo"`` (``prompt``, ``chosen``,
    ``rejected``), every value as chat turns.

    Raises:
        TaskError: with file, line and key, and what should stand there.
    """
    examples = []
    for place, row in read_rows(path, "examples"):
        try:
            examples.append(_example(row, method))
        except TaskError as error:
            raise TaskError(f"{place}: {error}") from None
    return examples


def _example(row: Mapping[str, Any], method: str) -> dict[str, Any]:
    for key, why in _ELSEWHERE.items():
        if row.get(key):
            raise TaskError(f"{key}: {why}")
    if method == "sft" and "messages" in row:
        turns = _turns(row, "messages")
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            raise TaskError("messages: must end with an assistant turn, which is learnt, after at least one other turn")
        return {"prompt": turns[:-1], "completion": turns[-1:]}
    answers = ("completion",) if method == "sft" else ("chosen", "rejected")
    for key in ("prompt", *answers):
        if key not in row:
            have = ", ".join(row) or "none"
            raise TaskError(f"no {key} (keys here: {have}); {method} learns from {_NEEDED[method]}")
    prompt = _turns(row, "prompt")
    if prompt[-1]["role"] == "assistant":
        raise TaskError("prompt: ends with an assistant turn; put the answer that is learnt under its own key")
    example = {"prompt": prompt, **{key: _answer(row, key) for key in answers}}
    if method == "dpo" and example["chosen"] == example["rejected"]:
        raise TaskError("rejected: is the same answer as chosen; there is nothing to prefer")
    return example


def _answer(row: Mapping[str, Any], key: str) -> Turns:
    turns = _turns(row, key)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise TaskError(f"{key}: must be one assistant turn, or text; put the turns before it into prompt")
    return turns


def _turns(row: Mapping[str, Any], key: str) -> Turns:
    value = row[key]
    if isinstance(value, str) and key != "messages":
        value = [{"role": "user" if key == "prompt" else "assistant", "content": value}]
    if not isinstance(value, list) or not value:
        raise TaskError(f"{key}: must be a list of chat turns{'' if key == 'messages' else ', or text'}")
    for place, turn in enumerate(value):
        if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
            raise TaskError(f"{key}[{place}]: must be a turn with a role of {', '.join(_ROLES)}")
        if not isinstance(turn.get("content"), str) or not turn["content"].strip():
            raise TaskError(f"{key}[{place}].content: must be text, and not empty")
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def correct_examples(records: Sequence[Record], per_question: int, seed: int) -> list[Row]:
    """``{"question_id", "prompt", "completion"}``, at most ``per_question`` a question, in the questions' order.

    A correct answer that was cut off (``finish_reason`` ``"length"``) is left out: it would teach not to end.
    """
    return [
        {**_asked(each), "completion": _turn(each)}
        for question, right, _ in _graded(records)
        for each in _drawn(right, per_question, f"{seed}/{question}")
    ]


def preference_pairs(records: Sequence[Record], per_question: int, seed: int) -> list[Row]:
    """``{"question_id", "prompt", "chosen", "rejected", "rejected_finish_reason"}``, at most ``per_question`` a
    question, in the questions' order.

    Chosen is a correct answer that ended, rejected a wrong one or one without an answer, cut off or not. Every answer
    stands in one pair before any stands in two.
    """
    rows = []
    for question, right, wrong in _graded(records):
        right = _drawn(right, len(right), f"{seed}/{question}")
        wrong = _drawn(wrong, len(wrong), f"{seed}/{question}/rejected")
        # Diagonal by diagonal through the table of all pairs.
        longest = max(len(right), len(wrong), 1)
        places = sorted(product(range(len(right)), range(len(wrong))), key=lambda at: ((at[1] - at[0]) % longest, at))
        for chosen, rejected in ((right[i], wrong[j]) for i, j in places[:per_question]):
            answers = {"chosen": _turn(chosen), "rejected": _turn(rejected)}
            rows.append({**_asked(chosen), **answers, "rejected_finish_reason": rejected.finish_reason})
    return rows


def _graded(records: Sequence[Record]) -> Iterable[tuple[str, list[Record], list[Record]]]:
    """The correct and complete answers to each question, and those that are not correct."""
    for question, group in groupby(records, key=lambda record: record.question_id):
        answers = list(group)
        right = [each for each in answers if each.status == "correct" and each.finish_reason == "stop"]
        yield question, _different(right), _different(each for each in answers if each.status in ("wrong", "no_answer"))


def _different(records: Iterable[Record]) -> list[Record]:
    """The first record of each text; a text that was once cut off and once ended counts twice."""
    return list({(each.completion, each.finish_reason): each for each in reversed(list(records))}.values())[::-1]


def _drawn(records: list[Record], count: int, key: str) -> list[Record]:
    return random.Random(key).sample(records, min(count, len(records)))


def _asked(record: Record) -> Row:
    return {"question_id": record.question_id, "prompt": [dict(turn) for turn in record.prompt]}


def _turn(record: Record) -> Turns:
    return [{"role": "assistant", "content": record.completion}]
