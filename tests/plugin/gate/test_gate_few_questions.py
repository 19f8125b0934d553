"""A gate of few questions: a loss is red however few there are, and what they cannot tell is no pass."""

from __future__ import annotations

import re

import pytest

from tests.inner_pytest import REPOSITORY

RUIN = "--rl-set=train.learning_rate=2e-6"
NEW = ("--rl-update-baselines=new", "--rl-runs-dir=rl-accepted", "-k", "baseline")
OWN = """
def test_mine(before, after):
    assert len(after.records) == len(before.records)
"""


@pytest.fixture(scope="module")
def sixty(shared_made_up):
    """60 questions and a committed baseline of a model that answers all of them; the margin is 10 points."""
    project = shared_made_up
    project.write("test_suite.py", (project.path / "test_suite.py").read_text() + OWN)
    project.recipe("small", asked=60)
    recorded = project.pytest(*NEW)
    project.commit()
    return project, recorded


def outcome(session):
    """``{"passed": 3, "failed": 1, ...}`` of pytest's last line."""
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped)", session.text)}


def test_recording_says_what_so_few_questions_can_show(sixty):
    _, recorded = sixty
    assert recorded.ret == 0
    said = recorded.words("small")["baseline"][1]
    assert said.endswith(
        "commit it to gate on it; 60 questions: a drop of less than about 13 points could go unseen, 10 were asked for "
        "(that needs about 78)"
    )
    assert "NOT A PASS" not in recorded.text, "it did what it was told"


def test_unchanged_is_green(sixty):
    """Though the plan warns."""
    project, _ = sixty
    session = project.pytest("--rl-runs-dir=rl-unchanged", "-v")
    assert session.ret == 0
    warned = (
        "rl-harness: small, seed 0, baseline gate: 60 questions: a drop of less than about 13 points could go unseen"
    )
    assert [line for line in session.text.splitlines() if line.startswith(warned)]
    assert session.words("small")["baseline"][0] == "OK"
    assert outcome(session) == {"passed": 4, "skipped": 2}, "nothing is asked of two gates"
    assert "NOT A PASS" not in session.text


def test_ruined_is_red(sixty):
    """Without a further option: another learning rate makes a model that answers nothing."""
    project, _ = sixty
    project.policies["small"] = "False"
    session = project.pytest("--rl-runs-dir=rl-ruined", RUIN)
    del project.policies["small"]
    assert session.ret == 1
    word, sentence = session.words("small")["baseline"]
    assert word == "REGRESSED"
    assert sentence.startswith("baseline 100.0 % -> now 0.0 %, 16 lost and 0 gained in the first 16 of 60 questions; ")
    assert outcome(session)["failed"] == 2, "worse than the baseline, and than before"


UNDECIDED = "NOT A PASS: no gate came to a verdict "


@pytest.fixture(scope="module")
def thirty(sixty):
    """30 questions, of which no gate can tell: a few answers changed."""
    project, _ = sixty
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
    which = "(thirty-0 improvement INCONCLUSIVE, thirty-0 baseline NO_BASELINE); --rl-strict makes it a failure"
    assert session.text.splitlines()[-2] == UNDECIDED + which
    for name in ("comment.md", "step.md"):
        text = (project.path / name).read_text().replace("&#95;", "_")
        assert text.startswith(f"### rl-harness\n\n⚠️ {UNDECIDED}{which}\n\n| |")
    strict = project.pytest(*options, "--rl-strict")
    assert strict.ret == 1
    assert UNDECIDED not in strict.text, "it is red"
    assert "NOT A PASS" not in (project.path / "comment.md").read_text()
    workers = project.pytest(*options, "-n2")
    assert [line for line in workers.text.splitlines() if line.startswith(UNDECIDED)]
    assert "thirty, seed 0, improvement gate: 30 questions: a gain of less than about " in workers.section


def test_a_gate_that_decided_makes_it_no_such_session(thirty):
    project, options, _ = thirty
    session = project.pytest(*options, "--rl-set=gate.min_accuracy=0.1")
    assert session.words("thirty")["accuracy"][0] == "OK"
    assert "NOT A PASS" not in session.text


def test_a_tests_own_verdict_is_kept_and_handed_on(sixty):
    """Whatever test came to it: terminal, verdicts.json, JUnit and comment say what made the session red."""
    project, _ = sixty
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
    assert "| ❌ | own, seed 0 |" in (project.path / "own.md").read_text()
    assert "no verdict was asked for" not in (project.path / "own.md").read_text()
    assert f'value="TOO_LOW: {sentence}"' in (project.path / "junit.xml").read_text()
    project.pytest("test_suite.py::test_accuracy", "--rl-recipe=own")
    assert set(project.verdicts("own")) == {"accuracy"}, "no test of that session came to the others"


def test_the_shipped_evaluation_of_a_model_hands_its_verdict_on(sixty):
    project, _ = sixty
    project.write("test_evaluation.py", (REPOSITORY / "suites/test_evaluation.py").read_text())
    project.recipe("served", asked=60, gate="min_accuracy = 0.9")
    options = ("--rl-recipe=served", "--rl-model=base", "--rl-pr-comment=served.md")
    session = project.pytest("test_evaluation.py", *options)
    assert session.ret == 1
    assert "TOO_LOW: 50.0 % right over 60 questions" in (project.path / "served.md").read_text().replace("&#95;", "_")
