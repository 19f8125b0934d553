"""Reward functions that raise now and then, hang, or break their contract: the run ends, with verdicts and statuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.small_recipes import small_recipe

SAMPLED = {"a": "sft", "b": "dpo", "same": "sft"}

REWARDS = '''
import asyncio, os, time

batches, alone = 0, 0

async def flaky(prompts, completions, trainer_state=None, **columns):
    """Raises on every other batch, as a service does, and for one answer of those that are asked again in training."""
    global batches, alone
    if len(completions) > 1:
        batches += 1
        fails = batches % 2 == 0
    else:
        alone += trainer_state is not None
        fails = alone == 1
    await asyncio.sleep(0)
    if fails:
        raise ConnectionError("no reply")
    return [float(len(completion[0]["content"]) > 3) for completion in completions]

async def hangs_in_training(prompts, completions, trainer_state=None, **columns):
    if trainer_state is not None:
        await asyncio.sleep(3600)
    return [0.0] * len(completions)

def short_list_in_training(prompts, completions, trainer_state=None, **columns):
    return [0.0] if trainer_state is not None else [0.0] * len(completions)

def short_list(prompts, completions, **columns):
    return [0.0]

def fails_on_fives(prompts, completions, ground_truth, **columns):
    if any(int(truth) % 5 == 0 for truth in ground_truth):
        raise ValueError("a five")
    return [0.0] * len(completions)

def hangs(prompts, completions, **columns):
    time.sleep(3600)
'''
TESTS = """
import pytest

def test_soundness(verdicts):
    verdicts.require("training")

@pytest.mark.rl_recipe("flaky", "failing")
def test_every_answer_has_its_grade(before, after):
    for evaluation in (before, after):
        assert len(evaluation.records) == 8
        assert "unscored" not in {record.status for record in evaluation.records}
"""
OWN = '\n[rewards]\ntimeout_seconds = {}\nboxed_numeric = 1.0\n"my_rewards:{}" = 0.1\n'
RECIPES = {
    "flaky": small_recipe() + OWN.format(60, "flaky"),
    "failing": small_recipe() + OWN.format(1, "hangs_in_training") + '"my_rewards:short_list_in_training" = 0.1\n',
    "short_list": small_recipe() + OWN.format(1, "short_list"),
    "hangs": small_recipe() + OWN.format(1, "hangs"),
    # two that train the same thing, and one on the same samples
    **{name: small_recipe(method) + OWN.format(60, "fails_on_fives") for name, method in SAMPLED.items()},
}


@pytest.fixture(scope="module")
def session(shared_project):
    project = shared_project
    (project.path / "suites/recipes/small.toml").unlink()
    project.write(**{f"suites/recipes/{name}.toml": text for name, text in RECIPES.items()})
    project.write(my_rewards=REWARDS, test_it=TESTS)
    result = project.pytest("-v", "--rl-in-process", torch=True)
    result.assert_outcomes(passed=3, failed=6)
    return project, result.stdout.str()


def run_of(project, name: str) -> Path:
    (run,) = (project.path / "rl-runs").glob(name)
    return run


def completions_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "train" / "completions.jsonl").read_text().splitlines()]


def test_an_async_reward_that_raises_now_and_then(session):
    project, text = session
    run = run_of(project, "flaky")
    values = [row["rewards"]["my_rewards:flaky"] for row in completions_of(run)]
    assert len(values) == 64
    (kept,) = json.loads((run / "train" / "rewards.json").read_text())["functions"].values()
    assert values.count(None) == kept["unscored"] == 1
    assert kept["retried"] >= 1
    said = r"raised ConnectionError at my_rewards\.py:\d+: no reply"
    assert re.search(said, kept["sentence"])
    assert re.search(rf'^  ! train: reward "my_rewards:flaky" .*{said}', text, re.MULTILINE)
    assert "my_rewards:flaky" in (project.path / f"rl-report/{run.name}.html").read_text()


def test_rewards_that_fail_all_through_training(session):
    """One hangs and is given up, one returns too few values: both are named, and the rest of the reward trains."""
    project, text = session
    assert "UNSOUND failing: " in text
    assert '"my_rewards:hangs_in_training" gave no value for 64 of 64 completions' in text
    assert "took longer than 1 s (timeout_seconds) (48)" in text
    assert "not called any more after 3 time-outs in a row (16)" in text
    assert "returned a list of 1 values for 16 completions; it must return a list with a number or None" in text
    rows = completions_of(run_of(project, "failing"))
    assert len(rows) == 64
    for row in rows:
        assert row["rewards"]["my_rewards:hangs_in_training"] is None
        assert row["reward"] == row["rewards"]["boxed_numeric"]  # what failed is left out, not paid as 0


def test_contracts_broken_from_the_first_call_are_refused_before_training(session):
    project, text = session
    for name, reason in (
        ("short_list", "returned a list of 1 values for 2 completions"),
        ("hangs", "took longer than 1 s (timeout_seconds)"),
    ):
        assert f'reward function "my_rewards:{name}" {reason}' in text
        assert not (run_of(project, name) / "train" / "completions.jsonl").exists()


def test_rewards_that_fail_while_training_data_is_sampled(session):
    """The samples of one run are those of the others: whoever learns from them is as unsound, and says so."""
    project, text = session
    counted = (
        r'reward "my_rewards:fails_on_fives" gave no value for (\d+) of 96 completions: raised ValueError at .*: a five'
    )
    for name in SAMPLED:
        found = re.search(rf"UNSOUND {name}: {counted}", text)
        assert found, text
        assert 0.02 * 96 < int(found[1]) < 96
        assert re.search(rf"^✗ {name} (?:.*\n)+?  ! samples: {counted}", text, re.MULTILINE), text
        (page,) = (project.path / "rl-report").glob(f"{name}.html")
        assert "(" + found[1] + "), in the sampling of its training data." in page.read_text(encoding="utf-8")
    assert len(set(re.findall(counted, text))) == 1, "as many of as many, whoever sampled them"
    assert "training: the same was trained in a" in text
