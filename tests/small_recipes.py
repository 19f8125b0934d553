"""Recipes that train in seconds on the embedded model: as the text of a file, and as changes of a shipped recipe."""

from __future__ import annotations

TRAIN = {
    "grpo": """\
method = "grpo"
per_device_train_batch_size = 16
num_generations = 4
max_steps = 4
max_completion_length = 24
logging_steps = 1
""",
    "sft": """\
method = "sft"
per_device_train_batch_size = 8
max_steps = 4
logging_steps = 1

[data]
samples_per_question = 4
""",
}
TRAIN["dpo"] = TRAIN["sft"].replace('"sft"', '"dpo"')

# Changes of tiny-arithmetic, and of tiny-arithmetic-sft or -dpo.
GRPO = {
    "task.train_questions": 24,
    "task.test_questions": 8,
    "train.per_device_train_batch_size": 16,
    "train.num_generations": 4,
    "train.max_completion_length": 24,
    "evaluate.max_new_tokens": 24,
}
SUPERVISED = {
    "task.train_questions": 16,
    "task.test_questions": 8,
    "train.per_device_train_batch_size": 4,
    "train.max_steps": 6,
    "train.save_steps": 2,
    "evaluate.max_new_tokens": 24,
    "data.samples_per_question": 8,
}


def small_recipe(method: str = "grpo", model: str = 'name = "tiny"') -> str:
    """The text of a recipe of four steps; a test replaces lines of it, or adds tables at its end."""
    return f"""\
description = "A recipe of four steps."

[model]
{model}

[task]
name = "arithmetic"
train_questions = 24
test_questions = 8

[train]
{TRAIN[method]}
[evaluate]
max_new_tokens = 24
"""
