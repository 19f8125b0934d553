"""GRPO with each prompt computed once: the distribution of the trainer, sooner; and what is left to the trainer."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from harness.models import load_policy
from harness.models.engines.decode import unwrapped
from harness.training import rollout, trainers
from harness.training.rollout import can_sample, sample, why_slow
from tests.training.jobs import run_of

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


@pytest.mark.parametrize("asked", [{"temperature": 5.0}, {"temperature": 9.0, "top_p": 0.9, "top_k": 12}])
def test_shares_of_first_tokens_are_those_that_the_trainer_draws_with(trainer, asked):
    """2,000 draws at once: each token's share is within 4 standard errors of its probability."""
    made = trainer(**asked)
    ids, count = prompt_ids(made), 2000
    torch.manual_seed(0)
    made.args.max_completion_length = 1
    first = torch.tensor([new[0] for new in sample(made, [ids] * count)])
    config = copy.deepcopy(made.generation_config)
    config.update(max_new_tokens=1, output_scores=True, return_dict_in_generate=True)
    shares = made.model.generate(torch.tensor([ids]), generation_config=config).scores[0][0].softmax(-1)
    assert shares.max() < 0.95, "the case should not be a certain one"
    found = torch.bincount(first, minlength=len(shares)) / count
    assert torch.all((found - shares).abs() <= 4 * (shares * (1 - shares) / count).sqrt() + 1e-3)


def test_log_probabilities_of_sampled_tokens_agree(trainer, monkeypatch):
    """What the loop drew from is what the trainer will compute for the same tokens, padded as it pads them."""
    made, seen = trainer(), {}

    class Noting(rollout.Drawn):
        def __call__(self, scores, rows):
            tokens = super().__call__(scores, rows)
            chosen = scores.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
            for row, value in zip(rows, chosen.tolist(), strict=True):
                seen.setdefault(row, []).append(value)
            return tokens

    monkeypatch.setattr(rollout, "Drawn", Noting)
    ids = prompt_ids(made)
    for index, new in enumerate(sample(made, [ids] * 8)):
        with torch.no_grad():
            scores = made.model(torch.tensor([ids + new])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        expected = scores.gather(1, torch.tensor(new)[:, None])[:, 0]
        assert torch.tensor(seen[index]) == pytest.approx(expected, abs=1e-4)


def test_what_is_left_to_the_trainer(trainer):
    made = trainer()
    arguments = vars(made.args)
    for asked in ({}, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"gradient_checkpointing": True}):
        made.args = SimpleNamespace(**{**arguments, **asked})
        assert can_sample(made), asked
    for key, value in {
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "generation_kwargs": {"num_beams": 2},
        "cache_implementation": "static",
        "use_vllm": True,
        "use_transformers_continuous_batching": True,
    }.items():
        made.args = SimpleNamespace(**{**arguments, key: value})
        assert not can_sample(made), key


def test_prompts_that_a_window_cuts_are_left_to_the_trainer(trainer, monkeypatch):
    """The window holds a completion, but not a prompt with one."""
    made = trainer(max_completion_length=8)
    ids = prompt_ids(made)
    made.model.config.layer_types = ["sliding_attention"] * made.model.config.num_hidden_layers
    made.model.config.sliding_window = len(ids) + 4
    made.model.model.has_sliding_layers = True
    assert why_slow(made, []) is None
    assert why_slow(made, [ids[:4]]) is None
    monkeypatch.setattr(trainers, "sample", lambda *_: pytest.fail("the loop was asked"))
    made.__class__, made.shares_prompts = trainers.GRPO, True
    completions, _ = made._generate_single_turn([ids], None, {}, 1)
    assert 0 < len(completions[0]) <= 8
    assert made.slow == why_slow(made, [ids[:4], ids])
    assert "look back less far" in made.slow


def test_a_peft_wrapper_is_looked_through(trainer):
    peft = pytest.importorskip("peft")
    made = trainer()
    made.model = peft.get_peft_model(made.model, peft.LoraConfig(target_modules="all-linear"))
    assert why_slow(made, []) is None
    assert unwrapped(made.model) is made.model.get_base_model()


@pytest.mark.parametrize("sampling", ["shared", "trl"])
def test_the_recipe_says_who_samples(tmp_path, monkeypatch, sampling):
    calls = []
    monkeypatch.setattr(trainers, "sample", lambda *given: calls.append(1) or sample(*given))
    trained = run_of(tmp_path, train__max_steps=1, engine__sampling=sampling).trained()
    assert bool(calls) is (sampling == "shared")
    assert len(trained.completions) == trained.summary.completions == 16
    assert all(row.finish_reason in ("stop", "length") for row in trained.completions)
