"""What a user sees of the signal check, the health checks and the evaluation during training: live, and at the end."""

from __future__ import annotations

import pytest

from harness.store.run_directory import read_json
from tests.run_files import read_lines

TESTS = """
import pytest

@pytest.mark.rl_recipe("refused", "stopped")
def test_training_is_sound(verdicts):
    verdicts.require("training")

@pytest.mark.rl_recipe("warned", "stopped")
def test_training_is_healthy(trained):
    assert not trained.fatal, "; ".join(trained.fatal)

@pytest.mark.rl_recipe("watched")
def test_after(after):
    assert after.at_k['pass']['2']['questions'] == 8
"""
CUT = {"max_steps = 4": "max_steps = 5", "max_completion_length = 24": "max_completion_length = 6"}
LENIENT = "\n[health]\nsignal = false\ngradient_zero = false\n"
RECIPES = {
    "refused": (CUT, ""),
    "warned": (CUT, LENIENT),
    "stopped": (CUT | {"max_steps = 4": "max_steps = 9"}, f'{LENIENT}stop_on = ["truncation"]\n'),
    "watched": (
        {
            "max_new_tokens = 24": "max_new_tokens = 24\nevery_steps = 2\nduring_questions = 8\nkeep_best = true\n",
            "[evaluate]\n": "[evaluate]\ntemperature = 1.0\nsamples_per_question = 2\n",
        },
        "",
    ),
}


@pytest.fixture(scope="module")
def session(shared_project):
    """The run directories by recipe, and what stands before and in the section of the end."""
    project = shared_project
    for name, (changes, more) in RECIPES.items():
        text = project.small
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        project.write(**{f"suites/recipes/{name}.toml": text + more, "test_suite": TESTS})
    result = project.pytest("-v", "--rl-in-process", torch=True)
    result.assert_outcomes(passed=2, failed=3)
    live, _, end = result.stdout.str().partition("= rl-harness =")
    runs = {name: next((project.path / "rl-runs").glob(name)) for name in RECIPES}
    return runs, live, end


def test_nothing_to_learn_from_is_refused_and_said(session):
    runs, live, end = session
    assert "UNSOUND refused: not trained: only 0 % of groups of 4 are expected to carry a gradient" in live
    assert "UNSOUND       training: not trained: only 0 % of groups" in end
    assert "\n  not trained: only" not in end, "what the verdict says stands there twice"
    assert "raise max_completion_length" in live
    assert not (runs["refused"] / "train" / "completions.jsonl").exists()
    assert read_json(runs["refused"] / "signal.json")["refused"]


def test_a_warning_is_said_live_and_at_the_end_and_fails_nothing(session):
    runs, live, end = session
    sentence = "100 % of completions were cut off at max_completion_length (limit 0.3)"
    assert f"warned health: warning: step 5, {sentence}" in live
    assert f"health, warning: truncation at step 5: {sentence}" in end
    assert [row["check"] for row in read_lines(runs["warned"] / "train" / "health.jsonl")] == ["truncation"]


def test_stop_on_makes_it_fatal_and_red(session):
    runs, live, end = session
    assert "truncation at step 5: 100 % of completions were cut off" in live
    assert "health, fatal: truncation at step 5" in end
    assert read_json(runs["stopped"] / "train" / "summary.json")["stopped"]["check"] == "truncation"
    assert (runs["stopped"] / "train" / "final" / "model.safetensors").is_file()


def test_evaluations_during_training_and_several_answers_are_shown(session):
    runs, _, end = session
    assert "(step 0)" in end
    assert " of 8 questions" in end
    assert "signal: " in end
    assert "after: pass@2 " in end
    assert [line["step"] for line in read_lines(runs["watched"] / "train" / "evaluations.jsonl")] == [0, 2, 4]
    summary = read_json(runs["watched"] / "after" / "summary.json")
    assert summary["at_k"]["majority"]["2"]["questions"] == 8
    assert read_json(runs["watched"] / "train" / "summary.json")["selected"]["of"] == 4
