"""``rl-harness init`` writes a starter beside what a repository has, and never over it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from harness import cli
from harness.cli.init import STARTER
from harness.recipe.catalog import find_recipe

FILES = {
    ".github/workflows/rl-harness.yml",
    ".gitignore",
    "pytest.ini",
    "suites/recipes/my-task.toml",
    "suites/recipes/questions.jsonl",
    "suites/test_post_training.py",
}
IGNORED = "rl-runs/\nrl-report/\n"


def files(folder: Path) -> dict[str, str]:
    """Every file's text, but for git's own."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_empty_folder(folder, capsys):
    assert cli.main(["init"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert {line.removeprefix("wrote ") for line in said if line.startswith("wrote ")} == FILES == set(files(folder))
    assert said[-2] == "next: pytest suites"
    recipe = find_recipe(folder / "suites/recipes/my-task.toml")
    rows = (folder / "suites/recipes/questions.jsonl").read_text().splitlines()
    assert len(rows) == 10 == recipe.task.train_questions + recipe.task.test_questions
    assert cli.main(["plan", "my-task"]) == 0
    planned = capsys.readouterr().out
    assert "questions: 10 there, 8 asked, 2 trained on\n" in planned
    assert "baseline gate, once one is recorded: 8 questions at discordance .85 see a drop of 85 points" in planned


def test_what_is_there_is_not_overwritten(folder, capsys):
    assert cli.main(["init", "new/place"]) == 0
    assert "next: cd new/place && pytest suites" in capsys.readouterr().out
    path = Path("new/place/suites/test_post_training.py")
    path.write_text("# mine\n")
    for kept in set(files(folder)) - {f"new/place/{name}" for name in ("suites/test_post_training.py",)}:
        (folder / kept).unlink()
    assert cli.main(["init", "new/place"]) == 2
    said = capsys.readouterr()
    assert said.err == (
        f"rl-harness: {path}: there already, so nothing was written; move it away, or give another folder\n"
    )
    assert files(folder) == {str(path): "# mine\n"}
    assert cli.main(["init", str(path)]) == 2
    assert "is a file" in capsys.readouterr().err


PYPROJECT = '# mine\n[project]\nname = "x"   # so it is called\nversion = "1"'


def test_a_repository_with_files_of_its_own_keeps_them(folder, capsys):
    own = {
        "pyproject.toml": PYPROJECT,
        ".gitignore": "*.pyc\nrl-report/",
        "conftest.py": "",
        "reports/__init__.py": "",
        "tests/test_it.py": "def test_it(): pass\n",
    }
    for name, text in own.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert cli.main(["init"]) == 0
    said = capsys.readouterr().out
    assert "added to .gitignore: rl-runs/\n" in said
    assert "added to pyproject.toml: [tool.pytest.ini_options]\n" in said
    now = files(folder)
    assert set(now) == FILES - {"pytest.ini"} | set(own)
    assert all(now[name].startswith(text) for name, text in own.items())
    assert now[".gitignore"] == "*.pyc\nrl-report/\nrl-runs/\n"
    tables = tomllib.loads(now["pyproject.toml"])
    assert tables["project"] == {"name": "x", "version": "1"}
    assert tables["tool"]["pytest"]["ini_options"]["rl_runs_dir"] == "rl-runs"


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("pytest.ini", "[pytest]\ntestpaths = tests\n", "suites/recipes"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nrl_recipes_dir = 'mine'\n", "mine"),
        ("tox.ini", "[pytest]\n", "suites/recipes"),
        ("setup.cfg", "[tool:pytest]\nrl_recipes_dir = mine\n", "mine"),
    ],
)
def test_settings_of_pytest_stay_as_they_are(name, text, where, folder, capsys):
    """One beside them might be taken in their place."""
    (folder / name).write_text(text)
    assert cli.main(["init"]) == 0
    more = "; pytest alone goes on to run its testpaths" if "testpaths" in text else ""
    assert f"left {name} as it is: the starter needs no settings{more}\n" in capsys.readouterr().out
    now = files(folder)
    assert now.pop(name) == text
    assert set(now) == {each.replace("suites/recipes", where) for each in FILES - {"pytest.ini"}}


@pytest.mark.parametrize("text", ["tool = {}\n", "[tool]\npytest = {}\n"])
def test_a_pyproject_that_takes_no_table_gets_a_file_beside_it(text, folder):
    (folder / "pyproject.toml").write_text(text)
    assert cli.main(["init"]) == 0
    assert files(folder)["pyproject.toml"] == text
    assert set(files(folder)) == {*FILES, "pyproject.toml"}


def test_settings_that_cannot_be_read_are_said_and_nothing_is_written(folder, capsys):
    (folder / "pyproject.toml").write_text("[tool")
    assert cli.main(["init"]) == 2
    assert "pyproject.toml: cannot be read: " in capsys.readouterr().err
    assert set(files(folder)) == {"pyproject.toml"}


def test_within_a_repository(folder, capsys):
    """GitHub reads workflows of the root alone; what git ignores would not reach it."""
    subprocess.run(["git", "init", "-q"], check=True)
    (folder / ".gitignore").write_text("*.jsonl\n")
    assert cli.main(["init", "models"]) == 0
    said = capsys.readouterr().out
    assert "wrote no workflow: GitHub reads those in .github/workflows alone; copy " in said
    assert "with working-directory: models and its paths below that\n" in said
    assert "! git ignores models/suites/recipes/questions.jsonl, and CI would miss it: git add --force models/" in said
    assert set(files(folder)) == {".gitignore"} | {f"models/{name}" for name in FILES if "workflows" not in name}
    assert cli.main(["init"]) == 0
    assert ".github/workflows/rl-harness.yml" in files(folder)


WORKFLOW = yaml.safe_load((STARTER / ".github/workflows/rl-harness.yml").read_text())
STEPS = {name: job["steps"] for name, job in WORKFLOW["jobs"].items()}


def test_the_workflow_trusts_no_pull_request():
    """Code of a pull request runs where nothing can be written, and where something can, none of it runs."""
    assert set(WORKFLOW[True]) == {"pull_request", "push"}  # YAML takes "on" for true
    assert WORKFLOW["permissions"] == {}
    rights = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()}
    assert rights == {"verdicts": {"contents": "read"}, "comment": {"pull-requests": "write"}}
    assert "checkout" not in str(STEPS["comment"])
    assert STEPS["verdicts"][0]["with"] == {"persist-credentials": False}
    text = (STARTER / ".github/workflows/rl-harness.yml").read_text()
    assert "secrets" not in text
    assert "head.repo.full_name == github.repository" in WORKFLOW["jobs"]["comment"]["if"]
    for step in (each for steps in STEPS.values() for each in steps):
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
        assert "${{" not in step.get("run", ""), "an expression in a script is code of whoever wrote its value"


def script_of(words: str) -> str:
    (script,) = [step["run"] for steps in STEPS.values() for step in steps if words in step.get("run", "")]
    return script


def test_the_cache_does_not_grow_for_ever(folder):
    script = script_of("mtime")
    for name in ("new/train/checkpoint-20/x", "new/train/final/x", "old/train/final/x", ".replaced/x"):
        path = folder / "rl-runs" / name
        path.parent.mkdir(parents=True)
        path.write_text("")
    subprocess.run(["touch", "-d", "40 days ago", "rl-runs/old"], check=True)
    for _ in range(2):
        subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], check=True)
        assert set(files(folder)) == {"rl-runs/new/train/final/x"}
    subprocess.run(["rm", "-r", "rl-runs"], check=True)
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], check=True)


GH = """\
#!/bin/bash
case "$*" in
  *--jq*) printf '%s' "$EARLIER" ;;
  *) echo "$@" >> calls; cat comment.md >> calls ;;
esac
"""


@pytest.mark.parametrize("earlier", ["", "11\n", "11\n12\n"])
def test_the_comment_is_one(earlier, folder, monkeypatch):
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    (folder / "comment.md").write_text("### rl-harness\n")
    for name, value in {"PATH": f"{folder}:/usr/bin:/bin", "EARLIER": earlier, "NUMBER": "7"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/mine")
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script_of("gh api")], check=True)
    where = "--method PATCH repos/me/mine/issues/comments/11" if earlier else "repos/me/mine/issues/7/comments"
    assert (folder / "calls").read_text() == f"api --silent {where} -F body=@comment.md\n### rl-harness\n"
