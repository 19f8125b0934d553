"""A penalty on repeated n-grams, 0 down to -1: minus the share of a completion's n-grams that it had already.

``distinct n-grams / all n-grams - 1``, as in "Demystifying Long Chain-of-Thought Reasoning" (arXiv:2502.03373,
appendix C.2); the n-grams are of words here and not of tokens, so that kept answers can be graded without a tokenizer.

    >>> repetition_penalty(["?"] * 2, ["we add two and then four", "wait wait wait wait wait"], ngram_size=2)
    [0.0, -0.75]
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.rewards.grader import completion_text
from harness.store.errors import RewardError

if TYPE_CHECKING:
    from collections.abc import Sequence


def repetition_penalty(
    prompts: Sequence[Any], completions: Sequence[Any], *, ngram_size: int = 3, **columns: Any
) -> list[float | None]:
    """Minus the repeated share of each completion's n-grams; 0.0 where it has fewer than ``ngram_size`` words.

    Raises ``RewardError`` where ``ngram_size`` is not a whole number of 1 or more.
    """
    if type(ngram_size) is not int or ngram_size < 1:
        raise RewardError(f"ngram_size must be a whole number of 1 or more, not {ngram_size!r}")
    return [_repeated(completion_text(completion).split(), ngram_size) for completion in completions]


def _repeated(words: list[str], size: int) -> float:
    total = len(words) - size + 1
    if total < 2:
        return 0.0
    distinct = len(set(zip(*(islice(words, start, None) for start in range(size)), strict=False)))
    return distinct / total - 1
