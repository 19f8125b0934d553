"""Stopping at the first verdict: fewer questions, and what was not asked is nowhere taken for wrong."""

from __future__ import annotations

import json
import re

import pytest

EARLY = ("--rl-stop-early", "--rl-runs-dir=rl-early")


@pytest.fixture(scope="module")
def recorded(shared_made_up):
    """400 questions, all right; training gives it up after question 300, which an early stop never sees."""
    project = shared_made_up
    project.recipe("small", asked=400, gate="min_accuracy = 0.8")
    project.policies["small"] = "n < 300"
    project.pytest("--rl-update-baselines=new", "-k", "baseline")
    return project


@pytest.fixture(scope="module")
def early(recorded):
    recorded.forget()
    session = recorded.pytest(*EARLY)
    return recorded, session, len([line for line in recorded.lines("answers.txt") if not line.startswith("base ")])


def summary(project, stage):
    return json.loads((project.run("small", "rl-early") / stage / "summary.json").read_text())


def test_unchanged_takes_at_most_a_quarter_of_the_questions(early):
    """What was not asked is not wrong, and the interval says that it is anytime-valid. An answer takes ten tokens."""
    project, session, asked = early
    assert session.ret == 0, session.text
    assert session.words("small")["baseline"][0] == "OK"
    after = summary(project, "after")
    assert asked == after["questions"] == sum(after["counts"].values()) <= 100
    assert (after["planned_questions"], after["accuracy"]) == (400, 1.0)
    assert summary(project, "before")["questions"] == 400, "what is held against is asked whole"
    assert f"  stopped early: asked {asked} of 400 questions, about {10 * (400 - asked):,} tokens saved" in session.text
    (line,) = [line for line in session.section.splitlines() if line.startswith("  before ")]
    assert re.fullmatch(
        r"  before .* \(95 %: .*\) of 400 questions, after 100.0 % \(95 %, anytime-valid: .*\) "
        rf"of {asked} of 400 questions",
        line,
    )
    assert session.words("small")["accuracy"][1].startswith(f"100.0 % right over {asked} questions, ")
    numbers = project.verdicts("small", "rl-early")["improvement"]["numbers"]
    assert (numbers["pairs"], numbers["after"], numbers["lost"]) == (asked, 1.0, 0)


def test_again_asks_nothing(early):
    project, first, _ = early
    project.forget()
    again = project.pytest(*EARLY)
    assert project.lines("answers.txt") == []
    assert again.words("small") == first.words("small")


def test_a_real_loss_stops_too(recorded):
    recorded.policies["small"] = "n < 300 and n % 4"
    recorded.forget()
    session = recorded.pytest("--rl-stop-early", "--rl-runs-dir=rl-lost")
    recorded.policies["small"] = "n < 300"
    assert session.ret == 1
    word, sentence = session.words("small")["baseline"]
    assert word == "REGRESSED"
    assert "12 lost and 0 gained in the first 48 of 400 questions" in sentence
    assert "not asked" not in sentence
    numbers = recorded.verdicts("small", "rl-lost")["baseline"]["numbers"]
    assert numbers["baseline"] == 1.0 > numbers["now"]
    assert f'commit = "{numbers["baseline_commit"]}"' in recorded.baseline("small-0").read_text()
    assert numbers["run_commit"]


def test_the_rest_is_asked_when_all_are_wanted(early):
    """After all that look at the run: it completes it."""
    project, _, asked = early
    project.forget()
    session = project.pytest("--rl-runs-dir=rl-early")
    assert len(project.lines("answers.txt")) == 400 - asked
    assert "stopped early" not in session.text
    assert "anytime" not in session.text
    assert "after 75.0 % (95 %: 70.5 to 79.0) of 400 questions" in session.section


def test_an_accuracy_near_its_threshold_is_asked_for_longer(recorded):
    """Unchanged is clear at the first stop; whether 85 % are right where 80 % are asked for is not."""
    recorded.recipe("close", asked=400, gate="min_accuracy = 0.8")
    recorded.policies["close"] = "n % 7"
    recorded.pytest("--rl-recipe=close", "--rl-update-baselines=new", "-k", "baseline")
    session = recorded.pytest("--rl-recipe=close", "--rl-stop-early", "--rl-runs-dir=rl-close")
    assert session.words("close")["baseline"][0] == "OK"
    summary = json.loads((recorded.run("close", "rl-close") / "after" / "summary.json").read_text())
    low, high = summary["interval"]
    assert summary["questions"] == 400 or not low < 0.8 <= high
    assert summary["questions"] > 128


def test_a_baseline_gate_alone_asks_nothing_of_the_base(recorded):
    recorded.model("almost", "n % 10")
    recorded.recipe("alone", asked=400, model="almost")
    recorded.pytest("--rl-recipe=alone", "--rl-update-baselines=new", "-k", "baseline")
    recorded.forget()
    options = ("--rl-recipe=alone", "--rl-stop-early", "--rl-runs-dir=rl-alone")
    session = recorded.pytest(*options, "-k", "baseline")
    word, sentence = session.words("alone")["baseline"]
    assert word == "OK", sentence
    asked = len(recorded.lines("answers.txt"))
    assert asked <= 100
    assert not [line for line in recorded.lines("answers.txt") if line.startswith("almost ")]
    # Who asks for the improvement gate after that has as many asked as it needs.
    both = recorded.pytest(*options, "test_suite.py::test_baseline", "test_suite.py::test_improvement")
    assert both.words("alone")["improvement"][0] == "IMPROVED"
    assert both.words("alone")["baseline"] == (word, sentence)
    assert asked < len([line for line in recorded.lines("answers.txt") if not line.startswith("almost ")]) < 400
