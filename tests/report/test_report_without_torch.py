"""The report's commands work where importing torch and its like fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, write_run

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "trl", "datasets", "pandas", "accelerate", "tokenizers")
# Python imports this by itself, as early as that.
SITE = f"""\
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(name + " is not installed")

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    return [
        str(write_run(tmp_path / "rl-runs", MadeUp(questions=9, steps=3, recipe=recipe)))
        for recipe in ("made-up", "other")
    ]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


def test_torch_is_out_of_reach(runs: Sequence[str], tmp_path: Path) -> None:
    assert "torch is not installed" in python(tmp_path, "-c", "import torch").stderr


@pytest.mark.parametrize(
    ("command", "page"),
    [
        (["report"], "index.html"),
        (["history"], "history.html"),
        (["compare", "--html"], "compare-*.html"),
    ],
)
def test_it_draws(command: Sequence[str], page: str, runs: Sequence[str], tmp_path: Path) -> None:
    arguments: list[Any] = [*command, *([] if command == ["history"] else runs)]
    done = python(tmp_path, "-m", "harness.cli", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (drawn,) = (tmp_path / "rl-report").glob(page)
    assert "made-up" in drawn.read_text(encoding="utf-8")
