"""The recipe that a call's arguments mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

import harness
from harness.notebook.arguments import recipe_of, settings_of
from harness.notebook.progress import Progress
from harness.recipe.schema import questions_of
from harness.rewards import boxed_numeric, cells
from harness.store.errors import HarnessError
from tests.small_recipes import small_recipe

ROWS = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(10)]
OTHERS = [{"question": f"{n} + 2?", "answer": str(n + 2)} for n in range(4)]


def mine(completions, **columns):
    return [0.0] * len(completions)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cells, "_FUNCTIONS", {})
    return tmp_path


def made(recipe=None, limit=None, *, trains=True, **given):
    return recipe_of(recipe, given, {}, limit, trains=trains)


def test_a_recipe_of_arguments_alone():
    recipe = made(model="tiny", task="arithmetic", train={"max_steps": 4}, evaluate={"max_new_tokens": 24})
    assert (recipe.name, recipe.model.name, recipe.task.name) == ("arithmetic-tiny", "tiny", "arithmetic")
    assert (recipe.task.train_questions, recipe.task.test_questions) == (320, 400)
    assert (recipe.train.arguments, recipe.evaluate.max_new_tokens) == ({"max_steps": 4}, 24)
    assert dict(recipe.rewards) == {"boxed_numeric": 1.0}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "arithmetic-Qwen2.5-0.5B-Instruct"),
        (Path("models/my.gguf"), "arithmetic-my"),
        ({"name": "tiny", "dtype": "float32"}, "arithmetic-tiny"),
    ],
)
def test_it_is_called_by_its_task_and_model(model, name):
    assert made(model=model, task="arithmetic").name == name


def test_arguments_change_a_recipe_that_is_there(folder):
    (folder / "small.toml").write_text(small_recipe())
    recipe = made("small.toml", rewards={"format_boxed": 0.5}, train={"max_steps": 2}, gate={"margin": 0.2})
    assert dict(recipe.rewards) == {"format_boxed": 0.5}
    assert (recipe.train.arguments["max_steps"], recipe.train.arguments["num_generations"]) == (2, 4)
    assert (recipe.gate.margin, recipe.task.test_questions) == (0.2, 8)


@pytest.mark.parametrize("rows", [ROWS, Dataset.from_list(ROWS)])
def test_questions_in_memory_are_shared_out(folder, rows):
    recipe = made(model="tiny", task=rows)
    assert (recipe.task.train_questions, recipe.task.test_questions) == (5, 5)
    questions = questions_of(recipe, None)
    assert {each.text for each in (*questions.train, *questions.test)} == {row["question"] for row in ROWS}
    assert made(model="tiny", task=[*rows]).task.name == recipe.task.name  # the same file
    assert made(model="tiny", task=ROWS[:9]).task.name != recipe.task.name
    assert (folder / "rl-runs/.gitignore").read_text() == "*\n"


def test_all_are_asked_where_nothing_is_trained():
    recipe = made(model="tiny", task=[*ROWS, ROWS[0]], trains=False)
    assert (recipe.task.train_questions, recipe.task.test_questions) == (0, 10)
    assert len(questions_of(recipe, None).test) == 10


def test_the_splits_of_a_dataset_stay():
    for given in (
        {"train": ROWS, "test": OTHERS},
        DatasetDict(train=Dataset.from_list(ROWS), test=Dataset.from_list(OTHERS)),
    ):
        questions = questions_of(made(model="tiny", task=given), None)
        assert {each.text for each in questions.test} == {row["question"] for row in OTHERS}
        assert len(questions.train) == 10


def test_other_keys_of_the_task_stand_beside_the_questions():
    rows = [{"problem": row["question"], "final": row["answer"]} for row in ROWS]
    fields = {"question": "problem", "answer": "final"}
    recipe = made(model="tiny", task={"name": rows, "fields": fields, "test_questions": 2, "system_prompt": "Briefly."})
    (first, _) = questions_of(recipe, None).test
    assert first.prompt[0]["content"] == "Briefly."
    assert recipe.task.train_questions == 8
    assert made(model="tiny", task={"name": rows, "fields": fields, "train_questions": 7}).task.test_questions == 3


def test_a_limit_leaves_enough_to_train_on():
    recipe = made(model="tiny", task="arithmetic", train={"per_device_train_batch_size": 64}, limit=5)
    assert (recipe.task.train_questions, recipe.task.test_questions) == (8, 5)


def test_functions_and_names_are_rewards():
    recipe = made(model="tiny", task="arithmetic", rewards=[boxed_numeric, mine])
    assert dict(recipe.rewards) == {"boxed_numeric": 1.0, f"{__name__}:mine": 1.0}
    weighted = made(model="tiny", task="arithmetic", rewards={boxed_numeric: 1.0, "format_boxed": {"weight": 0.2}})
    assert dict(weighted.rewards) == {"boxed_numeric": 1.0, "format_boxed": 0.2}
    assert dict(made(model="tiny", task="arithmetic", rewards=mine).rewards) == {f"{__name__}:mine": 1.0}


def test_a_function_of_this_process_trains_in_it():
    def local(completions, **columns):
        return [0.0] * len(completions)

    recipe = made(model="tiny", task="arithmetic", rewards=local)
    assert settings_of(recipe, {}, Progress()).in_process
    assert not settings_of(made(model="tiny", task="arithmetic"), {}, Progress()).in_process


MISTAKES = {
    "nothing": ({}, "model and task missing; name a recipe"),
    "no model": ({"task": "arithmetic"}, "model missing"),
    "no rows": ({"model": "tiny", "task": []}, "task: questions holds no questions"),
    "texts": ({"model": "tiny", "task": ["2 + 3?"]}, "task: row 0 of questions is a str, not a dict such as"),
    "a key of a row": (
        {"model": "tiny", "task": [{**ROWS[0], ("a", "b"): 1}]},
        "task: row 0 of questions cannot be kept as JSON (keys must be str",
    ),
    "nobody's home": ({"model": "tiny", "task": "~nobody-here/q.jsonl"}, "[task] train_questions: missing"),
    "rewards of a number": ({"model": "tiny", "task": "arithmetic", "rewards": 5}, "weights, not a int"),
    "rewards in a list": ({"model": "tiny", "task": "arithmetic", "rewards": [["a"]]}, "reward of type list: give a"),
    "a number": ({"model": "tiny", "task": 5}, "must be a list of dicts or a datasets.Dataset, not a int"),
    "no such column": (
        {"model": "tiny", "task": [{"problem": "1?", "answer": "1"}, {"problem": "2?", "answer": "2"}]},
        "no field 'question' (fields here: problem, answer); name yours",
    ),
    "a table": ({"model": "tiny", "task": "arithmetic", "train": 5}, "train: must be a dict of the keys of [train]"),
    "a key": ({"model": "tiny", "task": "arithmetic", "train": {"max_step": 4}}, "did you mean 'max_steps'?"),
    "twice": (
        {"model": "tiny", "task": "arithmetic", "rewards": ["boxed_numeric", boxed_numeric]},
        "boxed_numeric is given twice",
    ),
    "a lambda": ({"model": "tiny", "task": "arithmetic", "rewards": [lambda **_: []]}, "a lambda has no name"),
    "fields": ({"model": "tiny", "task": {"name": ROWS, "fields": "problem"}}, "[task] fields: must be a table"),
    "a setting": ({"model": "tiny", "task": "arithmetic", "devise": "cpu"}, "did you mean 'device'?"),
    "a key of TRL's": (
        {"model": "tiny", "task": "arithmetic", "learning_rate": 1e-4},
        "learning_rate: no such argument; write train={'learning_rate': ...}",
    ),
    "no questions of a path": ({"model": "tiny", "task": "nowhere.jsonl"}, "[task] train_questions: missing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_before_anything_is_made(folder, mistake):
    given, says = MISTAKES[mistake]
    with pytest.raises(HarnessError, match=re.escape(says)):
        harness.run(**given)
    assert not list(folder.glob("rl-runs/[!.]*/"))
