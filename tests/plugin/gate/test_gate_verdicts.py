"""Every verdict in two real sessions, with and without workers: outcome, exit code, terminal, verdicts.json and JUnit.

A recipe a case. A first session accepts policies and records their baselines; then the policies, recipes, questions
and files change as the case says, and the same suite is run again. tests/gate has the sentences.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """``accepted`` and ``now`` say which answers are right. ``then`` are the recipe's changes after recording."""

    gate: str
    word: str
    now: str = "True"
    accepted: str = "True"
    recipe: dict[str, Any] = field(default_factory=dict)
    then: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        if self.word in ("IMPROVED", "OK"):
            return "passed"
        return "skipped" if self.word in ("INCONCLUSIVE", "NO_BASELINE") else "failed"


LUCK = "n % 2 == 0 and n % 20 not in (0, 8) or n % 20 in (3, 7, 13)"  # 30 gained and 20 lost of 200
NOISE = "n % 20 not in (0, 7, 13)"  # beside n % 11 != 1: 27 lost and 15 gained of 200
OTHER = {"questions": "other"}
CASES = {
    "improved": Case("improvement", "IMPROVED"),
    "worse": Case("improvement", "REGRESSED", "n % 4 == 0"),
    "not-improved": Case("improvement", "NOT_IMPROVED", "n % 2 == 0", recipe={"gate": "min_improvement = 0.3"}),
    "luck": Case("improvement", "INCONCLUSIVE", LUCK),
    "still": Case("improvement", "INCONCLUSIVE", "n % 2 == 0", recipe={"asked": 9}),
    "same": Case("baseline", "OK"),
    "lost": Case("baseline", "REGRESSED", "n % 4"),
    "stale": Case("baseline", "IMPROVED", accepted="n % 5 < 3"),
    "noise": Case("baseline", "INCONCLUSIVE", NOISE, "n % 11 != 1"),
    "missing": Case("baseline", "NO_BASELINE"),
    "prompt": Case("baseline", "INCOMPARABLE", then={"prompt": "Box it."}),
    "decoding": Case("baseline", "INCOMPARABLE", then={"max_new_tokens": 32}),
    "grader": Case("baseline", "INCOMPARABLE", then={"reward": "boxed_exact"}),
    "text": Case("baseline", "INCOMPARABLE", recipe=OTHER, then={"questions": "text/other"}),
    "truth": Case("baseline", "INCOMPARABLE", recipe=OTHER, then={"questions": "truth/other"}),
    "more": Case("baseline", "INCOMPARABLE", then={"asked": 250}),
    "torn": Case("baseline", "INCOMPARABLE"),
    "edited": Case("baseline", "INCOMPARABLE"),
    "foreign": Case("baseline", "INCOMPARABLE"),
    "too-low": Case("accuracy", "TOO_LOW", "n % 4", recipe={"gate": "min_accuracy = 0.9"}),
    "near": Case("accuracy", "INCONCLUSIVE", "n % 4", recipe={"gate": "min_accuracy = 0.8"}),
    "high": Case("accuracy", "OK", recipe={"gate": "min_accuracy = 0.8"}),
    "sound": Case("training", "OK"),
    "unsound": Case("training", "UNSOUND"),
    "weak": Case("baseline", "INCONCLUSIVE", "False", recipe={"asked": 5}),
}
# What a sentence says where its word alone does not tell it apart.
SAYS = {
    "prompt": "in the prompt (system prompt or worked examples)",
    "decoding": "in the decoding (max_new_tokens 24 → 32)",
    "grader": "in the grader",
    "text": "in the questions (1 of 200 differ, first other/test/",
    "truth": "in the questions (1 of 200 differ, first other/test/",
    "more": "in the questions (250 asked, 200 before)",
    "torn": "torn or not a baseline",
    "edited": "was edited by hand",
    "foreign": "is the baseline of recipe same, not of foreign",
}


@pytest.fixture(scope="module")
def accepted(shared_made_up):
    project = shared_made_up
    changed = {"question": {17: "Seventeen?"}}, {"answer": {17: "18"}}
    for name, what in (("other", {}), ("text/other", changed[0]), ("truth/other", changed[1])):
        project.questions(name, 200, **what)
    for name, case in CASES.items():
        project.recipe(name, **case.recipe)
        project.policies[name] = case.accepted
    project.accepting = project.pytest("--rl-update-baselines=new", "--rl-runs-dir=rl-accepted", "-k", "baseline")
    for name, case in CASES.items():
        project.recipe(name, **case.recipe | case.then)
        project.policies[name] = case.now
    project.baseline("missing-0").unlink()
    text = project.baseline("torn-0").read_text()
    project.baseline("torn-0").write_text(text[: len(text) // 2])
    text = project.baseline("edited-0").read_text()
    project.baseline("edited-0").write_text(text.replace("correct = 1", "correct = 0", 1))
    project.baseline("foreign-0").write_text(project.baseline("same-0").read_text())
    return project


@pytest.fixture(scope="module", params=[[], ["-n2"]], ids=["alone", "n2"])
def judged(request, accepted):
    runs = f"rl-judged{'-'.join(request.param)}"
    session = accepted.pytest(*request.param, f"--rl-runs-dir={runs}", "-rs")
    return accepted, session, runs, ElementTree.parse(accepted.path / "junit.xml").getroot()


def outcomes(junit):
    """Test name: what JUnit says of it."""
    kinds = {"failure": "failed", "error": "error", "skipped": "skipped"}
    return {
        case.get("name"): next((kinds[each.tag] for each in case if each.tag in kinds), "passed")
        for case in junit.iter("testcase")
    }


def test_recording_records_all_of_them(accepted):
    assert accepted.accepting.ret == 0
    assert {path.stem for path in (accepted.path / "suites/baselines").iterdir()} == {
        f"{name}-0" for name in CASES if name != "missing"
    }


@pytest.mark.parametrize("name", CASES)
def test_verdict(judged, name):
    """The word and its sentence in the terminal, in verdicts.json and in JUnit, and the outcome of its test."""
    project, session, runs, junit = judged
    case = CASES[name]
    assert session.ret == 1
    assert outcomes(junit)[f"test_{case.gate}[{name}-seed0]"] == case.outcome, session.text
    properties = {each.get("name"): each.get("value") for each in junit.findall("./testsuite/properties/property")}
    word, sentence = session.words(name)[case.gate]
    assert word == case.word
    assert SAYS.get(name, "") in sentence
    kept = project.verdicts(name, runs)[case.gate]
    assert (kept["verdict"], kept["sentence"]) == (word, sentence)
    assert properties[f"rl.{project.run(name, runs).name}.{case.gate}"] == f"{word}: {sentence}"
    if case.outcome != "passed":
        assert f"{word} {name}: {sentence}" in session.text, "the test says so itself"


def test_workers_say_the_same(accepted):
    said = [accepted.verdicts(name, runs) for runs in ("rl-judged", "rl-judged-n2") for name in CASES]
    assert said[: len(said) // 2] == said[len(said) // 2 :]


def test_a_plan_warns_and_stops_nothing(judged):
    """Its line stands where tests are collected, or, of workers, at the end; the questions are asked all the same."""
    project, session, runs, junit = judged
    (line,) = [line for line in session.text.splitlines() if "weak, baseline gate: " in line]
    assert re.search(r"gate: 5 questions: any drop could go unseen, .*; 10 points were asked for \(that needs", line)
    assert len((project.run("weak", runs) / "after/records.jsonl").read_text().splitlines()) == 5
    assert outcomes(junit)["test_training[weak-seed0]"] == "passed"


def test_alpha_is_shared(judged):
    """The gates of the session: an improvement gate a run, and a baseline gate where there is a usable baseline."""
    project, session, runs, _ = judged
    gates = 2 * len(CASES) - sum(name in ("missing", "torn", "edited", "foreign") for name in CASES)
    assert project.verdicts("lost", runs)["baseline"]["numbers"]["alpha"] == pytest.approx(0.05 / gates)
    assert f"% of such tests (alpha .05 shared by {gates} gates)" in session.words("lost")["baseline"][1]


COMPLETE = {  # Jenkins's junit-10.xsd: (attributes it needs, others it knows, children it knows) by element
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"),
        ("testsuite", "properties", "testcase", "system-out", "system-err"),
    ),
    "properties": ((), (), ("property",)),
    "property": (("name", "value"), (), ()),
    "testcase": (
        ("name",),
        ("time", "classname", "group"),
        ("skipped", "error", "failure", "system-out", "system-err"),
    ),
    "failure": ((), ("type", "message"), ()),
    "error": ((), ("type", "message"), ()),
    "skipped": ((), ("type", "message"), ()),
    "system-out": ((), (), ()),
    "system-err": ((), (), ()),
}


def test_junit_is_valid(judged):
    *_, junit = judged
    assert junit.tag == "testsuites"
    for element in junit.iter():
        needed, known, children = COMPLETE[element.tag]
        assert set(needed) <= set(element.keys()) <= {*needed, *known}, element.attrib
        assert {child.tag for child in element} <= set(children), element.tag
    assert len(list(junit.iter("testcase"))) == 5 * len(CASES)


def test_strict_fails_what_cannot_tell(accepted):
    names = ("noise", "missing", "weak", "same")
    session = accepted.pytest(
        "--rl-strict", "--rl-runs-dir=rl-judged", "-k", "baseline", *(f"--rl-recipe={name}" for name in names)
    )
    assert session.ret == 1
    found = outcomes(ElementTree.parse(accepted.path / "junit.xml").getroot())
    assert found == {
        "test_baseline[noise-seed0]": "failed",
        "test_baseline[missing-seed0]": "failed",
        "test_baseline[weak-seed0]": "failed",
        "test_baseline[same-seed0]": "passed",
    }
