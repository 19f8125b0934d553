"""Every health check sees its fault in a real training of the embedded model, and none cries at a healthy one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.gate.health import CHECKS
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import TrainingError
from harness.store.run_directory import read_json
from harness.store.run_files import HEALTH
from harness.tasks.arithmetic import arithmetic_questions
from harness.training import launcher
from tests.training.jobs import run_of, steps

FAULTY = {"rewards": {"planted:rises_and_dies": 1.0}, "train__save_strategy": "no", "train__max_completion_length": 8}
# What the faults of one training are, beside its reward, and limits that make fewer steps do.
EVERY_FAULT = {
    **FAULTY,
    "task__name": "wrong.jsonl",  # whatever is learnt, no answer is right
    "task__train_questions": 96,
    "train__max_steps": 16,
    "train__beta": 0.1,
    "train__temperature": 3.0,
    "train__learning_rate": 1e-2,
    "train__entropy_coef": -1.0,
    "evaluate__every_steps": 5,
    "evaluate__during_questions": 8,
    "health__entropy_runaway": 0.01,
    "health__entropy_collapse": 0.99,
    "health__kl_blow_up": 1e-6,
}


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train(**changes)``: a small run whose rewards are imported anew: they count their calls."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    monkeypatch.chdir(tmp_path)
    asked = [(each, str(int(each.ground_truth) + 1000)) for each in arithmetic_questions("train", 120)]
    rows = [{"id": each.id, "question": each.text, "answer": wrong} for each, wrong in asked]
    Path("wrong.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda **changes: run_of(tmp_path, **changes)


def test_every_fault_is_named_once(train):
    trained = train(**EVERY_FAULT).trained()
    found = {each.check: each for each in trained.health}
    assert {*found} == {*CHECKS} - {"stall", "restart", "gradient_zero", "gradient_not_finite"}
    for name, each in found.items():
        assert each.key == CHECKS[name].key
        assert each.level == CHECKS[name].level
        assert 5 <= each.step <= 16
    assert [each.check for each in trained.health] == list(found), "a check spoke twice"


EVALUATED = {"evaluate__every_steps": 2, "evaluate__during_questions": 4}


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("gradient_zero", {"rewards": {"planted:the_same": 1.0}, **EVALUATED}),
        ("gradient_not_finite", {"train__learning_rate": 1e30, "train__num_iterations": 2}),
    ],
)
def test_a_training_without_a_gradient_can_be_ended(train, check, fault):
    trained = train(train__max_steps=8, health__stop_on=[check], **fault).trained()
    (found,) = trained.health
    assert (found.check, found.key, found.level) == (check, "grad_norm", "fatal")
    assert trained.summary.steps == found.step < 8
    best = [line.step for line in trained.evaluations if line.best]
    assert best == ([2] if "evaluate__every_steps" in fault else []), "of equal policies the earliest is chosen"


def test_stop_on_ends_the_training_with_the_finding_as_reason(train):
    run = train(**FAULTY, train__max_steps=14, health__stop_on=["sampling_gap"])
    trained = run.trained()
    assert trained.summary.steps == 5
    assert (trained.summary.stopped.check, trained.summary.stopped.level) == ("sampling_gap", "fatal")
    verdict = run.verdict("training")
    assert verdict.verdict == "OK"
    assert "stopped early by sampling_gap" in verdict.sentence
    assert run.after().summary.questions == 8


def test_a_hung_job_is_ended_and_says_where(train, monkeypatch):
    monkeypatch.setattr(launcher, "_BEFORE_FIRST_STEP", 60.0)  # a busy machine takes minutes to import torch
    reward = {"rewards": {"planted:hanging": 1.0}}
    run = train(in_process=False, health__stall_seconds=5.0, health__stall=2, **reward)
    with pytest.raises(TrainingError) as failure:
        run.trained()
    for said in ("no progress for", "planted.py", "in hanging"):
        assert said in str(failure.value)
    (found,) = HEALTH.read(run.directory / "train")
    assert (found.check, found.level, found.step) == ("stall", "fatal", 2)
    assert read_json(run.directory / "train" / "failed.json")["error"] == str(failure.value)


def test_a_healthy_training_is_silent(train):
    trained = train(task__train_questions=96, train__max_steps=12, train__save_strategy="no").trained()
    assert trained.health == []
    assert steps(trained) == [*range(1, 13)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_embedded_recipe_is_healthy(tmp_path, seed):
    run = Run(find_recipe("tiny-arithmetic"), seed, Settings(runs_dir=tmp_path))
    assert run.trained().health == []
    signal = read_json(run.directory / "signal.json")
    assert signal["signal_share"] > 0.5
    assert not signal["refused"]
