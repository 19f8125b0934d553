"""Recipes whose method, data, adapter or lineage can never work: one a row, and the sentence that it gets."""

# ruff: noqa: E501 (one recipe a row)

from __future__ import annotations

from pathlib import Path

import pytest

from harness.recipe import load_recipe
from harness.store.errors import RecipeError
from tests.wrong_recipes import told

RIGHT = """description = "right"

[model]
name = "tiny"

[task]
name = "arithmetic"
train_questions = 20
test_questions = 10

[train]
method = "sft"
learning_rate = 1e-4

[data]
source = "completions"

[lora]
r = 8
"""

WRONG = [
    # the method
    ('method = "sft"', 'method = "grpo"', "15: data: GRPO learns from what it samples itself; drop this table, or write method = \"sft\" or \"dpo\" under [train]"),
    ('method = "sft"', 'method = "SFT"', "12: [train] method: must be 'grpo', 'sft' or 'dpo', not 'SFT'"),
    ("learning_rate = 1e-4", "num_generations = 8", "13: [train] num_generations: unknown key of TRL's sft config; it is one of grpo's"),
    ("learning_rate = 1e-4", "pakcing = true", "13: [train] pakcing: unknown key of TRL's sft config; did you mean 'packing'?"),
    ("learning_rate = 1e-4", "per_device_train_batch_size = 0", "13: [train] per_device_train_batch_size: must be a whole number of 1 or more, not 0"),
    ("learning_rate = 1e-4", 'packing = "yes"', "13: [train] packing: must be true or false without quotes, not 'yes'"),
    ("learning_rate = 1e-4", "assistant_only_loss = true", "13: [train] assistant_only_loss: not set here: the last turn of a chat is learnt, and every other one is its prompt"),
    ("learning_rate = 1e-4", 'eos_token = "x"', "13: [train] eos_token: not set here: answers are put into tokens as the policy is asked, with its own chat template and its own end"),
    ("learning_rate = 1e-4", "chat_template_kwargs = {}", "13: [train] chat_template_kwargs: belongs to [model], so that every stage asks the same prompt"),
    ("learning_rate = 1e-4", 'truncation_mode = "keep_end"', "13: [train] truncation_mode: \"keep_end\" cuts the beginning off prompts that every other stage asks whole; write \"keep_start\""),
    ("learning_rate = 1e-4", "seed = 1", "13: [train] seed: not set here: write seeds = [..] at the top of the recipe"),
    ('method = "sft"', 'method = "dpo"\nnum_generations = 4', "13: [train] num_generations: unknown key of TRL's dpo config; it is one of grpo's"),
    # its data
    ('source = "completions"', 'source = "solutons"', "16: [data] source: must be \"completions\", \"solutions\" or the path of a .jsonl file, not 'solutons'"),
    ('source = "completions"', "souce = 'x'", "16: [data] souce: unknown key; did you mean 'source'?"),
    ('source = "completions"', "temperature = 0", "15: [data] samples_per_question: 8 greedy answers to a question are the same answer; set temperature above 0 or samples_per_question = 1"),
    ('source = "completions"', "per_question = 0", "16: [data] per_question: must be 1 or more, not 0"),
    ('method = "sft"\nlearning_rate = 1e-4\n\n[data]\nsource = "completions"', 'method = "dpo"\n[data]\nsource = "solutions"', "14: [data] source: DPO learns from pairs, and worked solutions are right ones alone; write source = \"completions\", or a file with chosen and rejected answers"),
    ('method = "sft"\nlearning_rate = 1e-4\n\n[data]\nsource = "completions"', 'method = "dpo"\n[data]\nsamples_per_question = 1', "14: [data] samples_per_question: a pair takes two answers to a question: give 2 or more, not 1"),
    # its adapter
    ("r = 8", "r = 0", "19: [lora] r: must be 1 or more, not 0"),
    ("r = 8", "dropout = 1", "19: [lora] dropout: must be less than 1, not 1"),
    ("r = 8", "target_modules = []", "19: [lora] target_modules: must not be empty, not []"),
    ("r = 8", "target_modules = 3", "19: [lora] target_modules: must be a list in [brackets], not 3"),
    ("r = 8", "rank = 8", "19: [lora] rank: unknown key; valid: alpha, dropout, merge, r, target_modules"),
    # what it starts from
    ('name = "tiny"', "", "3: [model] name: missing; this key is required"),
    ('name = "tiny"', 'from_recipe = "nobody"', "4: [model] from_recipe: no recipe named 'nobody'; "),
    ('name = "tiny"', 'from_recipe = "parnt"', "4: [model] from_recipe: no recipe named 'parnt'; did you mean 'parent'? (or give a .toml file)"),
    ('name = "tiny"', 'from_recipe = "parent.toml"', "4: [model] from_recipe: 'parent.toml' is a file; write the recipe's name, without .toml"),
    ('name = "tiny"', 'from_recipe = "wrong"', "4: [model] from_recipe: wrong starts from wrong: no recipe can start from itself"),
    ('name = "tiny"', 'from_recipe = "round"', "4: [model] from_recipe: wrong starts from round starts from wrong: no recipe can start from itself"),
    ('name = "tiny"', 'from_recipe = "other-round"', "4: [model] from_recipe: wrong starts from other-round starts from other-round-2 starts from other-round: no recipe can start from itself"),
    ('name = "tiny"', 'from_recipe = "parent"\nname = "other"', "4: [model] from_recipe: parent starts from the model 'tiny', and name says 'other'; drop name, or one of the two"),
    ('name = "tiny"', 'from_recipe = "parent"\nchat_template_kwargs = { enable_thinking = false }', "4: [model] from_recipe: parent is trained with chat_template_kwargs = {}, and this recipe says {'enable_thinking': False}; write the same under [model] of both, so that every stage asks the same prompt"),
    ('name = "tiny"', 'from_recipe = "thinks"', "4: [model] from_recipe: thinks is trained with chat_template_kwargs = {'enable_thinking': True}, and this recipe says {}; write the same under [model] of both, so that every stage asks the same prompt"),
    ('name = "tiny"', "from_recipe = 3", "4: [model] from_recipe: must be text in quotes, not 3"),
]  # fmt: skip

BESIDE = {
    "parent": 'name = "tiny"',
    "thinks": 'name = "tiny"\nchat_template_kwargs = { enable_thinking = true }',
    "round": 'from_recipe = "wrong"',
    "other-round": 'from_recipe = "other-round-2"',
    "other-round-2": 'from_recipe = "other-round"',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, model in BESIDE.items():
        (tmp_path / f"{name}.toml").write_text(RIGHT.replace('name = "tiny"', model))
    return tmp_path


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[f"{new!r}"[:48] for _, new, _ in WRONG])
def test_wrong_recipes(folder: Path, old: str, new: str, message: str) -> None:
    assert told(folder, RIGHT, old, new).startswith(message)


def test_a_wrong_parent_is_named_with_its_own_place(folder: Path) -> None:
    (folder / "parent.toml").write_text(RIGHT.replace("r = 8", "r = 0"))
    path = folder / "child.toml"
    path.write_text(RIGHT.replace('name = "tiny"', 'from_recipe = "parent"'))
    with pytest.raises(RecipeError, match=r"parent.toml:19: \[lora\] r: must be 1 or more, not 0"):
        load_recipe(path)


def test_right_recipes_read_back(folder: Path) -> None:
    path = folder / "child.toml"
    same = 'from_recipe = "thinks"\n[model.chat_template_kwargs]\nenable_thinking = true'
    for model in ('from_recipe = "parent"', 'from_recipe = "parent"\nname = "tiny"', same):
        path.write_text(RIGHT.replace('name = "tiny"', model))
        recipe = load_recipe(path)
        assert recipe.model.from_recipe in model
        again = folder / "again.toml"
        again.write_text(recipe.to_toml())
        assert load_recipe(again).model_copy(update={"name": recipe.name, "source": path}) == recipe


def test_data_and_adapter_can_be_overridden_where_they_are_left_out(folder: Path) -> None:
    path = folder / "plain.toml"
    path.write_text(RIGHT.partition("[data]")[0])
    recipe = load_recipe(path)
    assert recipe.lora is None
    assert recipe.data is not None
    assert recipe.data.samples_per_question == 8
    changed = recipe.override({"lora.r": 4, "data.samples_per_question": 2})
    assert changed.lora is not None
    assert changed.lora.r == 4
    assert changed.data is not None
    assert changed.data.samples_per_question == 2


def test_limited_supervised_recipes_need_one_question(folder: Path) -> None:
    path = folder / "plain.toml"
    path.write_text(RIGHT)
    assert load_recipe(path).limited(1).task.train_questions == 1
