"""The command reads where a project keeps what from pytest's settings, as pytest itself does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.cli import _folder
from tests.inner_pytest import PYTEST, run

KEYS = {
    "--runs-dir": "rl-runs",
    "--report-dir": "rl-report",
    "--recipes-dir": "suites/recipes",
    "--baselines-dir": "suites/baselines",
}
INI, TABLE = "rl_runs_dir = kept/runs\nrl_recipes_dir=mine", 'rl_runs_dir = "kept/runs"\nrl_recipes_dir = "mine"'
# files by name, from the root directory on
PROJECTS = {
    "none": {},
    "pytest.ini": {"pytest.ini": f"[pytest]\n# a comment\n{INI}\n"},
    "an empty pytest.ini": {"pytest.ini": "", "pyproject.toml": f"[tool.pytest.ini_options]\n{TABLE}\n"},
    "pyproject.toml": {"pyproject.toml": f"[tool.pytest.ini_options]\n{TABLE}\n", "tox.ini": f"[pytest]\n{INI}x\n"},
    "a pyproject.toml without settings": {"pyproject.toml": "[project]\nname = 'x'\n"},
    "tox.ini": {"pyproject.toml": "[tool.other]\n", "tox.ini": f"[tox]\n[pytest]\n{INI}\n"},
    "setup.cfg": {"setup.cfg": f"[metadata]\n[tool:pytest]\n{INI}\n"},
    "setup.py": {"setup.py": ""},
    "a file below": {"pytest.ini": f"[pytest]\n{INI}\n", "below/pytest.ini": "[pytest]\nrl_report_dir = pages\n"},
}
if pytest.version_tuple >= (9, 0):
    PROJECTS["tool.pytest"] = {"pyproject.toml": f"[tool.pytest]\n{TABLE}\n"}
    PROJECTS["pytest.toml"] = {"pytest.toml": f"[pytest]\n{TABLE}\n", "pytest.ini": "[pytest]\n"}

TELLS = """\
import json, pathlib
from harness.plugin.options import PATHS, get_path

def pytest_configure(config):
    found = {f"--{name}": str(get_path(config, name)) for name in PATHS}
    pathlib.Path("found.json").write_text(json.dumps(found))
"""


BELOW = ("none", "pyproject.toml", "a pyproject.toml without settings", "setup.py", "a file below")


@pytest.mark.parametrize(("project", "below"), [(each, False) for each in PROJECTS] + [(each, True) for each in BELOW])
def test_the_command_and_pytest_look_in_the_same_folders(project, below, tmp_path, monkeypatch):
    start = tmp_path / "below" if below else tmp_path
    (tmp_path / "below").mkdir()
    for name, text in PROJECTS[project].items():
        (tmp_path / name).write_text(text)
    (start / "tells.py").write_text(TELLS)
    done = run([*PYTEST, "-p", "tells", "--collect-only", "-q"], start, {"PYTHONPATH": str(start)}, torch=False)
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED, done.outlines
    monkeypatch.chdir(start)
    found = {name: str(_folder(name, default).resolve()) for name, default in KEYS.items()}
    assert found == json.loads((start / "found.json").read_text())


def test_runs_are_found_where_the_settings_say(tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{TABLE}\n")
    (tmp_path / "suites").mkdir()
    monkeypatch.chdir(tmp_path / "suites")
    assert cli.main(["runs"]) == 2
    assert str(Path("..", "kept", "runs")) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("pyproject.toml", "[tool", "pyproject.toml: cannot be read: "),
        ("pyproject.toml", "tool = 3\n", "pyproject.toml: cannot be read: "),
        ("pytest.ini", "x = 1\n", "no section header defined"),
        ("pytest.toml", "[pytest]\nrl_runs_dir = ['a']\n", "pytest.toml: rl_runs_dir must be a folder in quotes, not"),
    ],
)
def test_settings_that_cannot_be_read_are_one_line(name, text, says, tmp_path, monkeypatch, capsys):
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["runs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
