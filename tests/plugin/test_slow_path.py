"""A model that the default engine's loop does not know answers and is sampled by ``model.generate``, and that is said
once."""

from __future__ import annotations

import json

from tests.inner_pytest import run

TEST = """
def test_answers(before):
    assert len(before.records) == 8


def test_trains(trained):
    assert trained.metrics
"""
# With the embedded model's tokenizer, and an architecture that the loop does not know.
MAKE = """
import torch
from transformers import AutoTokenizer, OPTConfig, OPTForCausalLM
from harness.models.tiny import FOLDER

torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
config = OPTConfig(
    vocab_size=len(tokenizer), hidden_size=32, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2,
    word_embed_proj_dim=32, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
)
OPTForCausalLM(config).save_pretrained("opt")
tokenizer.save_pretrained("opt")
"""


def test_the_slow_path_is_said_once_with_its_reason(project):
    project.write(test_it=TEST, make=MAKE, conftest="")
    made = run(["make"], project.path, {}, torch=True)
    assert made.ret == 0, made.stderr.str()
    short = ("--rl-set=health.signal=false", "--rl-set=train.max_steps=1", "--rl-in-process")
    result = project.pytest("test_it.py", "--rl-model=opt", *short, torch=True)
    result.assert_outcomes(passed=2)
    said = [line for line in result.outlines if "model.generate" in line]
    assert len(said) == 1
    assert "models of type opt are not known" in said[0]
    for stage in ("before", "train"):
        (summary,) = project.path.glob(f"rl-runs/*/{stage}/summary.json")
        assert "type opt" in json.loads(summary.read_text())["slow"]
    (page,) = project.path.glob("rl-report/small-model-opt-steps-1.html")
    assert page.read_text().count("models of type opt are not known") == 2
