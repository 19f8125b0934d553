"""Sessions that train, one after another in one project: what is done, what is kept, and what the terminal says.

Two real trainings of four steps serve all of them; the rest is read from what they left.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.inner_pytest import REPOSITORY

# Beside the reward that counts there is one that notes which process called it, and whether to train.
COUNTING = """
import os, pathlib

def reward(prompts, completions, **columns):
    if columns.get("trainer_state") is not None:
        with (pathlib.Path(__file__).parent / "trainers.txt").open("a") as file:
            file.write(f"{os.getpid()}\\n")
    return [0.0] * len(completions)
"""
TRAINS = """
def test_training(verdicts):
    verdicts.require("training")

def test_improvement(verdicts):
    verdicts.require("improvement")

def test_accuracy(verdicts):
    verdicts.require("accuracy")

def test_stages(before, trained, after):
    assert len(before.records) == len(after.records) == 8
    assert len(trained.completions) == 64

def test_nothing_asked(verdicts, recipe):
    assert verdicts["accuracy"].gate == "accuracy"
"""
# A second module, that sees what the first one left in memory.
FREED = """
import weakref

def test_holds_a_policy(policy):
    import torch
    torch.kept_by_test = weakref.ref(policy.model)
"""
FREED_AFTER = """
import sys
import pytest

def test_it_is_gone(recipe):
    torch = sys.modules.get("torch")
    if not hasattr(torch, "kept_by_test"):
        pytest.skip("the module before ran elsewhere")
    assert torch.kept_by_test() is None
"""


@pytest.fixture(scope="module")
def small(shared_project):
    project = shared_project
    recipe = project.small
    rewards = '\n[rewards]\nboxed_numeric = 1.0\n"counting:reward" = 1.0\n\n[gate]\nmin_accuracy = 0.0\n'
    project.write(
        **{
            "suites/recipes/small.toml": recipe + rewards,
            "counting.py": COUNTING,
            "test_1_trains.py": TRAINS,
            "test_2_holds.py": FREED,
            "test_3_freed.py": FREED_AFTER,
        }
    )
    return project


@pytest.fixture(scope="module")
def first(small):
    """The session that finds nothing kept."""
    result = small.pytest("-rs", "--junitxml=junit.xml")
    return small, result, snapshot(small)


@pytest.fixture(scope="module")
def kept(first):
    """The same again; tests that would load a policy are left out."""
    small, _, _ = first
    result = small.pytest("test_1_trains.py")
    return small, result, snapshot(small), small.imported("finished")


@pytest.fixture(scope="module")
def fresh(kept):
    """``--rl-fresh`` under two workers."""
    small, *_ = kept
    result = small.pytest("-n2", "--rl-fresh", "-rs")
    return small, result, snapshot(small)


def snapshot(project):
    """What a session left that tells whether another one worked."""
    (directory,) = (project.path / "rl-runs").glob("small-0-*")
    return {
        "directory": directory,
        "trainers": (project.path / "trainers.txt").read_text().split(),
        "changed": {name: (directory / name).stat().st_mtime_ns for name in ("train/log.txt", "after/records.jsonl")},
        "verdicts": json.loads((directory / "verdicts.json").read_text())["verdicts"],
        "steps": [json.loads(line)["step"] for line in (directory / "train/metrics.jsonl").read_text().splitlines()],
    }


def words(result):
    """Verdict words by gate, as the summary has them."""
    found = re.findall(r"^  ([A-Z_]+) +(\w+): ", result.stdout.str(), re.MULTILINE)
    return {gate: word for word, gate in found}


def test_the_first_session_trains_once_and_passes(first):
    _, result, left = first
    result.assert_outcomes(passed=6, skipped=1)
    assert result.ret == 0
    assert len(set(left["trainers"])) == 1
    assert [verdict["gate"] for verdict in left["verdicts"]] == ["improvement", "accuracy", "training"]


def test_the_summary_is_tidy(first):
    """Accuracy before and after, a line a verdict, the run directory from here, and the report's path last."""
    project, result, left = first
    lines = result.outlines
    section = lines[next(i for i, line in enumerate(lines) if re.fullmatch(r"=+ rl-harness =+", line)) + 1 :]
    accuracy = r"[\d.]+ % \(95 %: [\d.]+ to [\d.]+\)"
    expected = [
        rf"small, seed 0: before {accuracy}, after {accuracy} of 8 questions",
        r"  INCONCLUSIVE  improvement: .*could go unseen.*",
        r"  OK            accuracy: .*",
        r"  OK            training: 4 steps, every logged loss and gradient finite.*",
        r"  signal: \d+ % of groups of 4 are expected to carry a gradient .*",
        rf"  rl-runs/{left['directory'].name}",
        r"peak memory: [\d,]+ MiB in test_1_trains.py, [\d,]+ MiB in test_2_holds.py, [\d,]+ MiB in test_3_freed.py",
        r"report: rl-report/index.html",
    ]
    for line, pattern in zip(section[: len(expected)], expected, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"
    page = (project.path / "rl-report/index.html").read_text()
    assert "small" in page
    assert "INCONCLUSIVE" in page


def test_files_keep_their_names_where_the_root_directory_is_elsewhere(project, tmp_path_factory):
    asks = "def test_asks(before):\n    pass\n"
    project.write(**{"some/test_one": asks, "some/test_two": asks})
    root, recipe = tmp_path_factory.mktemp("root"), project.path / "suites/recipes/small.toml"
    for asked in (["some"], ["some/test_one.py", "some/test_two.py"]):
        options = ("-q", "--rl-fresh", f"--rootdir={root}", f"--rl-recipe={recipe}", "--junitxml=x.xml")
        result = project.pytest(*options, *asked)
        result.assert_outcomes(passed=2)
        (said,) = [line for line in result.outlines if line.startswith("peak memory: ")]
        assert re.fullmatch(r"peak memory: [\d,]+ MiB in \S+/test_one.py, [\d,]+ MiB in \S+/test_two.py", said)
        assert len(re.findall(r"rl\.peak_memory_bytes\.\S+/test_\w+\.py", (project.path / "x.xml").read_text())) == 2


def test_an_inconclusive_verdict_skips_with_its_reason(first):
    _, result, _ = first
    result.stdout.fnmatch_lines(["SKIPPED*INCONCLUSIVE small-0: *could go unseen*"])


def test_progress_in_a_log_leaves_pytests_lines_whole(first):
    _, result, _ = first
    text = result.stdout.str().split("\n\n")[1]
    for stage in ("before", "train", "after"):
        assert re.search(rf"^  small-0 {stage}: ", text, re.MULTILINE), stage
    rest = [line for line in text.splitlines() if not line.startswith("  small-0 ")]
    assert all(re.fullmatch(r"test_[123]_\w+\.py [.s]*( +\[[ \d]+%\])?", line) for line in rest), rest
    assert sum(line.count(".") - 1 for line in rest) == 6, "a dot a test"
    assert "\x1b" not in text


def test_junit_carries_the_run_directory(first):
    """As a property of the suite: JUnit's schema has none for a single test."""
    project, _, left = first
    found = ElementTree.parse(project.path / "junit.xml").findall("./testsuite/properties/property")
    named = {each.get("name"): each.get("value") for each in found}
    assert named[f"rl.{left['directory'].name}"] == str(left["directory"])
    assert int(named["rl.peak_memory_bytes.test_1_trains.py"]) > 0


def test_a_second_session_does_nothing_twice(kept, first):
    """Nothing is trained, generated or imported for it, and the verdicts are the same."""
    _, before, left_before = first
    _, result, left, imported = kept
    result.assert_outcomes(passed=4, skipped=1)
    assert left == left_before
    assert words(result) == words(before) == {"improvement": "INCONCLUSIVE", "accuracy": "OK", "training": "OK"}
    assert not {"torch", "transformers", "trl", "datasets", "pandas"} & set(imported)
    assert "peak memory" not in result.stdout.str()
    assert "report: rl-report/index.html" in result.stdout.str()


def test_two_workers_train_once_and_agree(fresh, first):
    _, before, left_before = first
    _, result, left = fresh
    assert result.ret == 0, result.stdout.str()
    new = left["trainers"][len(left_before["trainers"]) :]
    assert len(set(new)) == 1, "one training process for both workers"
    assert len(new) == len(left_before["trainers"])
    assert left["steps"] == left_before["steps"]
    assert words(result) == words(before)
    assert left["verdicts"] == left_before["verdicts"]
    assert "report: rl-report/index.html" in result.stdout.str()
    assert result.stdout.str().count("small, seed 0: before") == 1


def test_fresh_keeps_the_old_aside(fresh, first):
    project, _, left = fresh
    assert left["directory"] == first[2]["directory"]
    assert left["changed"] != first[2]["changed"]
    (aside,) = (project.path / "rl-runs/.replaced").iterdir()
    assert aside.name.startswith(left["directory"].name)
    assert (aside / "verdicts.json").is_file()
    assert (aside / "train/final/model.safetensors").is_file()


def test_strict_and_a_failing_verdict(fresh):
    """A failing verdict is one line and exit code 1; --rl-strict makes failures of verdicts that cannot tell."""
    project, *_ = fresh
    result = project.pytest("test_1_trains.py", "--rl-strict", "--rl-set=gate.min_accuracy=0.99")
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=2)
    text = result.stdout.str()
    failures = text[text.index("= FAILURES =") : text.index("= rl-harness =")].splitlines()[1:-1]
    assert [line.split(":")[0] for line in failures if not line.startswith("___")] == [
        "INCONCLUSIVE small-0",
        "TOO_LOW small-0",
    ]
    assert words(result) == {"improvement": "INCONCLUSIVE", "accuracy": "TOO_LOW", "training": "OK"}


def test_the_evaluation_suite_judges_the_model_of_the_option(fresh):
    """The same weights by another way are the same run: nothing is generated again."""
    project, _, left = fresh
    suite = (REPOSITORY / "suites/test_evaluation.py").read_text()
    project.write(**{"suites/test_evaluation.py": suite})
    project.pytest("suites").assert_outcomes(passed=1, skipped=1)
    result = project.pytest("suites", "--rl-model=tiny", "--rl-set=gate.min_accuracy=0.99")
    result.assert_outcomes(passed=1, failed=1)
    assert re.search(r"^TOO_LOW small-0: .* the 99.0 % asked for", result.stdout.str(), re.MULTILINE)
    assert "Error" not in result.stdout.str()
    assert snapshot(project)["changed"] == left["changed"]


def test_a_report_that_cannot_be_written_is_a_line(fresh):
    project, *_ = fresh
    (project.path / "taken").write_text("a file")
    result = project.pytest("test_1_trains.py", "-k", "training", "--rl-report-dir=taken")
    assert result.ret == 0
    assert "no report: " in result.stdout.str()
    assert "--rl-report-dir" in result.stdout.str()


def test_run_directories_elsewhere_are_named_whole(fresh, tmp_path):
    project, *_ = fresh
    result = project.pytest("../test_1_trains.py", "-k", "training", folder="suites")
    assert f"  {project.path}/rl-runs/small-0-" in result.stdout.str()
    assert f"report: {project.path}/rl-report/index.html" in result.stdout.str()
