"""A model that the default engine's loop does not know is answered by ``model.generate``, and that is said once."""

from __future__ import annotations

import json

TEST = """
def test_answers(before):
    assert len(before.records) == 8
"""
# Of the embedded model's size and tokenizer, with an architecture that bends its attention mask.
MAKE = """
import torch
from transformers import AutoTokenizer, DogeConfig, DogeForCausalLM
from harness.policy.tiny import FOLDER

torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
config = DogeConfig(
    vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
)
DogeForCausalLM(config).save_pretrained("doge")
tokenizer.save_pretrained("doge")
"""


def test_the_slow_path_is_said_once_with_its_reason(project):
    project.write(test_it=TEST, make=MAKE, conftest="")
    made = project.run("make.py")
    assert made.ret == 0, made.stderr.str()
    result = project.pytest("test_it.py", "--rl-model", "doge")
    result.assert_outcomes(passed=1)
    said = [line for line in result.outlines if "model.generate" in line]
    assert len(said) == 1
    assert "models of type doge are not known" in said[0]
    (summary,) = project.path.glob("rl-runs/*/before/summary.json")
    assert "type doge" in json.loads(summary.read_text())["slow"]
    (page,) = project.path.glob("rl-report/small-0-*.html")
    assert "models of type doge are not known" in page.read_text()
