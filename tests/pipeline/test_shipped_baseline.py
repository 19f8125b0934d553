"""The embedded recipe's committed baseline is one that today's code can be held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.gate.baseline import differences
from harness.pipeline.baselines import as_baseline, find
from harness.pipeline.judge import plans
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe

BASELINES = Path(__file__).parents[2] / "suites" / "baselines"


def test_it_is_comparable(tmp_path):
    """Where this fails, record it anew: pytest suites/test_gate.py --rl-update-baselines all."""
    recipe = find_recipe("tiny-arithmetic")
    kept = find(BASELINES, recipe.name, 0)
    assert kept is not None
    run = Run(recipe, 0, Settings(runs_dir=tmp_path, baselines_dir=BASELINES))
    assert differences(kept.baseline, as_baseline(recipe, 0, run.questions.test, run.commit)) == []
    assert len(kept.baseline.correct) == recipe.task.test_questions


def test_its_gates_can_tell():
    recipe = find_recipe("tiny-arithmetic")
    planned = plans(recipe, 0, BASELINES, gates=2)
    assert set(planned) == {"improvement", "baseline"}
    assert all(each.enough for each in planned.values())


@pytest.mark.parametrize("limit", [400, 60])
def test_the_documented_plan_is_what_is_said(limit):
    planned = plans(find_recipe("tiny-arithmetic").limited(limit), 0, BASELINES, gates=2)
    assert planned["baseline"].sentence in (BASELINES.parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
