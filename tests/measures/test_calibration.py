"""Difficulty by operation and size of number, counted by hand and from the command line."""

from __future__ import annotations

import json
import re

import pytest
from graded import answer

from harness.cli import main
from harness.pipeline.calibration import calibrate, table
from harness.store.errors import TaskError
from harness.tasks import Question
from harness.tasks.arithmetic import arithmetic_questions, operands


def question(name: str, solution: str) -> Question:
    return Question(f"arithmetic/test/{name}", "?", "0", "test", solution)


@pytest.mark.parametrize("made", arithmetic_questions("test", 30, largest=40), ids=lambda each: each.id)
def test_operands_are_those_of_the_question(made):
    operation, a, b = operands(made)
    assert {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] == int(made.ground_truth)
    assert {str(a), str(b)} == set(re.findall(r"\d+", made.text))


@pytest.mark.parametrize("other", [Question("gsm8k/test/1", "?", "1", "test", "1 + 1 = 2"), question("a", "so 7")])
def test_other_tasks_are_refused(other):
    with pytest.raises(TaskError, match="not of the arithmetic task"):
        operands(other)


def test_cells_are_means_over_questions():
    questions = [
        question("a", "1 + 3 = 4"),
        question("b", "12 + 2 = 14"),
        question("c", "4 * 9 = 36"),
        question("d", "5 - 5 = 0"),
    ]
    said = {"a": "cc", "b": "cw", "c": "ww", "d": "cn"}
    statuses = {"c": "correct", "w": "wrong", "n": "no_answer"}
    records = [
        answer(f"arithmetic/test/{name}", at, None, statuses[letter])
        for name, letters in said.items()
        for at, letter in enumerate(letters)
    ]
    cells = {(cell.operation, cell.size): cell for cell in calibrate(questions, records, largest=12)}
    assert {key: cell.accuracy for key, cell in cells.items() if cell.questions} == {
        ("add", None): 0.75,
        ("subtract", None): 0.5,
        ("multiply", None): 0.0,
        (None, (1, 3)): 1.0,
        (None, (4, 6)): 0.5,
        (None, (7, 9)): 0.0,
        (None, (10, 12)): 0.5,
        ("add", (1, 3)): 1.0,
        ("add", (10, 12)): 0.5,
        ("subtract", (4, 6)): 0.5,
        ("multiply", (7, 9)): 0.0,
        (None, None): 0.5,
    }
    assert cells[None, None].questions == 4
    assert cells["multiply", (1, 3)].accuracy is None
    lines = table(list(cells.values()))
    assert len(lines) == 12
    assert lines[0].split()[:4] == ["add", "all", "sizes", "75.0"]


def test_from_the_command_line(tmp_path, capsys):
    asked = ["calibrate", "tiny-arithmetic", "--limit", "12", "--samples", "2", "--runs-dir", str(tmp_path)]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "the base policy at temperature 1, 2 answers a question" in said
    assert "pass@2" in said
    (kept,) = tmp_path.glob(".calibrate/*/calibrate/base/calibration.json")
    assert json.loads(kept.read_text())["cells"][-1]["questions"] == 12
    assert main(["calibrate", "gsm8k-smollm2-135m", "--runs-dir", str(tmp_path)]) == 2
    assert "only the arithmetic task" in capsys.readouterr().err
