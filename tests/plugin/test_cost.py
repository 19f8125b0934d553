"""What the plugin costs: next to nothing where it is not used, and little where suites are only collected."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.inner_pytest import HEAVY, REPOSITORY


def seconds(project, *command: str, cwd: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *command],
        cwd=cwd,
        capture_output=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
    )
    assert done.returncode in (0, 5), done.stdout.decode()
    return time.perf_counter() - started


def test_collecting_the_suites_is_quick(project, tmp_path):
    """At most 1.5 times an empty project plus a second. The quickest of several runs, side by side: noise only adds."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "pytest.ini").write_text("[pytest]\n")
    empty = suites = float("inf")
    for _ in range(6):
        empty = min(empty, seconds(project, cwd=tmp_path / "empty"))
        suites = min(suites, seconds(project, "suites/", "--collect-only", cwd=REPOSITORY))
        if suites <= 1.5 * empty + 1.0:
            return
    pytest.fail(f"collecting the suites took {suites:.2f} s, an empty project {empty:.2f} s")


def test_collecting_the_suites_imports_nothing_heavy(project):
    for name in ("test_grpo.py", "test_evaluation.py", "test_rewards.py"):
        project.write(**{name: (REPOSITORY / "suites" / name).read_text()})
    result = project.pytest("--collect-only", "-q")
    assert result.ret == 0
    assert not HEAVY & set(project.imported("collected"))


def test_where_it_is_not_used_nothing_is_imported(project):
    """Recipes bring pydantic and runs bring filelock: a project that has neither pays for neither."""
    project.write(test_plain="def test_plain():\n    pass\n")
    project.pytest().assert_outcomes(passed=1)
    assert project.imported("finished") == []


def test_removed_it_leaves_plain_pytest(project):
    project.write(test_plain="def test_plain():\n    pass\n")
    result = project.pytest("-p", "no:rl-harness", "-v")
    result.assert_outcomes(passed=1)
    assert "rl-harness" not in result.stdout.str().replace(str(project.path), "")
    result = project.pytest("-p", "no:rl-harness", "--rl-plan")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --rl-plan" in result.stderr.str()
    assert "--rl-" not in project.pytest("-p", "no:rl-harness", "--help").stdout.str()


def test_without_the_plugin_this_repository_collects_no_suites(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "suites/", "-p", "no:rl-harness", "-p", "no:cacheprovider"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
    assert "collected 0 items" in done.stdout
    assert "error" not in done.stdout.lower()
