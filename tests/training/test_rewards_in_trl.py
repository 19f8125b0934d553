"""The reward functions are TRL's kind: a user's own GRPOTrainer takes them as they are."""

from __future__ import annotations

import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from harness.models import load_policy
from harness.rewards import boxed_exact, boxed_numeric, format_boxed
from harness.tasks.arithmetic import arithmetic_questions


def test_plain_grpo_trainer_takes_them(tmp_path):
    """With prompts in plain text: everywhere else they are chats."""
    policy = load_policy("tiny", device="cpu")
    rows = [{"prompt": each.text, "ground_truth": each.ground_truth} for each in arithmetic_questions("train", 8)]
    functions = [boxed_numeric, boxed_exact, format_boxed]
    kept: list[tuple] = []

    def keeps(prompts, completions, ground_truth, **columns):
        kept.append((prompts, completions, ground_truth))
        return [0.0] * len(completions)

    trainer = GRPOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        reward_funcs=[*functions, keeps],
        train_dataset=Dataset.from_list(rows),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=8,
            num_generations=4,
            max_steps=1,
            max_completion_length=24,
            logging_steps=1,
            use_cpu=True,
            bf16=False,
            report_to="none",
            save_strategy="no",
        ),
    )
    trainer.train()
    (logged,) = [row for row in trainer.state.log_history if "loss" in row]
    ((prompts, completions, truths),) = kept
    for function in functions:
        values = function(prompts, completions, ground_truth=truths)
        assert logged[f"rewards/{function.__name__}/mean"] == pytest.approx(sum(values) / 8)
    assert logged["rewards/format_boxed/mean"] > 0, "nothing is in a box: nothing was compared"
