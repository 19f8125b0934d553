"""What a user sees of the signal check, the health checks and the evaluation during training: live, and at the end."""

from __future__ import annotations

import pytest

from harness.store.run_directory import read_json
from tests.run_files import read_lines

RECIPE = "suites/recipes/small.toml"
TESTS = """
def test_training_is_sound(verdicts):
    verdicts.require("training")

def test_training_is_healthy(trained):
    assert not trained.fatal, "; ".join(trained.fatal)
"""


@pytest.fixture
def asked(project):
    """``asked(changes)``: the project's recipe with lines replaced, and the tests of a suite."""

    def change(changes: dict[str, str], more: str = ""):
        text = project.small
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        project.write(**{RECIPE: text + more, "test_suite": TESTS})
        return project

    return change


CUT = {"max_steps = 4": "max_steps = 5", "max_completion_length = 24": "max_completion_length = 6"}


def the_run(project):
    (path,) = (project.path / "rl-runs").glob("small-0-*")
    return path


def test_nothing_to_learn_from_is_refused_and_said(asked):
    project = asked(CUT)
    result = project.pytest()
    text = result.stdout.str()
    assert result.ret == 1
    assert "small-0 signal: not trained: only 0 % of groups of 4 are expected to carry a gradient" in text
    assert "UNSOUND       training: not trained: only 0 % of groups" in text
    assert "\n  not trained: only" not in text, "what the verdict says stands there twice"
    result.stdout.fnmatch_lines(["*UNSOUND small-0: not trained*raise max_completion_length*"])
    assert not (the_run(project) / "train" / "completions.jsonl").exists()
    assert read_json(the_run(project) / "signal.json")["refused"]


@pytest.mark.parametrize("options", [(), ("-n1",)])
def test_a_warning_is_said_live_and_at_the_end_and_fails_nothing(asked, options):
    project = asked(CUT, "\n[health]\nsignal = false\ngradient_zero = false\n")
    result = project.pytest(*options, "-k", "healthy")
    text = result.stdout.str()
    assert result.ret == 0
    live, _, end = text.partition("= rl-harness =")
    sentence = "100 % of completions were cut off at max_completion_length (limit 0.3)"
    assert (f"small-0 health: warning: step 5, {sentence}" in live) is (not options), "a worker has no terminal"
    assert f"health, warning: truncation at step 5: {sentence}" in end
    assert [row["check"] for row in read_lines(the_run(project) / "train" / "health.jsonl")] == ["truncation"]


def test_stop_on_makes_it_fatal_and_red(asked):
    more = '\n[health]\nsignal = false\ngradient_zero = false\nstop_on = ["truncation"]\n'
    project = asked(CUT | {"max_steps = 4": "max_steps = 9"}, more)
    result = project.pytest("--rl-in-process")
    text = result.stdout.str()
    assert result.ret == 1
    assert "truncation at step 5: 100 % of completions were cut off" in text
    assert "health, fatal: truncation at step 5" in text
    assert read_json(the_run(project) / "train" / "summary.json")["stopped"]["check"] == "truncation"
    assert (the_run(project) / "train" / "final" / "model.safetensors").is_file()


def test_evaluations_during_training_and_several_answers_are_shown(asked):
    changes = {"max_new_tokens = 24": "max_new_tokens = 24\nevery_steps = 2\nduring_questions = 8\nkeep_best = true\n"}
    changes["[evaluate]\n"] = "[evaluate]\ntemperature = 1.0\nsamples_per_question = 2\n"
    project = asked(changes)
    project.write(test_suite="def test_after(after):\n    assert after.at_k['pass']['2']['questions'] == 8\n")
    result = project.pytest()
    text = result.stdout.str()
    assert result.ret == 0
    assert "(step 0)" in text
    assert " of 8 questions" in text
    assert "signal: " in text
    assert "after: pass@2 " in text
    lines = list(read_lines(the_run(project) / "train" / "evaluations.jsonl"))
    assert [line["step"] for line in lines] == [0, 2, 4]
    summary = read_json(the_run(project) / "after" / "summary.json")
    assert summary["at_k"]["majority"]["2"]["questions"] == 8
    assert read_json(the_run(project) / "train" / "summary.json")["selected"]["of"] == 4
