"""GRPO with each prompt computed once: the draws of the trainer, sooner; and what is left to the trainer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from harness.catalog import find_recipe
from harness.pipeline import Run, Settings
from harness.policy import load_policy
from harness.policy.engines.decode import plain
from harness.runs import read_lines
from harness.training.sampling import can_sample, sample

QUESTION = [{"role": "user", "content": "Tom has 4 apples and gets 3 more. How many has he?"}]


@pytest.fixture
def trainer(tmp_path):
    """``trainer(**arguments)``: TRL's own trainer around the embedded model."""

    def make(**arguments):
        policy = load_policy("tiny", device="cpu")
        settings = {"num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 24, **arguments}
        return GRPOTrainer(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=[lambda completions, **_: [0.0] * len(completions)],
            args=GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", **settings),
            train_dataset=Dataset.from_list([{"prompt": QUESTION}] * 4),
        )

    return make


def prompt_ids(trainer):
    return trainer.processing_class.apply_chat_template(QUESTION, add_generation_prompt=True)["input_ids"]


def drawn(trainer, prompts):
    torch.manual_seed(7)
    ours = sample(trainer, prompts)
    torch.manual_seed(7)
    theirs, _ = trainer._generate_single_turn(prompts, None, {}, 4)
    return ours, theirs


@pytest.mark.parametrize("asked", [{}, {"temperature": 0.6, "top_p": 0.9, "top_k": 12}])
def test_a_single_completion_is_the_very_one_that_the_trainer_draws(trainer, asked):
    made = trainer(**asked)
    ours, theirs = drawn(made, [prompt_ids(made)])
    assert ours == theirs


def test_shares_of_first_tokens_are_those_of_the_policy(trainer):
    """2,000 draws at once: each token's share is within 4 standard errors of its probability."""
    made = trainer(max_completion_length=1)
    ids, count = prompt_ids(made), 2000
    torch.manual_seed(0)
    first = torch.tensor([new[0] for new in sample(made, [ids] * count)])
    with torch.no_grad():
        shares = made.model(torch.tensor([ids])).logits[0, -1].softmax(-1)
    found = torch.bincount(first, minlength=len(shares)) / count
    assert torch.all((found - shares).abs() <= 4 * (shares * (1 - shares) / count).sqrt() + 1e-3)


def test_log_probabilities_of_sampled_tokens_agree(trainer, monkeypatch):
    """What the loop drew from is what the trainer will compute for the same tokens, padded as it pads them."""
    from harness.training import sampling

    made, seen = trainer(), {}

    class Noting(sampling.Drawn):
        def __call__(self, scores, rows):
            tokens = super().__call__(scores, rows)
            chosen = scores.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
            for row, value in zip(rows, chosen.tolist(), strict=True):
                seen.setdefault(row, []).append(value)
            return tokens

    monkeypatch.setattr(sampling, "Drawn", Noting)
    ids = prompt_ids(made)
    for index, new in enumerate(sample(made, [ids] * 8)):
        with torch.no_grad():
            scores = made.model(torch.tensor([ids + new])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        expected = scores.gather(1, torch.tensor(new)[:, None])[:, 0]
        assert torch.tensor(seen[index]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("asked", "possible"),
    [
        ({}, True),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 5}, True),
        ({"gradient_checkpointing": True}, True),
        ({"min_p": 0.1}, False),
        ({"repetition_penalty": 1.2}, False),
        ({"generation_kwargs": {"num_beams": 2}}, False),
        ({"cache_implementation": "static"}, False),
        ({"use_vllm": True}, False),
        ({"use_transformers_continuous_batching": True}, False),
    ],
)
def test_what_is_left_to_the_trainer(trainer, asked, possible):
    made = trainer()
    made.args = SimpleNamespace(**{**vars(made.args), **asked})
    assert can_sample(made) is possible


def test_a_peft_wrapper_is_looked_through(trainer):
    peft = pytest.importorskip("peft")
    made = trainer()
    made.model = peft.get_peft_model(made.model, peft.LoraConfig(target_modules="all-linear"))
    assert can_sample(made)
    assert plain(made.model) is made.model.get_base_model()


@pytest.mark.parametrize("sampling", ["shared", "trl"])
def test_the_recipe_says_who_samples(tmp_path, monkeypatch, sampling):
    from harness.training import grpo

    calls = []
    monkeypatch.setattr(grpo, "sample", lambda *given: calls.append(1) or sample(*given))
    changes = {
        "task.train_questions": 16,
        "train.max_steps": 2,
        "engine.sampling": sampling,
        "health.signal": False,
    }
    run = Run(find_recipe("tiny-arithmetic").override(changes), 0, Settings(runs_dir=tmp_path, in_process=True))
    trained = run.trained()
    assert (len(calls) > 0) is (sampling == "shared")
    rows = list(read_lines(trained.directory / "completions.jsonl"))
    assert len(rows) == trained.summary["completions"] == 2 * 64
    assert all(row["finish_reason"] in ("stop", "length") for row in rows)
