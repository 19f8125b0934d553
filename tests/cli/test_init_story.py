"""What docs/start.md promises, by its own words: from nothing to a build that is green for a good change and red for a
bad one."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.inner_pytest import PYTEST, REPOSITORY, run

PAGE = (REPOSITORY / "docs/start.md").read_text(encoding="utf-8")
BLOCKS = [block.splitlines() for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
RECIPE = "suites/recipes/my-task.toml"
OWN = {
    "pyproject.toml": "[project]\nname = 'mine'\nversion = '1'\n",
    "reports/__init__.py": "KIND = 'mine'\n",
    "tests/conftest.py": "",
    "tests/test_reports.py": "from reports import KIND\n\ndef test_kind():\n    assert KIND == 'mine'\n",
}


def follow(lines: list[str], folder: Path) -> list[pytest.RunResult]:
    """Type the lines of a block, and give back what the sessions of pytest among them said."""
    said = []
    for line in lines:
        words = shlex.split(line)
        if words[0] == "pytest":
            said.append(run([*PYTEST, *words[1:], "--rl-pr-comment=comment.md"], folder, {}, torch=True))
        elif words[0] == "rl-harness":
            result = run(["harness.cli", *words[1:]], folder, {}, torch=False)
            assert result.ret == 0, result.stderr.str()
        elif words[0] == "git":
            subprocess.run(["bash", "-ec", line], cwd=folder, check=True)
        else:
            assert words[:3] == ["pip", "install", "rl-harness"], line
    return said


def test_from_nothing_to_a_red_build(tmp_path, monkeypatch):
    """In a repository with tests of its own and a package called ``reports``."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "me")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "me@example.org")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    start, record, change, plan = BLOCKS

    (first,) = follow(start, tmp_path)
    first.assert_outcomes(passed=4, skipped=1)
    assert (tmp_path / "rl-report/index.html").is_file()
    (recorded,) = follow(record, tmp_path)
    assert recorded.ret == 0
    assert (tmp_path / "suites/baselines/my-task-0.toml").is_file()
    assert len(list((tmp_path / "rl-runs").glob("my-task*"))) == 1, "nothing is trained again"

    recipe = (tmp_path / RECIPE).read_text()

    def changed(old: str, new: str) -> pytest.RunResult:
        assert f"`{new}`" in PAGE
        assert recipe.count(old) == 1
        (tmp_path / RECIPE).write_text(recipe.replace(old, new))
        (said,) = follow(change, tmp_path)
        return said

    good = changed("max_steps = 20", "max_steps = 24")
    assert good.ret == 0
    good.assert_outcomes(passed=5)
    assert "lost against" not in (tmp_path / "comment.md").read_text()
    bad = changed("learning_rate = 3e-4", "learning_rate = 3e-2")
    assert bad.ret == 1
    assert "REGRESSED" in bad.stdout.str()
    comment = (tmp_path / "comment.md").read_text()
    assert re.search(r"lost against the baseline.*\n\n\| question \| truth \| now \|\n(.*\n){6}", comment)

    (tmp_path / RECIPE).write_text(recipe)
    reports = tmp_path / "rl-report"
    again = run([*PYTEST, "--rl-strict"], tmp_path, {"PYTHONPATH": str(tmp_path)}, torch=False)
    again.assert_outcomes(passed=6)  # with the test that was there before
    assert reports.is_dir()
    follow(plan, tmp_path)
