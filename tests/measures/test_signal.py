"""The signal check: its estimates against brute force, and what it refuses before anything is trained."""

from __future__ import annotations

import itertools
import math
import os
import random

import pytest
from graded import answer
from hypothesis import given
from hypothesis import strategies as st

from harness.gate.signal import concentration, signal_share, summarise_signal
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import NoSignal
from harness.store.run_directory import read_json
from harness.store.run_files import Signal
from tests.run_files import read_lines
from tests.small_recipes import GRPO


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=7), st.integers(2, 7))
def test_share_is_that_of_all_groups_that_could_have_been(rewards, generations):
    if generations > len(rewards):
        assert signal_share(rewards, generations) is None
        return
    groups = list(itertools.combinations(rewards, generations))
    differ = sum(len(set(group)) > 1 for group in groups)
    assert signal_share(rewards, generations) == pytest.approx(differ / len(groups))


@pytest.mark.parametrize(("p", "generations", "samples"), [(0.1, 4, 4), (0.3, 4, 8), (0.9, 8, 8)])
def test_share_is_unbiased(p, generations, samples):
    """Its expectation over the binomial is 1 - p^G - (1-p)^G; putting s/K for p is not."""
    chances = [math.comb(samples, s) * p**s * (1 - p) ** (samples - s) for s in range(samples + 1)]
    ours = [signal_share([1.0] * s + [0.0] * (samples - s), generations) for s in range(samples + 1)]
    true = 1 - p**generations - (1 - p) ** generations
    assert sum(map(float.__mul__, chances, ours)) == pytest.approx(true)
    naive = [1 - (s / samples) ** generations - (1 - s / samples) ** generations for s in range(samples + 1)]
    assert sum(map(float.__mul__, chances, naive)) < true - 0.01


def test_concentration_is_found_again():
    draw = random.Random(0)
    made = []
    for _ in range(4000):
        p = draw.betavariate(0.6, 1.4)  # concentration 2
        made.append([float(draw.random() < p) for _ in range(4)])
    assert concentration(made) == pytest.approx(2, rel=0.15)
    assert concentration([[1.0, 1.0], [0.0, 0.0]]) == 0.0  # questions that always answer the same
    assert concentration([[0.0, 0.0], [0.0, 0.0]]) is None  # nothing varies
    assert concentration([[0.0, 1.0], [0.0, 1.0]]) is None  # questions are alike
    assert concentration([]) is None


def found(rows: dict[str, str], *, generations: int = 4, limit: float = 0.05) -> Signal:
    statuses = {"c": "correct", "w": "wrong", "n": "no_answer"}
    records = [
        answer(name, n, None, statuses[letter]) for name, letters in rows.items() for n, letter in enumerate(letters)
    ]
    for record in records:
        object.__setattr__(record, "reward", float(record.status == "correct"))
    return summarise_signal(records, generations=generations, groups_per_step=2, steps=50, limit=limit)


@pytest.mark.parametrize(
    ("letter", "tip"), [("n", "few_shot = 2"), ("w", "easier questions"), ("c", "harder questions")]
)
def test_refusals_say_what_to_change(letter, tip):
    said = found({"a": 4 * letter, "b": 4 * letter})
    assert said.refused
    assert (said.signal_share, said.zero_std_share, said.steps_without_signal) == (0.0, 1.0, 50)
    assert tip in said.sentence
    assert "signal = false" in said.sentence


def test_what_is_trained():
    said = found({"a": "cwww", "b": "wwww", "c": "ccww", "d": "cccc"})
    assert not said.refused
    assert said.signal_share == 0.5
    assert said.steps_without_signal == 50 * 0.5**2
    assert said.accuracy == pytest.approx(7 / 16)
    assert said.advice == ()
    assert "about 12 of 50 steps without any" in said.sentence


SMALL = GRPO | {"train.max_steps": 1, "health.signal_questions": 4}


@pytest.fixture
def run(tmp_path):
    def make(changes: dict, name: str = "tiny-arithmetic") -> Run:
        recipe = find_recipe(name).override(SMALL | changes)
        return Run(recipe, 0, Settings(runs_dir=tmp_path, in_process=True))

    return make


def test_the_embedded_recipe_passes_and_keeps_its_answers(run, monkeypatch):
    from harness.models.engines import local

    made = run({})
    made.trained()
    signal = read_json(made.directory / "signal.json")
    assert (signal["questions"], signal["samples_per_question"], signal["num_generations"]) == (4, 4, 4)
    assert not signal["refused"]
    kept = list(read_lines(made.directory / "signal" / "records.jsonl"))
    assert len(kept) == 16
    assert {row["question_id"] for row in kept} == {each.id for each in made.questions.train[:4]}
    # Another seed of the recipe asks the same of the same policy: nothing is sampled again.
    monkeypatch.setattr(local, "generate", lambda *_: pytest.fail("sampled again"))
    other = Run(made.recipe, 1, made.settings)
    other.trained()
    assert in_order(read_lines(other.directory / "signal" / "records.jsonl")) == in_order(kept)


def in_order(rows):
    return sorted(rows, key=lambda row: (row["question_id"], row["sample"]))


def test_nothing_to_learn_from_is_refused_before_training(run):
    made = run({"train.max_completion_length": 4})
    with pytest.raises(NoSignal, match="not trained: only 0 % of groups of 4") as refusal:
        made.trained()
    assert "raise max_completion_length" in str(refusal.value)
    signal = read_json(made.directory / "signal.json")
    assert signal["refused"]
    assert signal["questions"] == 16, "before it refuses it asks four times as many"
    assert not (made.directory / "train" / "completions.jsonl").exists()
    verdict = made.verdict("training")
    assert (verdict.verdict, verdict.passed) == ("UNSOUND", False)
    assert verdict.sentence == signal["sentence"]
    assert read_json(made.directory / "verdicts.json")["verdicts"][0]["sentence"] == signal["sentence"]


def test_it_can_be_switched_off(run):
    made = run({"train.max_completion_length": 4, "health.signal": False})
    assert made.trained().summary.steps == 1
    assert not (made.directory / "signal.json").exists()


GGUF = os.environ.get("RL_HARNESS_SMOLLM2_GGUF")


@pytest.mark.skipif(not GGUF, reason="set RL_HARNESS_SMOLLM2_GGUF to a SmolLM2-135M-Instruct GGUF file")
@pytest.mark.slow
@pytest.mark.parametrize("few_shot", [0, 2])
def test_smollm2_needs_worked_examples(run, few_shot):
    """With only a system prompt it boxes nothing; with two worked examples there is something to learn from."""
    made = run(
        {
            "model.name": GGUF,
            "task.largest": 20,
            "task.operations": ["add"],
            "task.few_shot": few_shot,
            "train.per_device_train_batch_size": 4,
            "train.max_completion_length": 32,
            "health.signal_questions": 2,
            "evaluate.batch_size": 32,
        }
    )
    if few_shot:
        made.trained()
    else:
        with pytest.raises(NoSignal, match="few_shot = 2"):
            made.trained()
    signal = read_json(made.directory / "signal.json")
    assert signal["refused"] == (few_shot == 0)
    if not few_shot:
        assert signal["counts"].get("no_answer", 0) > 0.8 * sum(signal["counts"].values())
