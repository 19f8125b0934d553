"""Evaluation during training: it changes nothing, is kept over a kill, and the best checkpoint says what it is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.pipeline.run import Run
from harness.store.run_files import HEALTH
from tests.training.jobs import run_of, weights_of

SMALL = {
    "task__train_questions": 48,
    "train__max_steps": 6,
    "train__save_steps": 2,
    "train__save_total_limit": 3,
    "train__learning_rate": 1e-3,
    "gate__min_improvement": 0.0,
}
DURING = {  # sampled: an evaluation draws from streams of its own
    "evaluate__every_steps": 2,
    "evaluate__during_questions": 12,
    "evaluate__keep_best": True,
    "evaluate__temperature": 1.0,
    "health__zero_std_groups": 1e-9,  # so that both find something after step 5
    "health__entropy_collapse": 1e9,
}


def made(folder: Path, changes: dict[str, Any]) -> Run:
    return run_of(folder, **{**SMALL, **changes})


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Run:
    run = made(tmp_path_factory.mktemp("plain"), {})
    run.trained()
    return run


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Run:
    run = made(tmp_path_factory.mktemp("watched"), DURING)
    run.trained()
    return run


def completions(run: Run) -> list[str]:
    return [row.completion for row in run.trained().completions]


def test_training_is_the_same_with_and_without(plain, watched):
    assert completions(watched) == completions(plain)
    losses = [[row.get("loss") for row in run.trained().metrics] for run in (plain, watched)]
    assert losses[0] == losses[1]
    assert plain.trained().summary.selected is None


def test_every_n_steps_and_before_the_first(watched):
    lines = watched.trained().evaluations
    assert [line.step for line in lines] == [0, 2, 4, 6]
    for line in lines:
        assert line.questions == 12
        low, high = line.interval
        assert 0 <= low <= line.accuracy <= high <= 1
    assert lines[-1].accuracy > 0, "nothing was learned: the test sees nothing"
    assert not lines[0].best, "the base policy is not what was trained"
    best = -1.0
    for line in lines[1:]:
        assert line.best == (line.accuracy > best)
        best = max(best, line.accuracy)


def test_its_questions_belong_to_no_one(watched, plain):
    held_out = {each.text for each in watched.questions.held_out}
    assert len(held_out) == 12
    assert not held_out & {each.text for each in (*watched.questions.train, *watched.questions.test)}
    assert {each.split for each in watched.questions.held_out} == {"train"}
    assert watched.questions.train == plain.questions.train
    assert plain.questions.held_out == ()


def test_the_best_is_the_final_policy_and_the_claim_says_so(watched):
    trained = watched.trained()
    best = max(trained.evaluations[1:], key=lambda line: (line.accuracy, -line.step))
    selected = trained.summary.selected
    assert (selected.step, selected.accuracy) == (best.step, best.accuracy)
    sentence = f"selected at step {best.step} of 6 by held-out accuracy on 12 questions, the best of 3 evaluations"
    verdict = watched.verdict("improvement")
    assert verdict.sentence.endswith(sentence)
    assert verdict.numbers["selected"]["step"] == best.step
    assert not list(trained.directory.glob("best-*"))
    kept, theirs = weights_of(trained.model), weights_of(trained.directory / f"checkpoint-{best.step}")
    assert all((kept[name] == theirs[name]).all() for name in theirs)


def test_a_run_that_was_killed_goes_on_with_its_evaluations_and_findings(watched, tmp_path):
    """From checkpoint 4: what was measured and found up to there is kept and not said again, what came after is made
    again, and the choice is the same."""
    shutil.copytree(watched.directory, tmp_path / watched.directory.name)
    run, whole = made(tmp_path, DURING), watched.trained()
    train = run.directory / "train"
    (train / "summary.json").unlink()
    shutil.rmtree(train / "checkpoint-6")
    for line in whole.evaluations[1:3]:
        if line.best:  # as the kill would have left it
            shutil.copytree(train / "final", train / f"best-{line.step}")
    # Killed after the policy was kept, and before its line was written.
    shutil.copytree(train / "final", train / "best-6")
    shutil.rmtree(train / "final")
    first, second = whole.health
    assert first.step == second.step == 5
    early = [replace(first, step=3), second]
    HEALTH.write(train, early)
    again = run.trained()
    assert again.summary.resumed_from == 4
    assert again.evaluations == whole.evaluations
    assert again.summary.selected == whole.summary.selected
    assert completions(run) == completions(watched)
    assert again.health == early
