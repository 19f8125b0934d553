"""GRPO's variants by TRL's own keys: each runs, with the advantages and the loss that its paper gives it."""

from __future__ import annotations

from statistics import fmean

import pytest

from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from tests.small_recipes import GRPO
from tests.training.advantages import advantages_of

VARIANTS = [
    {"loss_type": "grpo"},
    {"loss_type": "bnpo"},  # Hu 2025
    {"loss_type": "dr_grpo", "scale_rewards": "none"},  # Liu et al. 2025, arXiv:2503.20783
    {"loss_type": "dapo", "epsilon_high": 0.28},  # Yu et al. 2025, arXiv:2503.14476
    {"scale_rewards": "batch"},
    {"num_iterations": 2},
    {"beta": 0.04},
    {"importance_sampling_level": "sequence"},  # GSPO, Zheng et al. 2025, arXiv:2507.18071
]


def first_loss(rows, loss_type):
    """Before the first update every ratio is 1: what is left is how the tokens of the completions are averaged."""
    if loss_type == "grpo":  # every completion weighs the same
        return -fmean(row.advantage for row in rows)
    tokens = sum(row.completion_tokens for row in rows)
    size = len(rows) * GRPO["train.max_completion_length"] if loss_type == "dr_grpo" else tokens
    return -sum(row.advantage * row.completion_tokens for row in rows) / size


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: "-".join(map(str, each.values())))
def test_a_variant_trains(variant, tmp_path):
    keys = {f"train.{key}": value for key, value in variant.items()}
    recipe = find_recipe("tiny-arithmetic").override(GRPO | {"train.max_steps": 2} | keys)
    trained = Run(recipe, 0, Settings(runs_dir=tmp_path, in_process=True)).trained()
    logged = [row for row in trained.metrics if "loss" in row]
    assert [row["step"] for row in logged] == [1, 2]
    assert all(row["loss"] is not None and row["grad_norm"] is not None for row in logged)
    assert all(("kl" in row) == ("beta" in variant) for row in logged)
    # With two iterations the second step learns from the first one's completions.
    assert len(trained.completions) == (16 if "num_iterations" in variant else 32)
    rows = trained.completions[:16]
    assert len({row.reward for row in rows}) > 1, "all were paid the same: nothing was compared"
    advantages = advantages_of(rows, variant.get("scale_rewards", "group"))
    assert [row.advantage for row in rows] == pytest.approx(advantages, abs=1e-4)
    assert logged[0]["loss"] == pytest.approx(first_loss(rows, variant.get("loss_type")), abs=1e-4)
