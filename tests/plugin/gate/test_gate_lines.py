"""What a session says unless it is asked for more: a line a run, and under a failure some of the lost questions."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from harness.pipeline.train import log_digests
from harness.store.run_files import HEALTH, TRAINED
from tests.inner_pytest import PYTEST, run
from tests.run_files import finding
from tests.secrets_and_escapes import TOKENS

SECRET = next(iter(TOKENS.values()))
NUMBER = r"[+-]?\d+\.\d"


@pytest.fixture(scope="module", params=[[], ["-n2"]], ids=["alone", "n2"])
def said(request, shared_made_up):
    """Three recipes: one better than its base and as good as its baseline, one worse, one never judged."""
    project = shared_made_up
    for name in ("good", "bad", "asked"):
        project.recipe(name)
    project.policies |= {"bad": "n % 4 == 0"}
    project.write("test_asks.py", "def test_asks(before):\n    assert before.records\n")
    for name in ("good", "bad"):
        project.policies[name] = "True"
    project.pytest("--rl-update-baselines=new", "-k", "baseline and not asked", "--rl-runs-dir=rl-accepted")
    project.policies["bad"] = "n % 4 == 0"
    runs = f"--rl-runs-dir=rl{'-'.join(request.param)}"
    picked = "(test_suite and not asked and not recipe) or (test_asks and asked)"
    return project, project.pytest(*request.param, runs, "-k", picked, verbose=False)


def test_a_run_has_one_line(said):
    _, session = said
    asked, bad, good, last = session.section.splitlines()[1:5]
    assert bad.index("sound") == good.index("sound"), "columns"
    numbers = rf"{NUMBER} \[{NUMBER}, {NUMBER}\]"
    for line, expected in (
        (asked, rf"asked 50\.0 % \[{NUMBER}, {NUMBER}\] 200 questions"),
        (
            bad,
            rf"✗ bad 50\.0 → 25\.0 % {numbers} 0 gained · 50 lost sound worse than before "
            r"worse than baseline \(100\.0 % → 25\.0 %\)",
        ),
        (good, rf"✓ good 50\.0 → 100\.0 % {numbers} 100 gained · 0 lost sound no worse than baseline"),
    ):
        assert re.fullmatch(expected, " ".join(line.split())), line
    assert last.endswith("Report: rl-report/index.html")
    assert "luck alone" not in session.section.partition("= short test summary")[0], "sentences are told by the failure"


def test_a_failure_shows_three_lost_questions(said):
    _, session = said
    failures = session.text.partition("= FAILURES =")[2].partition("= rl-harness =")[0]
    for gate, count, before in (("improvement", 50, None), ("baseline", 150, "right in 1 of 1 answer of the baseline")):
        block = failures[failures.index(f"test_{gate}[bad-seed0]") :]
        first, head, *lines = block[block.index("REGRESSED") :].splitlines()[:14]
        assert first.startswith("REGRESSED bad: ")
        assert head == f"{count} of 200 questions lost; 3 of them:"
        for question, truth, was, now in (lines[at : at + 4] for at in (0, 4, 8)):
            number = re.fullmatch(r"  questions/test/\d+: test (\d+)\?", question)[1]
            assert truth == f"    truth   {number}"
            boxed = rf"\boxed{{{number}}}"
            assert was == f"    before  {before or boxed}"
            assert now == r"    now     \boxed{-1}"


def test_the_report_of_a_test_machine_has_them_too(said):
    project, _ = said
    assert "50 of 200 questions lost; 3 of them:" in (project.path / "junit.xml").read_text()


def test_hostile_and_long_questions_are_shown_short_and_plain(made_up):
    text = f"\x1b[2K\u202e {SECRET} " + "many words " * 100
    made_up.questions("hostile", 60, question={n: f"{n}{text}" for n in range(60)})
    made_up.write("hostile/train.jsonl", (made_up.path / "questions/train.jsonl").read_text())
    made_up.recipe("bad", questions="hostile", asked=60)
    made_up.policies["bad"] = "False"
    session = made_up.pytest("-k", "improvement", verbose=False)
    assert "30 of 60 questions lost; 3 of them:" in session.text, session.text
    shown = [line for line in session.text.splitlines() if line.startswith("  hostile/test/")]
    assert len(shown) == 3
    for line in shown:
        assert "␛[2K⟨U+202E⟩ [redacted] many words" in line
        assert len(line) < 260
    assert SECRET not in session.text


def test_a_session_whose_gates_are_all_undecided_keeps_its_line(made_up):
    made_up.recipe("few", asked=9)
    made_up.policies["few"] = "n % 2 == 0"
    session = made_up.pytest("-k", "improvement", verbose=False)
    assert session.ret == 0
    assert re.search(r"^! few .* 0 gained · 0 lost   may be luck$", session.text, re.MULTILINE)
    assert session.text.splitlines()[-2].startswith("NOT A PASS: no gate came to a verdict (few improvement ")


STOPS = """
def test_training(verdicts):
    verdicts.require("training")

def test_stops(verdicts):
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("", "! good ? → ? % sound not evaluated after training"),
        (", before", "! good 50.0 → ? % sound not evaluated after training"),
        (", before, after", "! good 50.0 → 100.0 % [98.1, 100.0] 200 questions sound"),  # and nothing was judged
    ],
)
def test_a_run_that_was_stopped_has_no_tick(made_up, asked, line):
    """Its training was sound, and that is all that is known of it."""
    made_up.recipe("good")
    made_up.write("test_suite.py", STOPS.replace("verdicts)", f"verdicts{asked})"))
    session = made_up.pytest(verbose=False)
    assert session.ret == pytest.ExitCode.INTERRUPTED
    assert line in [" ".join(each.split()) for each in session.section.splitlines()], session.section


def test_a_training_that_a_health_check_calls_lost_is_not_called_sound(made_up):
    made_up.recipe("good")
    picked = ("-k", "training or improvement")
    assert re.search(r"^✓ good .* sound$", made_up.pytest(*picked, verbose=False).section, re.MULTILINE)
    train = made_up.run("good") / "train"
    with HEALTH.writer(train) as writer:
        writer.append(finding("kl_blow_up"))
        writer.append(finding("reward_collapse", level="fatal"))
    TRAINED.write(train, replace(TRAINED.read(train), logs=log_digests(train)))
    section = made_up.pytest(*picked, verbose=False).section
    assert re.search(r"^! good .* lost   unhealthy: reward_collapse$", section, re.MULTILINE)
    assert "sound" not in section
    assert "  health, fatal: reward_collapse at step 1" in section


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_arrow_is_what_the_terminal_has(made_up, encoding):
    """In sentences as in lines, by pytest and by the command."""
    made_up.recipe("bad")
    made_up.policies["bad"] = "n % 4 == 0"
    made_up.write("policies.json", json.dumps(made_up.policies))
    around = {"PYTHONPATH": str(made_up.path), "PYTHONIOENCODING": encoding}
    arrow = "->" if encoding == "ascii" else "→"
    done = run([*PYTEST, "-k", "improvement"], made_up.path, around, torch=None)
    assert done.ret == 1
    assert f"50.0 {arrow}  25.0 %   -25.0" in done.stdout.str()
    (at,) = [at for at, line in enumerate(done.outlines) if line.startswith("REGRESSED bad: ")]
    assert f"50.0 % {arrow} 25.0 %, 0 gained and 50 lost of 200 questions; " in done.outlines[at]
    assert done.outlines[at + 1] == "50 of 200 questions lost; 3 of them:"
    said = run(["made_up", "compare", "bad", "bad"], made_up.path, around, torch=None).stdout.str()
    assert said.startswith(f"OK  bad {arrow} bad: 25.0 % {arrow} 25.0 %, ")
    assert "\\u" not in said + done.stdout.str()


REMOVES = """
import shutil

import made_up
from harness.store.run_files import TRAINED
from harness.training import launcher

train = launcher.run_job

def removed(job, directory, **settings):
    made = train(job, directory, **settings)
    shutil.rmtree(directory.parents[1])
    {then}
    return made

launcher.run_job = removed
"""


@pytest.mark.parametrize("then", ["TRAINED.write(directory, made)", "open(directory / 'log.txt')"])
def test_a_run_that_is_removed_while_it_trains_is_told_as_that(made_up, then):
    """What is written later makes the directory again, as far as it goes, or the job fails for it."""
    made_up.recipe("good")
    made_up.write("conftest.py", REMOVES.format(then=then))
    session = made_up.pytest("-k", "training or improvement", verbose=False)
    assert session.ret == 1
    told = "rl-runs/good: was removed while this session was at work there; remove what is left of it, and run again"
    assert session.text.count(f"{told}\n") >= 2
    assert "UNSOUND" not in session.text
