"""The lesson of both notebooks, run as a student would: in a new process, from the first cell to the last."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = {"course.ipynb": "docs/course.ipynb", "course.zh.ipynb": "docs/course.zh.ipynb"}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_lesson_shows_a_real_gain(name, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.notebook.cells", str(REPOSITORY / NOTEBOOKS[name])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = done.stdout
    assert "[1.0, 0.0, 0.0]" in shown  # what the reward pays for three answers that are tried
    before, after = (float(each) for each in re.findall(r"<td[^>]*>(?:before|after)</td><td[^>]*>([\d.]+) %", shown))
    assert before < 50 < 80 < after
    assert "<b>IMPROVED</b> improvement: " in shown
    assert re.search(r"gained +\d{2,}", shown)
    assert "rl-report/index.html" in shown
    assert (tmp_path / "rl-report/index.html").is_file()


def test_both_are_the_same_lesson():
    """The code differs in its comments alone, and what runs left is not kept."""
    books = [json.loads((REPOSITORY / path).read_text(encoding="utf-8"))["cells"] for path in NOTEBOOKS.values()]
    assert [[cell["cell_type"] for cell in book] for book in books] == [[cell["cell_type"] for cell in books[0]]] * 2
    code = [[cell for cell in book if cell["cell_type"] == "code"] for book in books]
    assert not any(cell["outputs"] for book in code for cell in book)
    plain = [[re.sub(r'#.*|""".*?"""', "", "".join(cell["source"])) for cell in book] for book in code]
    assert plain[0] == plain[1]
