"""What a gate of few questions cannot tell is no pass; and verdicts that a test comes to itself."""

from __future__ import annotations

import re

import pytest

from tests.inner_pytest import REPOSITORY

OWN = """
def test_mine(before, after):
    assert len(after.records) == len(before.records)
"""


def outcome(session):
    """``{"passed": 3, "failed": 1, ...}`` of pytest's last line."""
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped)", session.text)}


UNDECIDED = "NOT A PASS: no gate came to a verdict "


@pytest.fixture(scope="module")
def thirty(shared_made_up):
    """30 questions, of which no gate can tell: a few answers changed."""
    project = shared_made_up
    project.write("test_suite.py", (project.path / "test_suite.py").read_text() + OWN)
    project.recipe("thirty", asked=30, gate="min_improvement = 0.05")
    project.policies["thirty"] = "n % 2 == 0 or n == 7"
    options = ("--rl-recipe=thirty", "--rl-runs-dir=rl-thirty", "--rl-pr-comment=comment.md")
    return project, options, project.pytest(*options, GITHUB_STEP_SUMMARY=str(project.path / "step.md"))


def test_nothing_but_a_gates_own_test_depends_on_its_verdict(thirty):
    project, _, session = thirty
    assert session.ret == 0
    assert outcome(session) == {"passed": 2, "skipped": 4}, "soundness, and the user's own"
    assert session.words("thirty")["improvement"][0] == "INCONCLUSIVE"
    assert len((project.run("thirty", "rl-thirty") / "after/records.jsonl").read_text().splitlines()) == 30


def test_a_session_of_undecided_gates_does_not_look_like_a_pass(thirty):
    """One line, the last before pytest's own, and in what is handed on."""
    project, options, session = thirty
    which = "(thirty improvement INCONCLUSIVE, thirty baseline NO_BASELINE); --rl-strict makes it a failure"
    assert session.text.splitlines()[-2] == UNDECIDED + which
    for name in ("comment.md", "step.md"):
        text = (project.path / name).read_text().replace("&#95;", "_")
        assert text.startswith(f"### rl-harness\n\n⚠️ {UNDECIDED}{which}\n\n| |")
    strict = project.pytest(*options, "--rl-strict")
    assert strict.ret == 1
    assert UNDECIDED not in strict.text, "it is red"
    assert "NOT A PASS" not in (project.path / "comment.md").read_text()


def test_a_gate_that_decided_makes_it_no_such_session(thirty):
    project, options, _ = thirty
    session = project.pytest(*options, "--rl-set=gate.min_accuracy=0.1")
    assert session.words("thirty")["accuracy"][0] == "OK"
    assert "NOT A PASS" not in session.text


def test_a_tests_own_verdict_is_kept_and_handed_on(shared_made_up):
    """Whatever test came to it: terminal, verdicts.json, JUnit and comment say what made the session red."""
    project = shared_made_up
    project.recipe("own", asked=60, gate="min_accuracy = 0.9")
    project.write(
        "test_own.py",
        "import pytest\n"
        "from harness.gate import judge_accuracy\n\n"
        "def test_base(before, require):\n"
        "    require(judge_accuracy(list(before.means.values()), min_accuracy=0.9))\n\n"
        '@pytest.mark.parametrize("least", [0.1, 0.5])\n'
        "def test_each(before, require, least):\n"
        "    require(judge_accuracy(list(before.means.values()), min_accuracy=least))\n",
    )
    session = project.pytest("test_own.py", "test_suite.py::test_accuracy", "--rl-recipe=own", "--rl-pr-comment=own.md")
    assert session.ret == 1
    kept = project.verdicts("own")
    assert {gate: verdict["verdict"] for gate, verdict in kept.items()} == {
        "accuracy": "OK",
        "accuracy (test_own.py::test_base)": "TOO_LOW",
        "accuracy (test_own.py::test_each[own-seed0-0.1])": "OK",
        "accuracy (test_own.py::test_each[own-seed0-0.5])": "INCONCLUSIVE",
    }
    sentence = kept["accuracy (test_own.py::test_base)"]["sentence"]
    assert session.words("own")["accuracy (test_own.py::test_base)"] == ("TOO_LOW", sentence)
    assert "| ❌ | own |" in (project.path / "own.md").read_text()
    assert "no verdict was asked for" not in (project.path / "own.md").read_text()
    assert f'value="TOO_LOW: {sentence}"' in (project.path / "junit.xml").read_text()
    project.pytest("test_suite.py::test_accuracy", "--rl-recipe=own")
    assert set(project.verdicts("own")) == {"accuracy"}, "no test of that session came to the others"


def test_the_shipped_evaluation_of_a_model_hands_its_verdict_on(shared_made_up):
    project = shared_made_up
    project.write("test_evaluation.py", (REPOSITORY / "suites/test_evaluation.py").read_text())
    project.recipe("served", asked=60, gate="min_accuracy = 0.9")
    options = ("--rl-recipe=served", "--rl-model=base", "--rl-pr-comment=served.md")
    session = project.pytest("test_evaluation.py", *options)
    assert session.ret == 1
    assert "TOO_LOW: 50.0 % right over 60 questions" in (project.path / "served.md").read_text().replace("&#95;", "_")
