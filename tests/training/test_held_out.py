"""Evaluation during training: it changes nothing, is kept over a kill, and the best checkpoint says what it is."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from harness.store.run_files import HEALTH, Finding
from tests.small_recipes import GRPO

SMALL = GRPO | {
    "task.train_questions": 48,
    "train.max_steps": 6,
    "train.save_steps": 2,
    "train.save_total_limit": 3,
    "train.learning_rate": 1e-3,
    "health.signal": False,
    "gate.min_improvement": 0.0,
}
DURING = {"evaluate.every_steps": 2, "evaluate.during_questions": 12, "evaluate.keep_best": True}


def made(folder, changes) -> Run:
    return Run(find_recipe("tiny-arithmetic").override(SMALL | changes), 0, Settings(runs_dir=folder, in_process=True))


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


def test_every_n_steps_and_before_the_first(watched):
    lines = watched.trained().evaluations
    assert [line.step for line in lines] == [0, 2, 4, 6]
    for line in lines:
        assert line.questions == 12
        low, high = line.interval
        assert 0 <= low <= line.accuracy <= high <= 1
    assert lines[-1]["accuracy"] > 0, "nothing was learned: the test sees nothing"
    assert not lines[0]["best"], "the base policy is not what was trained"
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
    from safetensors.torch import load_file

    trained = watched.trained()
    lines = trained.evaluations
    best = max(lines[1:], key=lambda line: (line.accuracy, -line.step))
    selected = trained.summary.selected
    assert (selected.step, selected.accuracy) == (best.step, best.accuracy)
    sentence = f"selected at step {best.step} of 6 by held-out accuracy on 12 questions, the best of 3 evaluations"
    assert selected.sentence == sentence
    verdict = watched.verdict("improvement")
    assert verdict.sentence.endswith(sentence)
    assert verdict.numbers["selected"]["step"] == best.step
    assert not list(trained.directory.glob("best-*"))
    kept = load_file(trained.model / "model.safetensors")
    theirs = load_file(trained.directory / f"checkpoint-{best.step}" / "model.safetensors")
    assert all((kept[name] == theirs[name]).all() for name in theirs)


def test_a_run_that_was_killed_goes_on_with_its_evaluations(watched, tmp_path):
    """From checkpoint 4: evaluations up to there are kept, the later one is made again, and the choice is the same."""
    shutil.copytree(watched.directory, tmp_path / watched.directory.name)
    run = made(tmp_path, DURING)
    train = run.directory / "train"
    (train / "summary.json").unlink()
    shutil.rmtree(train / "checkpoint-6")
    for line in watched.trained().evaluations[1:3]:
        if line.best:  # as the kill would have left it
            shutil.copytree(train / "final", train / f"best-{line.step}")
    # Killed after the policy was kept, and before its line was written.
    shutil.copytree(train / "final", train / "best-6")
    shutil.rmtree(train / "final")
    again = run.trained()
    assert again.summary.resumed_from == 4
    assert again.evaluations == watched.trained().evaluations
    assert again.summary.selected == watched.trained().summary.selected
    assert completions(run) == completions(watched)


def test_findings_are_neither_repeated_nor_lost(tmp_path):
    """A resumed job keeps what was found up to its checkpoint, forgets what came after, and finds that again."""
    faulty = {"train.max_completion_length": 4, "train.max_steps": 8, "train.save_steps": 4}
    run = made(tmp_path, faulty)
    findings = run.trained().health
    assert {each.check for each in findings} == {"truncation", "gradient_zero"}
    assert {each.step for each in findings} == {5}
    train = run.directory / "train"

    def resumed(lines: list[Finding]) -> list[Finding]:
        (train / "summary.json").unlink()
        shutil.rmtree(train / "checkpoint-8", ignore_errors=True)
        HEALTH.write(train, lines)
        again = made(tmp_path, faulty).trained()
        assert again.summary.resumed_from == 4
        return again.health

    assert resumed(findings) == findings
    early = [replace(findings[0], step=3)]
    assert resumed(early) == [*early, findings[1]]


def test_sampled_every_time_the_same(plain, tmp_path):
    """A sampled evaluation draws from streams of its own."""
    sampled = {"evaluate.every_steps": 3, "evaluate.during_questions": 6, "evaluate.temperature": 1.0}
    run = made(tmp_path, sampled)
    assert completions(run) == completions(plain)
    assert run.trained().summary.selected is None
