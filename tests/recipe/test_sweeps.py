"""Several values for one key: which lists are values, and which are several recipes."""

from __future__ import annotations

import pytest

from harness.recipe import load_recipe, parse_changes, sweep
from harness.store.errors import RecipeError
from tests.small_recipes import small_recipe


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "small.toml").write_text(
        small_recipe() + "[rewards]\nboxed_numeric = 1.0\n[health]\ntruncation = 0.5\n"
    )
    return load_recipe(tmp_path / "small.toml")


# What is given, and the values of its key, one a recipe.
GIVEN = {
    "train.learning_rate=[1e-6, 5e-6]": [1e-6, 5e-6],
    "train.learning_rate=1e-6": [1e-6],
    "evaluate.max_new_tokens=[8, 16]": [8, 16],
    "model.name=['tiny', 'org/other']": ["tiny", "org/other"],
    "rewards.format_boxed=[0.0, 0.2]": [0.0, 0.2],
    "train.optim=['adamw_torch', 'sgd']": ["adamw_torch", "sgd"],
    # lists that are values
    "seeds=[0, 1]": [[0, 1]],
    "health.stop_on=['truncation']": [["truncation"]],
    "train.report_to=['none']": [["none"]],
    "train.optim_target_modules=['a']": [["a"]],
    "task.operations=['add']": [["add"]],
    "model.chat_template_kwargs.effort=[1, 2]": [[1, 2]],
}


@pytest.mark.parametrize("given", GIVEN)
def test_a_list_is_several_values_where_the_key_takes_one(recipe, given):
    made = sweep(recipe, parse_changes([given]))
    assert [each.value(given.partition("=")[0]) for each in made] == GIVEN[given]
    assert all(bool(each.swept) == (len(made) > 1) for each in made)


def test_several_keys_are_every_combination(recipe):
    made = sweep(recipe, {"train.beta": [0.0, 0.1], "train.learning_rate": [1e-6, 5e-6], "train.max_steps": 2})
    values = [[each.value(f"train.{key}") for key in ("beta", "learning_rate", "max_steps")] for each in made]
    assert values == [[0.0, 1e-6, 2], [0.0, 5e-6, 2], [0.1, 1e-6, 2], [0.1, 5e-6, 2]]
    assert {each.swept for each in made} == {("train.beta", "train.learning_rate")}
    assert made[0].limited(4).swept == made[0].swept


MISTAKES = {
    "train.learning_rate=[1e-6, 'fast']": r"learning_rate: must be a number without quotes, not 'fast' "
    r"\(under --rl-set train.learning_rate=.* with train.learning_rate='fast'\)",
    "evaluate.max_new_tokens=[8, 0]": r"max_new_tokens: must be 1 or more, not 0 .*with evaluate.max_new_tokens=0\)",
    "train.learning_rate=[]": r"train.learning_rate: \[\] has no value; each is a run of its own",
    "train.learning_rate=[1, 1]": r"train.learning_rate: \[1, 1\] names a value twice; each is a run of its own",
    "train.learning_rat=[1, 2]": r"unknown key of TRL's grpo config; did you mean 'learning_rate'\?",
    "train.method=['grpo', 'ppo']": r"\[train\] method: must be 'grpo', 'sft' or 'dpo', not 'ppo'",
}


@pytest.mark.parametrize("given", MISTAKES)
def test_a_bad_value_is_named_with_its_key(recipe, given):
    with pytest.raises(RecipeError, match=MISTAKES[given]):
        sweep(recipe, parse_changes([given]), [f"--rl-set {given}"])
