"""What the plugin costs: next to nothing where it is not used, and little where suites are only collected."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.inner_pytest import HEAVY, PYTEST, REPOSITORY, run
from tests.small_recipes import small_recipe


def seconds(*arguments: str, folder: Path) -> float:
    """Of the processor, whatever else it does meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run([*PYTEST, "-q", *arguments], folder, {}, torch=None).ret in (0, 5)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_collecting_the_suites_is_quick(tmp_path):
    """At most 1.5 times an empty project plus a second. The least of several runs: noise only adds."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    empty = suites = float("inf")
    for _ in range(3):
        empty = min(empty, seconds(folder=tmp_path))
        suites = min(suites, seconds("suites/", "--collect-only", folder=REPOSITORY))
        if suites <= 1.5 * empty + 1.0:
            return
    pytest.fail(f"collecting the suites took {suites:.2f} s, an empty project {empty:.2f} s")


def test_collecting_suites_of_every_method_imports_nothing_heavy(project):
    for path in (REPOSITORY / "suites").glob("test_*.py"):
        project.write(**{path.name: path.read_text()})
    for method in ("sft", "dpo"):
        project.write(**{f"suites/recipes/{method}.toml": small_recipe(method)})
    project.write(**{"suites/recipes/warmed.toml": small_recipe(model='from_recipe = "sft"')})
    result = project.pytest("--collect-only", "-q", torch=None)
    assert result.ret == 0
    assert "test_methods.py::test_every_method_has_its_verdicts[dpo+sft+small]" in result.stdout.str()
    assert not HEAVY & set(project.imported("collected"))


def test_where_it_is_not_used_nothing_is_imported(project):
    """Recipes bring pydantic and runs bring filelock: a project that has neither pays for neither."""
    project.write(test_plain="def test_plain():\n    pass\n")
    project.pytest(torch=None).assert_outcomes(passed=1)
    assert project.imported("finished") == []


def test_removed_it_leaves_plain_pytest(project):
    project.write(test_plain="def test_plain():\n    pass\n")
    result = project.pytest("-p", "no:rl-harness", "-v")
    result.assert_outcomes(passed=1)
    assert "rl-harness" not in result.stdout.str().replace(str(project.path), "")
    result = project.pytest("-p", "no:rl-harness", "--rl-plan")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --rl-plan" in result.stderr.str()


def test_without_the_plugin_this_repository_collects_no_suites():
    result = run([*PYTEST, "suites/", "-p", "no:rl-harness"], REPOSITORY, {}, torch=False)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "collected 0 items" in result.stdout.str()
    assert "error" not in result.stdout.str().lower()
