"""GSM8K's answers: the parser on a table, and every grader on every gold answer of the real data."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rewards import boxed_exact, boxed_numeric, math_equivalent, parse_number
from harness.store.errors import TaskError
from harness.tasks.gsm8k import final_answer, to_question, worked_solution

FOLDER = "RL_HARNESS_GSM8K"

ANSWERS = [
    ("work\n#### 18", "18"),
    ("work\n#### 1,200", "1200"),
    ("work\n#### 1,450,000", "1450000"),
    ("work\n#### -7", "-7"),
    ("work\n#### $18", "18"),
    ("work\n#### -$1,000", "-1000"),
    ("work\n####18", "18"),
    ("work\n#### 18 \n", "18"),
    ("#### 1\n#### 2", "2"),
    ("work\n#### 0.5", "0.5"),
    ("work\n#### 12,00", "12,00"),
]


@pytest.mark.parametrize(("answer", "final"), ANSWERS)
def test_final_answers(answer: str, final: str) -> None:
    assert final_answer(answer) == final


@pytest.mark.parametrize("answer", ["", "18", "work\n### 18", "work\n####", "work\n####  \n", "#### $"])
def test_answers_without_a_final_one(answer: str) -> None:
    with pytest.raises(TaskError, match='no final answer behind "####"'):
        final_answer(answer)


def test_worked_solution() -> None:
    answer = "He has 2 * 3 = <<2*3=6>>6.\nThen $<<6*200=1200>>1,200.\n#### 1,200"
    assert worked_solution(answer) == "He has 2 * 3 = 6.\nThen $1,200.\nThe answer is \\boxed{1200}."
    assert worked_solution("#### 5") == r"The answer is \boxed{5}."


@given(st.integers(-(10**12), 10**12), st.text(alphabet="ab <>=#\n", max_size=50))
def test_thousands_commas_are_all_that_is_lost(value: int, work: str) -> None:
    assert final_answer(f"{work}\n#### {value:,}") == str(value)


def test_question() -> None:
    question = to_question({"question": " How many? ", "answer": "2\n#### 2"}, split="test", index=17)
    assert (question.id, question.text, question.ground_truth, question.split) == (
        "gsm8k/test/17",
        "How many?",
        "2",
        "test",
    )
    assert question.solution == "2\nThe answer is \\boxed{2}."


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, 'gsm8k/train/3: .*"answer" is missing'),
        ({"answer": "#### 2"}, 'gsm8k/train/3: .*"question" is missing'),
        ({"question": "?", "answer": "2"}, "gsm8k/train/3: the answer has no final answer"),
    ],
)
def test_rows_that_cannot_be_read(row: dict[str, str], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        to_question(row, split="train", index=3)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    """All of GSM8K by split."""
    folder = os.environ.get(FOLDER)
    if not folder:
        pytest.skip(f"set {FOLDER} to a folder with GSM8K's train.jsonl and test.jsonl")
    return {
        split: [json.loads(line) for line in Path(folder, f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        for split in ("train", "test")
    }


def test_all_final_answers(rows: dict[str, list[dict[str, Any]]]) -> None:
    raw = {split: [row["answer"].rpartition("####")[2] for row in rows[split]] for split in rows}
    assert {split: len(answers) for split, answers in raw.items()} == {"train": 7473, "test": 1319}
    assert {split: sum("," in answer for answer in raw[split]) for split in raw} == {"train": 79, "test": 14}
    assert {split: sum("-" in answer for answer in raw[split]) for split in raw} == {"train": 3, "test": 2}
    for split in rows:
        for row in rows[split]:
            final = final_answer(row["answer"])
            assert re.fullmatch(r"-?[0-9]+", final)
            assert parse_number(final) == int(final)


def test_every_grader_accepts_every_gold_answer(rows: dict[str, list[dict[str, Any]]]) -> None:
    for split in rows:
        for index, row in enumerate(rows[split]):
            question = to_question(row, split=split, index=index)
            assert question.solution is not None
            assert "<<" not in question.solution
            assert "####" not in question.solution
            for function in (boxed_exact, boxed_numeric, *([math_equivalent] if split == "test" else ())):
                for completion in (f"\\boxed{{{question.ground_truth}}}", question.solution):
                    grade = function.grade(completion, question.ground_truth)
                    assert grade.correct is True, (question.id, function.__name__, completion)
                    assert grade.extracted == question.ground_truth
