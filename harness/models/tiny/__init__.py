"""The embedded model: 0.85 M parameters that add, subtract and multiply small numbers but seldom box the answer.

The folder is an ordinary transformers checkpoint, made by :mod:`harness.models.tiny.make`. Its greedy answers end in a
plain number, so a reward for boxed answers finds it at an accuracy near 0; sampled at temperature 1.0 it boxes often
enough for GRPO to learn from, without a GPU.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""What ``from_pretrained`` takes for both the model and the tokenizer."""
