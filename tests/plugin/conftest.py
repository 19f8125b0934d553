"""Inner projects, each with a pytest of its own in another process: what a user's terminal shows is what is tested."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.inner_pytest import HEAVY, PYTEST, run
from tests.small_recipes import small_recipe

SMALL = "suites/recipes/small.toml"

# Tells which heavy packages a process has imported, when tests are collected and when the session ends.
SPY = f"""\
import json, pathlib, sys

WATCHED = {(*sorted(HEAVY), "pydantic", "filelock", "jinja2")}

def tell(when):
    found = [name for name in WATCHED if name in sys.modules]
    (pathlib.Path(__file__).parent / f"{{when}}.json").write_text(json.dumps(found))

def pytest_collection_finish():
    tell("collected")

def pytest_sessionfinish():
    tell("finished")
"""


@dataclass
class Project:
    """A folder with recipes and tests; ``pytest(...)`` runs in it."""

    path: Path

    @property
    def small(self) -> str:
        """The text of its recipe."""
        return (self.path / SMALL).read_text(encoding="utf-8")

    def write(self, **files: str) -> None:
        """``write(**{"small.toml": text})``; a name without a suffix is a Python file."""
        for name, text in files.items():
            file = self.path / (name if "." in name else f"{name}.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def pytest(self, *arguments: str, torch: bool | None = False, folder: str = ".", **env: str) -> pytest.RunResult:
        """``torch`` as :func:`tests.inner_pytest.run` has it."""
        return run([*PYTEST, *arguments], self.path / folder, env, torch=torch)

    def imported(self, when: str) -> list[str]:
        """What :data:`SPY` saw, ``when`` being ``"collected"`` or ``"finished"``."""
        found: list[str] = json.loads((self.path / f"{when}.json").read_text())
        return found


def make_project(path: Path) -> Project:
    project = Project(path)
    project.write(**{"pytest.ini": "[pytest]\n", SMALL: small_recipe(), "conftest": SPY})
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of its own recipe ``small``, and no tests yet."""
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, for a module whose tests look at the sessions of one another."""
    return make_project(tmp_path_factory.mktemp("project"))
