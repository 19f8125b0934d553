"""The flow on a GPU: bf16 answers, a job that trains there, memory that is given back."""

from __future__ import annotations

import pytest

from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = find_recipe("tiny-arithmetic").override(
        {"task.train_questions": 16, "task.test_questions": 32, "train.max_steps": 2, "train.logging_steps": 1}
    )
    return Run(recipe, 0, Settings(runs_dir=tmp_path_factory.mktemp("runs"), device="cuda"))


def test_policy_answers_in_bf16_on_the_gpu(run):
    policy = run.policy()
    assert policy.device == "cuda"
    assert policy.dtype == "bfloat16"
    assert next(policy.model.parameters()).is_cuda


def test_evaluation_records_peak_memory(run):
    before = run.before()
    assert before.summary.device == "cuda"
    assert before.summary.peak_memory_bytes > 0


def test_memory_is_given_back(run):
    import torch

    run.policy()
    held = torch.cuda.memory_allocated()
    run.release()
    assert torch.cuda.memory_allocated() < held


def test_trains_and_judges(run):
    trained = run.trained()
    assert [row["step"] for row in trained.metrics if "loss" in row] == [1, 2]
    assert run.after().summary.questions == 32
    assert {verdict.gate for verdict in run.verdicts()} == {"improvement", "accuracy", "training"}


@pytest.mark.vllm
def test_vllm_samples_in_the_training_process(tmp_path):
    """TRL's colocate, which hands the weights over before each step's sampling."""
    pytest.importorskip("vllm")
    recipe = find_recipe("tiny-arithmetic").override(
        {
            "task.train_questions": 16,
            "task.test_questions": 8,
            "train.max_steps": 2,
            "train.use_vllm": True,
            "train.vllm_max_model_length": 256,
        }
    )
    trained = Run(recipe, 0, Settings(runs_dir=tmp_path, device="cuda")).trained()
    gaps = [row["sampling/sampling_logp_difference/mean"] for row in trained.metrics if "loss" in row]
    assert len(gaps) == 2
    assert max(gaps) < 0.1, "two ways to compute the same policy"
