"""Train by direct preference optimization and judge the result: better than its base model, good enough, and sound.

pytest suites/test_dpo.py --rl-recipe tiny-arithmetic-dpo
"""

import pytest

pytestmark = pytest.mark.method("dpo")


def test_training_is_sound(verdicts):
    """Finite losses and gradients."""
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


def test_what_was_learnt_from_is_kept(trained):
    """``train/data.jsonl`` holds every pair, each of two different answers to one prompt."""
    assert len(trained.data) == trained.summary.examples > 0
    assert all(row["prompt"] and row["chosen"] != row["rejected"] for row in trained.data)
