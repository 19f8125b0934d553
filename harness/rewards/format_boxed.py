r"""The format reward: 1.0 for an answer in a box, whatever the answer. It trains the form, and grades nothing.

One closed, non-empty ``\boxed{}`` behind the thought is enough, and more are no worse: graders take the first or the
last.

    >>> format_boxed(prompts=["?", "?"], completions=[r"\boxed{7}", "7"])
    [1.0, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.rewards.grader import turn_texts
from harness.tasks.boxes import last_boxed
from harness.tasks.thought import behind_thought

if TYPE_CHECKING:
    from collections.abc import Sequence


def format_boxed(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    r"""1.0 for each completion with a closed, non-empty ``\boxed{}``, else 0.0."""
    return [float(last_boxed(behind_thought(text)) is not None) for text in turn_texts(prompts, completions)]


format_boxed.form = "box"  # type: ignore[attr-defined]
