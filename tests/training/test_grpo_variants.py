"""GRPO's variants by TRL's own keys: each runs, and says in its metrics that it is that variant."""

from __future__ import annotations

import pytest

from harness.catalog import find_recipe
from harness.pipeline import Run, Settings
from tests.small_recipes import GRPO

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
    advantages = [row["advantage"] for row in trained.completions]
    if variant.get("scale_rewards") == "none":
        assert all(-1 <= each <= 1 for each in advantages), "unscaled advantages of 0-1 rewards lie within one"
