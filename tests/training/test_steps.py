"""Steps of SFT and DPO as the plan counts them, against the trainer's own count."""

from __future__ import annotations

import pytest

from harness.recipe.trl_arguments import argument_defaults, supervised_steps
from harness.training.job import Job
from harness.training.trainers import arguments, build

CASES = [  # TRL's keys, rows, steps
    ({"per_device_train_batch_size": 4}, 16, 12),
    ({"per_device_train_batch_size": 4, "num_train_epochs": 1}, 17, 5),
    ({"per_device_train_batch_size": 4, "num_train_epochs": 1, "dataloader_drop_last": True}, 17, 4),
    ({"per_device_train_batch_size": 4, "num_train_epochs": 2, "gradient_accumulation_steps": 2}, 17, 6),
    ({"per_device_train_batch_size": 4, "num_train_epochs": 0.5}, 17, 3),
    ({"per_device_train_batch_size": 4, "num_train_epochs": 1.5, "gradient_accumulation_steps": 3}, 16, 3),
    ({"per_device_train_batch_size": 32}, 1, 3),
    ({"max_steps": 7}, 16, 7),
]


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize(("keys", "rows", "steps"), CASES)
def test_steps_are_the_trainers(method, keys, rows, steps, tiny, tmp_path):
    answers = {"sft": ["completion"], "dpo": ["chosen", "rejected"]}[method]
    row = {"prompt": [{"role": "user", "content": "a"}]}
    row |= {key: [{"role": "assistant", "content": key}] for key in answers}
    job = Job(method, "tiny", "cpu", "float32", 0, {}, keys, [row] * rows)
    trainer = build(job, tiny, tmp_path)
    *_, counted = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    assert counted == steps
    assert supervised_steps({**argument_defaults(method), **keys}, rows) == steps


@pytest.mark.parametrize("method", ["grpo", "sft", "dpo"])
@pytest.mark.parametrize(("keys", "logged"), [({}, 1), ({"logging_steps": 5}, 5)])
def test_every_step_is_logged_unless_a_recipe_says_otherwise(method, keys, logged, tmp_path):
    """Health checks see logged steps alone."""
    keys = {"max_steps": 4, "per_device_train_batch_size": 8, **keys}
    job = Job(method, "tiny", "cpu", "float32", 0, {}, keys, [{"prompt": []}] * 8)
    assert arguments(job, tmp_path)["logging_steps"] == logged
