"""Claims about the recipe: seeds are the unit, and few of them say little."""

# ruff: noqa: E501 (one case a row)

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.gate.verdicts import judge_recipe

# By seed, candidate less baseline; the word; what its sentence says. t(.95, 2) is 2.92, t(.95, 3) 2.35, t(.90, 2) 1.89.
CASES = [
    ([-0.06], "INCONCLUSIVE", "a claim about the recipe takes 3 seeds or more; 1 can speak of this trained model only"),
    ([0.2, 0.3], "INCONCLUSIVE", "a claim about the recipe takes 3 seeds or more; 2 can speak of these 2 trained models only"),
    ([], "INCONCLUSIVE", "takes 3 seeds or more; 0 can speak of no trained model"),
    # sd .01, standard error .00577: t = -10.4
    ([-0.05, -0.06, -0.07], "REGRESSED", "-6.0 points against the baseline, the mean of 3 trained models, one a seed (90 % interval -7.7 to -4.3); luck alone would pass for a loss in about 5 % of such tests (alpha .05)"),
    ([0.05, 0.06, 0.07], "IMPROVED", "one a seed (90 % interval +4.3 to +7.7); luck alone would pass for a gain in about 5 %"),
    # One lucky checkpoint and two that lost nothing: t = 1, whatever its questions say.
    ([0.30, 0.0, 0.0], "INCONCLUSIVE", "; this may be luck (alpha .05); train more seeds"),
    ([-0.30, 0.0, 0.0], "INCONCLUSIVE", "; this may be luck (alpha .05); train more seeds"),
    ([0.01, -0.01, 0.01, -0.01], "OK", "(90 % interval -1.4 to +1.4); a drop of 5 points or more is ruled out, wrongly in about 10 % of such tests"),
    ([0.0, 0.0, 0.0], "INCONCLUSIVE", "all 3 seeds differ by 0 points: were they trained apart?"),
]  # fmt: skip


@pytest.mark.parametrize(("differences", "word", "says"), CASES)
def test_recipe(differences: list[float], word: str, says: str) -> None:
    verdict = judge_recipe(differences, margin=0.05, alpha=0.05)
    assert (verdict.gate, verdict.verdict) == ("recipe", word)
    assert says in verdict.sentence
    assert verdict.numbers["seeds"] == len(differences)


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1), max_size=8))
@example([-0.05, -0.06, -0.07])  # each word at least once
@example([0.05, 0.06, 0.07])
@example([0.01, -0.01, 0.01, -0.01])
@example([0.2])
def test_red_is_a_loss_and_green_is_none(differences: list[float]) -> None:
    verdict = judge_recipe(differences, margin=0.05, alpha=0.05)
    if verdict.verdict == "REGRESSED":
        assert verdict.numbers["high"] <= 1e-9
    if verdict.verdict == "IMPROVED":
        assert verdict.numbers["low"] >= -1e-9
    if verdict.verdict == "OK":
        assert verdict.numbers["mean"] > -0.05
    if len(differences) < 3:
        assert verdict.passed is None
    json.dumps(verdict.to_json(), allow_nan=False)


@pytest.mark.parametrize("seeds", [3, 5])
def test_false_alarms_over_seeds(seeds: int) -> None:
    # Checkpoints of one recipe scatter by 3 points: each would be called different from the others on enough questions.
    rng = np.random.default_rng(7)
    runs = 100
    words = [judge_recipe(row.tolist(), margin=0.05, alpha=0.05).verdict for row in rng.normal(0, 0.03, (runs, seeds))]
    dropped = [judge_recipe(row.tolist(), margin=0.05, alpha=0.05) for row in rng.normal(-0.05, 0.03, (runs, seeds))]
    assert words.count("REGRESSED") / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
    falsely = sum(verdict.verdict in ("OK", "IMPROVED") for verdict in dropped)
    assert falsely / runs <= 0.10 + 2 * math.sqrt(0.10 * 0.90 / runs)
