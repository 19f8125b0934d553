"""The format reward for reasoning in tags: 1.0 for ``<think>...</think>`` and then ``<answer>...</answer>``.

DeepSeek-R1's format reward (arXiv:2501.12948, section 2.2.2): each tag once, in this order, neither empty, and nothing
but white space around them. It trains the form, and grades nothing. Where the chat template opens ``<think>`` in the
prompt, that one counts: see :mod:`harness.tasks.thought`.

    >>> format_tags(prompts=["?", "?"], completions=["<think>6 * 7</think> <answer>42</answer>", "<answer>42</answer>"])
    [1.0, 0.0]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.rewards.grader import turn_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAG = re.compile(r"</?(?:think|answer)>")
_ORDER = ["<think>", "</think>", "<answer>", "</answer>"]


def format_tags(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """1.0 for each completion that is one ``<think>`` and then one ``<answer>``, else 0.0."""
    return [float(_has_form(text)) for text in turn_texts(prompts, completions)]


def _has_form(text: str) -> bool:
    if _TAG.findall(text) != _ORDER:
        return False
    before, thought, between, answer, after = (part.strip() for part in _TAG.split(text))
    return bool(thought and answer) and not (before or between or after)


format_tags.form = "thought"  # type: ignore[attr-defined]
