"""Every health check sees its fault in a real training of the embedded model, and none cries at a healthy one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.gate.health import CHECKS
from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import TrainingError
from harness.store.run_directory import read_json
from harness.tasks.arithmetic import arithmetic_questions
from tests.run_files import read_lines
from tests.small_recipes import GRPO

SMALL = GRPO | {
    "task.train_questions": 96,
    "train.max_steps": 14,
    "train.save_strategy": "no",
    "health.signal": False,
}
# The changes that plant a fault, and the checks that must see it.
PLANTED = {
    "a reward that dies": (
        {"rewards": {"planted:collapsing": 1.0}},
        {"reward_collapse", "gradient_zero", "sampling_gap"},
    ),
    "a reward for the question alone": ({"rewards": {"planted:by_question": 1.0}}, {"zero_std_groups"}),
    "entropy is all that is learned": (
        {"train.entropy_coef": 5.0, "train.beta": 0.001, "train.learning_rate": 1e-3},
        {"entropy_runaway", "kl_blow_up"},
    ),
    "certainty is all that is learned, from answers cut short": (
        {
            "train.entropy_coef": -5.0,
            "train.learning_rate": 4e-3,
            "train.temperature": 2.0,
            "train.max_completion_length": 6,
            "train.max_steps": 32,
            "task.train_questions": 512,
        },
        {"entropy_collapse", "truncation", "no_answer"},
    ),
    "a huge step": (
        {"train.learning_rate": 1e30, "train.num_iterations": 2, "health.stop_on": ["gradient_not_finite"]},
        {"gradient_not_finite"},
    ),
    "answers that are not the truth": (
        {
            "task.name": "wrong.jsonl",
            "task.train_questions": 256,
            "train.per_device_train_batch_size": 32,
            "train.learning_rate": 4e-4,
            "rewards": {"boxed_numeric": 1.0, "format_boxed": 1.0},
            "evaluate.every_steps": 7,
            "evaluate.during_questions": 8,
        },
        {"format_without_correctness", "reward_without_held_out"},
    ),
}


@pytest.fixture(autouse=True)
def _faults(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train(changes)`` runs a small recipe, with its rewards imported anew: they count their calls."""
    monkeypatch.delitem(__import__("sys").modules, "planted", raising=False)
    wrong = [
        {"id": each.id, "question": each.text, "answer": str(int(each.ground_truth) + 1000)}
        for each in arithmetic_questions("train", 280)
    ]
    (tmp_path / "wrong.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wrong))
    monkeypatch.chdir(tmp_path)

    def run(changes: dict, *, in_process: bool = True) -> Run:
        recipe = find_recipe("tiny-arithmetic").override(SMALL | changes)
        return Run(recipe, 0, Settings(runs_dir=tmp_path / "runs", in_process=in_process))

    return run


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_named(train, fault):
    changes, expected = PLANTED[fault]
    trained = train(changes).trained()
    found = {each.check: each for each in trained.health}
    assert expected <= found.keys()
    for name in expected:
        assert found[name].key == CHECKS[name].key
        assert found[name].level == ("fatal" if name in changes.get("health.stop_on", ()) else CHECKS[name].level)
        assert 0 < found[name].step <= changes.get("train.max_steps", 20)
    assert [each.check for each in trained.health] == list(found), "a check spoke twice"


def test_every_check_has_a_planted_fault():
    assert {name for _, checks in PLANTED.values() for name in checks} | {"stall", "restart"} == set(CHECKS)


def test_a_hung_job_is_ended_and_says_where(train):
    run = train(
        {"rewards": {"planted:hanging": 1.0}, "health.stall_seconds": 20.0, "health.stall": 2}, in_process=False
    )
    with pytest.raises(TrainingError) as failure:
        run.trained()
    assert "no progress for" in str(failure.value)
    assert "planted.py" in str(failure.value)
    assert "in hanging" in str(failure.value)
    (found,) = read_lines(run.directory / "train" / "health.jsonl")
    assert (found["check"], found["level"], found["step"]) == ("stall", "fatal", 2)
    assert read_json(run.directory / "train" / "failed.json")["error"] == str(failure.value)


def test_a_healthy_training_is_silent(train):
    trained = train({"train.max_steps": 20}).trained()
    assert trained.health == []
    assert len([row for row in trained.metrics if "loss" in row]) == 20


def test_stop_on_ends_the_training_with_the_finding_as_reason(train):
    run = train({"rewards": {"planted:collapsing": 1.0}, "health.stop_on": ["sampling_gap"]})
    trained = run.trained()
    assert trained.summary.steps == 5 < 14
    assert trained.summary.stopped.check == "sampling_gap"
    assert trained.summary.stopped.level == "fatal"
    verdict = run.verdict("training")
    assert verdict.verdict == "OK"
    assert "stopped early by sampling_gap" in verdict.sentence
    assert run.after().summary.questions == 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_embedded_recipe_is_healthy(tmp_path, seed):
    run = Run(find_recipe("tiny-arithmetic"), seed, Settings(runs_dir=tmp_path))
    assert run.trained().health == []
    signal = read_json(run.directory / "signal.json")
    assert signal["signal_share"] > 0.5
    assert not signal["refused"]
