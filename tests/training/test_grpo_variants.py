"""GRPO's variants by TRL's own keys: each runs, with the advantages and the loss that its paper gives it."""

from __future__ import annotations

from statistics import fmean

import pytest

from tests.training.advantages import advantages_of
from tests.training.jobs import run_of, steps

VARIANTS = [
    {"loss_type": "grpo", "scale_rewards": "batch", "num_iterations": 2},
    # Liu et al. 2025, arXiv:2503.20783, and GSPO, Zheng et al. 2025, arXiv:2507.18071
    {"loss_type": "dr_grpo", "scale_rewards": "none", "importance_sampling_level": "sequence"},
    {"loss_type": "dapo", "epsilon_high": 0.28, "beta": 0.04},  # Yu et al. 2025, arXiv:2503.14476
    {"loss_type": "bnpo"},  # Hu 2025
]


def first_loss(rows, loss_type):
    """Before the first update every ratio is 1: what is left is how the tokens of the completions are averaged."""
    if loss_type == "grpo":  # every completion weighs the same
        return -fmean(row.advantage for row in rows)
    tokens = sum(row.completion_tokens for row in rows)
    size = len(rows) * 24 if loss_type == "dr_grpo" else tokens
    return -sum(row.advantage * row.completion_tokens for row in rows) / size


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: each["loss_type"])
def test_a_variant_trains(variant, tmp_path):
    """With two iterations the second step learns from the first one's completions."""
    count = variant.get("num_iterations", 1)
    keys = {f"train__{key}": value for key, value in variant.items()}
    trained = run_of(tmp_path, train__max_steps=count, **keys).trained()
    logged = [row for row in trained.metrics if "loss" in row]
    assert steps(trained) == [*range(1, count + 1)]
    assert all(row["loss"] is not None and row["grad_norm"] is not None for row in logged)
    assert all(("kl" in row) == ("beta" in variant) for row in logged)
    rows = trained.completions
    assert len(rows) == 16
    assert len({row.reward for row in rows}) > 1, "all were paid the same: nothing was compared"
    advantages = advantages_of(rows, variant.get("scale_rewards", "group"))
    assert [row.advantage for row in rows] == pytest.approx(advantages, abs=1e-4)
    assert logged[0]["loss"] == pytest.approx(first_loss(rows, variant["loss_type"]), abs=1e-4)
