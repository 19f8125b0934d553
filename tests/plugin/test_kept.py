"""Two recipes on two workers, and again where their runs were copied to: nothing is asked or trained twice."""

from __future__ import annotations

import json
import shutil

import pytest

TESTS = """
def test_before(before):
    assert before.records

def test_after(after):
    assert after.records

def test_sound(verdicts):
    verdicts.require("training")
"""
HEAVY = {"torch", "transformers", "trl", "datasets", "accelerate"}


@pytest.fixture(scope="module")
def first(shared_project):
    """A session of two recipes that differ in their gate and in how many questions they ask."""
    project = shared_project
    recipe = project.small
    other = recipe.replace("test_questions = 8", "test_questions = 12").replace("four steps", "the same steps")
    project.write(**{"suites/recipes/other.toml": other + "\n[gate]\nmin_accuracy = 0.0\n", "test_suite": TESTS})
    return project, project.pytest("-n2", "--dist", "load")


def summaries(project, stage):
    return [json.loads(path.read_text()) for path in project.path.glob(f"rl-runs/*/{stage}/summary.json")]


def test_two_workers_ask_and_train_once(first):
    project, result = first
    result.assert_outcomes(passed=6)
    for stage in ("before", "after"):
        found = summaries(project, stage)
        assert sorted(sum(each["counts"].values()) for each in found) == [8, 12]
        generated = [sum(each["counts"].values()) - sum(each.get("reused", {}).values()) for each in found]
        assert sum(generated) == 12, stage
    sources = [each.get("source") for each in summaries(project, "train")]
    assert len([source for source in sources if source is None]) == 1
    assert len([source for source in sources if source]) == 1


def test_what_was_shared_is_said(first):
    """Eight or twelve answers before and after, whichever recipe came first, and a training of four steps."""
    _, result = first
    result.stdout.re_match_lines_random(
        [
            r"  training: the same was trained in (small|other)-0-[0-9a-f]{12}",
            r"  before: 8 of (8|12) answers found in (small|other)-0-[0-9a-f]{12}",
            r"Reused 16 answers, 4 training steps\.",
        ]
    )


def test_a_copy_of_the_runs_has_everything(first):
    project, _ = first
    shutil.copytree(project.path / "rl-runs", project.path / "elsewhere" / "runs", copy_function=shutil.copyfile)
    result = project.pytest("-n2", "--dist", "load", "--rl-runs-dir", "elsewhere/runs")
    result.assert_outcomes(passed=6)
    result.stdout.re_match_lines_random([r"Reused 40 answers, 8 training steps\."])
    for worker in ("gw0", "gw1"):
        assert not HEAVY & set(project.imported("finished", worker))
    assert not list((project.path / "elsewhere/runs").glob("*/.before-*"))
    names = [
        sorted(path.name for path in (project.path / runs).glob("*-0-*")) for runs in ("rl-runs", "elsewhere/runs")
    ]
    assert names[0] == names[1]
