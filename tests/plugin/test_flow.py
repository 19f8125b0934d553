"""Sessions that train, one after another in one project: what is done, what is kept, and what the terminal says.

One real training, and one by two workers, serve all of them; the rest is read from what they left.
"""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import pytest

from harness.store.records import SUMMARY
from tests.inner_pytest import HEAVY, REPOSITORY

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

def test_stages(before, trained, after, recipe):
    assert len(before.records) == len(after.records) == recipe.task.test_questions
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


CRASHING = """
import os, pathlib, sys

def reward(prompts, completions, **columns):
    if "harness.training.worker" in sys.orig_argv:
        with (pathlib.Path(__file__).parent / "crashed.txt").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        print("last words of the reward", flush=True)
        os.abort()
    return [0.0] * len(completions)
"""
CRASHES = """
import pytest

pytestmark = pytest.mark.rl_recipe("crash")

def test_training(verdicts):
    verdicts.require("training")

def test_again(verdicts):
    verdicts.require("training")

def test_completions(trained):
    pass

def test_before(before):
    pass
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
    result = small.pytest("-rs", "--junitxml=junit.xml", torch=True)
    return small, result, snapshot(small)


@pytest.fixture(scope="module")
def kept(first):
    """The same again; tests that would load a policy are left out."""
    small, _, _ = first
    result = small.pytest("test_1_trains.py", "-v", torch=None)
    return small, result, snapshot(small), small.imported("finished")


@pytest.fixture(scope="module")
def workers(kept):
    """``--rl-fresh`` under two workers, with a recipe that differs in its gate and in how many questions it asks, and
    one whose training crashes."""
    small, *_ = kept
    other = small.small.replace("test_questions = 8", "test_questions = 12").replace("four steps", "the same steps")
    small.write(**{"suites/recipes/other.toml": other + "power = 0.9\n"})
    crash = small.small.replace("counting:reward", "crashing:reward").replace(
        "[gate]", "[health]\nsignal = false\n[gate]"
    )
    small.write(**{"suites/recipes/crash.toml": crash, "crashing": CRASHING, "test_4_crash": CRASHES})
    marker = '\nimport pytest\n\npytestmark = pytest.mark.rl_recipe("small", "other")\n'
    small.write(test_1_trains=TRAINS + marker)
    files = ("test_1_trains.py", "test_4_crash.py")
    result = small.pytest(*files, "-v", "-n2", "--dist=load", "--rl-fresh", torch=None)
    left = snapshot(small)
    shutil.copytree(small.path / "rl-runs", small.path / "elsewhere/runs", copy_function=shutil.copyfile)
    return small, result, left


def snapshot(project):
    """What a session left that tells whether another one worked."""
    (directory,) = (project.path / "rl-runs").glob("small")
    verdicts = json.loads((directory / "verdicts.json").read_text())["verdicts"]
    return {
        "directory": directory,
        "trainers": (project.path / "trainers.txt").read_text().split(),
        "changed": {name: (directory / name).stat().st_mtime_ns for name in ("train/log.txt", "after/records.jsonl")},
        "verdicts": [{key: value for key, value in each.items() if key != "session"} for each in verdicts],
        "steps": [json.loads(line)["step"] for line in (directory / "train/metrics.jsonl").read_text().splitlines()],
    }


def words(result):
    """Verdict words by gate, as the summary has them with ``-v``."""
    found = re.findall(r"^  ([A-Z_]+) +(\w+): ", result.stdout.str(), re.MULTILINE)
    return {gate: word for word, gate in found}


def test_the_first_session_trains_once_and_passes(first):
    _, result, left = first
    result.assert_outcomes(passed=6, skipped=1)
    assert result.ret == 0
    assert len(set(left["trainers"])) == 1
    assert [verdict["gate"] for verdict in left["verdicts"]] == ["improvement", "accuracy", "training"]


def test_the_summary_is_tidy(first):
    """A line a run, and the report's path; with ``-v`` also a line a verdict and the run directory from here."""
    project, result, _ = first
    lines = result.outlines
    section = lines[next(i for i, line in enumerate(lines) if re.fullmatch(r"=+ rl-harness =+", line)) + 1 :]
    number = r"-?[\d.]+"
    expected = [
        rf"! small +{number} → +{number} % +[+-][\d.]+ +\[{number}, {number}\]   \d gained · \d lost   sound   "
        "may be luck",
        r"Report: rl-report/index.html",
    ]
    for line, pattern in zip(section[: len(expected)], expected, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"
    page = (project.path / "rl-report/index.html").read_text()
    assert "small" in page
    assert "undecided" in page


def test_an_inconclusive_verdict_skips_with_its_reason(first):
    _, result, _ = first
    result.stdout.fnmatch_lines(["SKIPPED*test_1_trains.py:6: INCONCLUSIVE small: *could go unseen*"])


def test_a_log_has_a_line_a_stage_and_one_of_marks(first):
    _, result, _ = first
    text = result.stdout.str().partition(" items\n\n")[2]
    *stages, marks = text[: re.search(r"\n+[=-]{3}", text).start()].splitlines()
    assert [*dict.fromkeys(line.split(" small ")[0] for line in stages)] == ["signal", "GRPO", "before", "after"]
    *_, trained = (line for line in stages if " 4/4 " in line)
    assert re.fullmatch(r"GRPO small +4/4  reward [\d.]+ → [\d.]+   .* s", trained)
    assert re.fullmatch(r"small +[.s]{7} +\[100%\]", marks)
    assert "\x1b" not in result.stdout.str()


def test_junit_carries_the_run_directory(first):
    """As a property of the suite: JUnit's schema has none for a single test."""
    project, _, left = first
    found = ElementTree.parse(project.path / "junit.xml").findall("./testsuite/properties/property")
    named = {each.get("name"): each.get("value") for each in found}
    assert named[f"rl.{left['directory'].name}"] == str(left["directory"])
    assert int(named["rl.peak_memory_bytes.test_1_trains.py"]) > 0


def test_a_second_session_does_nothing_twice(kept, first):
    """Nothing is trained, generated or imported for it, and the verdicts are the same."""
    _, _, left_before = first
    _, result, left, imported = kept
    result.assert_outcomes(passed=4, skipped=1)
    assert left == left_before
    assert words(result) == {"improvement": "INCONCLUSIVE", "accuracy": "OK", "training": "OK"}
    assert not (HEAVY - {"scipy.stats"}) & set(imported)
    assert "peak memory" not in result.stdout.str()
    section = result.stdout.str().partition("= rl-harness =")[2]
    accuracy = r"[\d.]+ % \(95 %: [\d.]+ to [\d.]+\)"
    expected = [
        rf"  before {accuracy}, after {accuracy} of 8 questions",
        r"  INCONCLUSIVE  improvement: .*could go unseen.*",
        r"  OK            accuracy: .*",
        r"  OK            training: 4 steps, every logged loss and gradient finite.*",
        r"  signal: \d+ % of groups of 4 are expected to carry a gradient .*",
        rf"  rl-runs/{left['directory'].name}",
        r"Reused \d+ answers, 4 training steps\.  Report: rl-report/index.html",
    ]
    for line, pattern in zip(section.splitlines()[2:], expected, strict=False):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"


def test_a_plan_says_what_an_earlier_session_left(kept):
    project, *_ = kept

    def planned(*options):
        return [line for line in project.pytest("--rl-plan", *options).outlines if line.startswith("  kept: ")]

    (run,) = (project.path / "rl-runs").glob("small")
    (line,) = planned()
    assert line.startswith(f"  kept: before, signal, training, after in rl-runs/{run.name}, made in ")
    assert planned("--rl-fresh") == planned("--rl-set=evaluate.max_new_tokens=9") == []


def test_two_workers_ask_and_train_once_and_agree(workers, first):
    project, result, left = workers
    _, _, left_before = first
    result.assert_outcomes(passed=4 + 4 + 1, skipped=2, failed=2, errors=1)
    new = left["trainers"][len(left_before["trainers"]) :]
    assert len(set(new)) == 1, "one training process for both workers and both recipes"
    assert len(new) == len(left_before["trainers"])
    assert left["steps"] == left_before["steps"]
    assert {each["verdict"] for each in left["verdicts"]} == {each["verdict"] for each in left_before["verdicts"]}
    for stage in ("before", "after"):
        found = [SUMMARY.read(run / stage) for run in runs_of(project, "small", "other")]
        assert sorted(sum(each.counts.values()) for each in found) == [8, 12]
        generated = [sum(each.counts.values()) - sum(each.reused.values()) for each in found]
        assert sum(generated) == 12, stage


def runs_of(project, *names):
    return [next((project.path / "rl-runs").glob(name)) for name in names]


def test_what_was_shared_is_said(workers):
    """Eight or twelve answers before and after, whichever recipe came first, and a training of four steps."""
    _, result, _ = workers
    run = r"(small|other)"
    result.stdout.re_match_lines_random(
        [
            rf"  training: the same was trained in {run}",
            rf"  before: 8 of (8|12) answers found in {run}",
            r"Reused \d+ answers, 4 training steps\.  Report: rl-report/index.html",
        ]
    )
    assert len(re.findall(r"^[✓✗!] small ", result.stdout.str(), re.MULTILINE)) == 1


def test_a_crashing_job_fails_its_tests_and_is_tried_once(workers):
    """Two workers ask for the same training; it crashes once, both say so, and pytest goes on to its end."""
    project, result, _ = workers
    assert result.ret == 1
    assert len(set((project.path / "crashed.txt").read_text().split())) == 1
    text = result.stdout.str()
    assert "the training job was killed by SIGABRT" in text
    assert "last words of the reward" in text
    assert (
        "  the training job was killed by SIGABRT after step 0; run again to go on from its last checkpoint.\n" in text
    )
    for trace in ("INTERNALERROR", "/harness/plugin/", "/harness/pipeline"):
        assert trace not in text


def test_fresh_keeps_the_old_aside(workers, first):
    project, _, left = workers
    assert left["directory"] == first[2]["directory"]
    assert left["changed"] != first[2]["changed"]
    (aside,) = (project.path / "rl-runs/.replaced").iterdir()
    assert aside.name.startswith(left["directory"].name)
    assert (aside / "verdicts.json").is_file()
    assert (aside / "train/final/model.safetensors").is_file()


def test_a_copy_of_the_runs_has_everything(workers):
    project, _, _ = workers
    places = ("rl-runs", "elsewhere/runs")
    options = ("--rl-runs-dir", places[1], "--rl-recipe=small", "--rl-recipe=other", "--junitxml=x.xml")
    result = project.pytest("test_1_trains.py", *options, torch=None)
    assert result.ret == 0
    result.stdout.re_match_lines_random([r"Reused 40 answers, 8 training steps\."])
    assert not (HEAVY - {"scipy.stats"}) & set(project.imported("finished"))
    assert not list((project.path / places[1]).glob("*/.before-*"))
    names = [sorted(path.parent.name for path in (project.path / runs).glob("*/identity.json")) for runs in places]
    assert names[0] == names[1]


ONE = ("--rl-recipe=small",)


def test_strict_and_a_failing_verdict(workers):
    """A failing verdict is one line and exit code 1; --rl-strict makes failures of verdicts that cannot tell. A report
    that cannot be written is a line."""
    project, *_ = workers
    (project.path / "taken").write_text("a file")
    options = ("-v", "--rl-strict", "--rl-set=gate.min_accuracy=0.99", "--rl-report-dir=taken")
    result = project.pytest("test_1_trains.py", *ONE, *options)
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=2)
    text = result.stdout.str()
    failures = text[text.index("= FAILURES =") : text.index("= rl-harness =")].splitlines()[1:-1]
    assert [line.split(":")[0] for line in failures if re.match("[A-Z_]+ small: ", line)] == [
        "INCONCLUSIVE small",
        "TOO_LOW small",
    ]
    assert words(result) == {"improvement": "INCONCLUSIVE", "accuracy": "TOO_LOW", "training": "OK"}
    assert "no report: " in text
    assert "--rl-report-dir" in text


def test_the_evaluation_suite_judges_the_model_of_the_option(workers):
    """The same weights by another way are the same run: nothing is generated again. Run directories that lie elsewhere
    are named whole."""
    project, _, left = workers
    project.write(**{"suites/test_evaluation.py": (REPOSITORY / "suites/test_evaluation.py").read_text()})
    project.pytest("suites", *ONE).assert_outcomes(passed=1, skipped=1)
    options = ("--rl-model=tiny", "--rl-set=gate.min_accuracy=0.99")
    result = project.pytest("test_evaluation.py", "-v", *ONE, *options, folder="suites")
    result.assert_outcomes(passed=1, failed=1)
    assert re.search(r"^TOO_LOW small: .* the 99.0 % asked for", result.stdout.str(), re.MULTILINE)
    assert "Error" not in result.stdout.str()
    assert f"  {project.path}/rl-runs/small" in result.stdout.str()
    assert f"Report: {project.path}/rl-report/index.html" in result.stdout.str()
    assert snapshot(project)["changed"] == left["changed"]


def test_files_keep_their_names_where_the_root_directory_is_elsewhere(project, tmp_path_factory):
    asks = "def test_asks(before):\n    pass\n"
    project.write(**{"some/test_one": asks, "some/test_two": asks})
    root, recipe = tmp_path_factory.mktemp("root"), project.path / "suites/recipes/small.toml"
    for asked in (["some"], ["some/test_one.py", "some/test_two.py"]):
        options = ("-v", "--rl-fresh", f"--rootdir={root}", f"--rl-recipe={recipe}", "--junitxml=x.xml")
        result = project.pytest(*options, *asked, torch=True)
        result.assert_outcomes(passed=2)
        (said,) = [line for line in result.outlines if line.startswith("peak memory: ")]
        assert re.fullmatch(r"peak memory: [\d,]+ MiB in \S+/test_one.py, [\d,]+ MiB in \S+/test_two.py", said)
        assert len(re.findall(r"rl\.peak_memory_bytes\.\S+/test_\w+\.py", (project.path / "x.xml").read_text())) == 2
