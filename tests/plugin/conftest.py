"""Inner projects, each with a pytest of its own in a new process: what a user's terminal shows is what is tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

# A real training that takes seconds: the embedded model, 4 optimizer steps of 16 completions.
SMALL = """\
description = "A recipe of four steps."

[model]
name = "tiny"

[task]
name = "arithmetic"
train_questions = 24
test_questions = 8

[train]
method = "grpo"
per_device_train_batch_size = 16
num_generations = 4
max_steps = 4
max_completion_length = 24
logging_steps = 1

[evaluate]
max_new_tokens = 24
"""

# Tells which heavy packages a process has imported, when tests are collected and when the session ends.
SPY = """\
import json, os, pathlib, sys

HEAVY = ("torch", "transformers", "trl", "datasets", "pandas", "scipy.stats", "accelerate", "tokenizers")

def tell(when):
    name = f"{when}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.json"
    found = [name for name in (*HEAVY, "pydantic", "filelock", "jinja2") if name in sys.modules]
    (pathlib.Path(__file__).parent / name).write_text(json.dumps(found))

def pytest_collection_finish():
    tell("collected")

def pytest_sessionfinish():
    tell("finished")
"""


@dataclass
class Project:
    """A folder with recipes and tests; ``pytest(...)`` runs in it."""

    path: Path

    def write(self, **files: str) -> None:
        """``write(**{"small.toml": text})``; a name without a suffix is a Python file."""
        for name, text in files.items():
            file = self.path / (name if "." in name else f"{name}.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def pytest(self, *arguments: str, folder: str = ".", **environment: str) -> pytest.RunResult:
        started = time.monotonic()
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.path / folder,
            env=calm_environment() | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return pytest.RunResult(
            done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), time.monotonic() - started
        )

    def imported(self, when: str, process: str = "main") -> list[str]:
        """What :data:`SPY` saw, ``when`` being ``"collected"`` or ``"finished"``."""
        found: list[str] = json.loads((self.path / f"{when}-{process}.json").read_text())
        return found


# Other people's plugins cost more to import than all that is tested here.
LEFT_OUT = ("cacheprovider", "hypothesispytest", "anyio", "benchmark", "timeout")
COMMAND = [sys.executable, "-m", "pytest", *(part for name in LEFT_OUT for part in ("-p", f"no:{name}"))]


def calm_environment() -> dict[str, str]:
    """The environment without what an outer pytest, or its workers, left there."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": ""}


def make_project(path: Path) -> Project:
    project = Project(path)
    project.write(**{"pytest.ini": "[pytest]\n", "suites/recipes/small.toml": SMALL, "conftest": SPY})
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of its own recipe ``small``, and no tests yet."""
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, for a module whose tests look at the sessions of one another."""
    return make_project(tmp_path_factory.mktemp("project"))
