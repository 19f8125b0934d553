"""``[task] learnable``: GRPO on the questions that the base policy gets right sometimes and not always."""

from __future__ import annotations

import pytest

from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import NoSignal, RecipeError
from harness.store.records import question_means, read_records
from harness.store.run_directory import read_json
from harness.store.run_files import SIGNAL
from tests.small_recipes import GRPO

LEARNABLE = GRPO | {"task.train_questions": 48, "task.learnable": 8, "train.max_steps": 2}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    said = []
    return Settings(runs_dir=tmp_path_factory.mktemp("runs"), say=lambda who, text: said.append((who, text))), said


@pytest.fixture(scope="module")
def run(settings):
    run = Run(find_recipe("tiny-arithmetic").override(LEARNABLE), settings=settings[0])
    run.trained()
    return run


def test_what_it_gets_right_sometimes_is_trained_on_in_its_order(run, settings):
    shares = question_means(read_records(run.directory / "signal"))
    order = [question.id for question in run.questions.train]
    learnable = [question for question in order if 0 < shares.get(question, 0) < 1]
    rows = read_json(run.directory / "train" / "job.json")["rows"]
    assert [row["question_id"] for row in rows] == learnable[:8]
    found = SIGNAL.read(run.directory)
    assert (found.kept, found.questions, found.refused) == (8, len(shares), False)
    assert len(shares) % run.recipe.health.signal_questions == 0
    before = set(order[: len(shares) - run.recipe.health.signal_questions])
    assert len(before.intersection(learnable)) < 8, "no more are asked than it takes"
    (sentence,) = [text for who, text in settings[1] if who.endswith("signal")]
    assert sentence == found.sentence
    assert sentence.startswith(f"8 of {len(shares)} training questions asked 4 times got right and wrong answers (")


def test_the_answers_are_asked_once_for_all_recipes_of_a_model(run, settings):
    other = Run(run.recipe.override({"train.learning_rate": 1e-5, "task.learnable": True}), settings=settings[0])
    other.trained()
    assert other.reused["signal"] == len(read_records(run.directory / "signal"))
    found = SIGNAL.read(other.directory)
    assert found.questions == 48
    shares = question_means(read_records(other.directory / "signal"))
    assert found.kept == sum(0 < share < 1 for share in shares.values())


def test_too_few_are_refused(settings):
    """Nearly greedy answers to a question are all the same."""
    recipe = find_recipe("tiny-arithmetic").override(LEARNABLE | {"train.temperature": 1e-6})
    run = Run(recipe, settings=settings[0])
    with pytest.raises(
        NoSignal, match=r"not trained: only 0 of 48 training questions asked 4 times .* raise .task. train_q"
    ):
        run.trained()
    assert run.verdict("training").verdict == "UNSOUND"
    assert SIGNAL.read(run.directory).refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task.learnable": 3}, "learnable: must be true or a number from 4, which fill a batch, to 48, .*, not 3"),
        ({"task.learnable": 49}, "learnable: must be true or a number from 4, .*, not 49"),
        ({"task.learnable": "all"}, "learnable: must be true, false or a whole number of questions, not 'all'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(changes, message):
    with pytest.raises(RecipeError, match=message):
        find_recipe("tiny-arithmetic").override(LEARNABLE | changes)


def test_it_is_of_grpo():
    with pytest.raises(RecipeError, match="learnable: chooses questions for GRPO; sft learns from"):
        find_recipe("tiny-arithmetic-sft").override({"task.learnable": True})


def test_a_limit_holds_for_it_too():
    assert find_recipe("tiny-arithmetic").override(LEARNABLE).limited(5).task.learnable == 5
