"""Train by GRPO and judge the result: better than its base model, good enough, and soundly trained.

pytest suites/test_grpo.py --rl-recipe tiny-arithmetic
"""

import pytest

pytestmark = pytest.mark.method("grpo")


def test_training_is_sound(verdicts):
    """Finite losses and gradients, and not every group of completions without a difference in reward."""
    verdicts.require("training")


def test_training_is_healthy(trained):
    """No health check found something fatal; a warning is said in the terminal and in the report, and fails nothing."""
    if trained.fatal:
        pytest.fail("; ".join(trained.fatal), pytrace=False)


def test_beats_its_base_model(verdicts):
    """IMPROVED on the same questions, by the sequential paired test and by at least ``min_improvement``."""
    verdicts.require("improvement")


def test_reaches_the_accuracy_threshold(verdicts):
    """All of the accuracy's 95 % interval reaches ``min_accuracy``; TOO_LOW where none of it does."""
    verdicts.require("accuracy")


def test_every_completion_is_kept(trained):
    """The run directory holds every sampled completion with its reward and advantage."""
    completions = trained.completions
    assert len(completions) == trained.summary.completions > 0
    assert all(row.rewards and row.advantage is not None for row in completions)
