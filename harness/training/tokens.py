"""Answers in tokens, as the policy itself would have given them: after the header of the answer, up to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

from harness.store.errors import TrainingError
from harness.tasks.forms import CLOSING, OPENING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.models import Policy
    from harness.tasks import Message

_PROBE = "An answer."


def end_token(policy: Policy) -> int:
    """The token that ends an answer: the one that the chat template writes after it, if generation stops there, and
    else the tokenizer's own end."""
    try:
        text = policy.render(
            [{"role": "user", "content": "A question?"}, {"role": "assistant", "content": _PROBE}], answered=True
        )
    except jinja2.TemplateError:
        text = ""
    _, answered, rest = text.rpartition(_PROBE)
    if answered and rest:
        first = policy.tokenizer(rest, add_special_tokens=False)["input_ids"][0]
        if first in policy.eos_token_ids:
            return int(first)
    own = policy.tokenizer.eos_token_id
    return int(own) if own is not None else min(policy.eos_token_ids)


def answer_tokens(policy: Policy, prompt: Sequence[Message], text: str, end: int | None) -> list[int]:
    """The token ids of an answer behind the prompt of a chat, ended by ``end`` (``None``: it goes on)."""
    if opened := policy.opened_thought(prompt):
        text = _goes_on(text, opened)
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids if end is None else [*ids, end]


def _goes_on(text: str, opened: str) -> str:
    """An answer as it goes on behind the ``<think>`` that the prompt has: without its own, and one without a thought
    behind an empty one, since in the thought it would be none."""
    if text.startswith(OPENING):
        return text.removeprefix(opened) if text.startswith(opened) else text.removeprefix(OPENING).lstrip()
    return text if CLOSING in text else f"{CLOSING}\n\n{text}"


def check_lengths(policy: Policy, lengths: Sequence[int]) -> None:
    """Raise ``TrainingError`` where a row has more tokens than the model can hold."""
    limit, longest = policy.context_length, max(lengths)
    if limit is not None and longest > limit:
        row = lengths.index(longest) + 1
        raise TrainingError(
            f"line {row} of train/data.jsonl has {longest} tokens and {policy.name} can hold {limit}; "
            "leave it out, or set max_length under [train] to have it cut"
        )
