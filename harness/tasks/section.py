"""The table ``[task]`` of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from harness.store.table import Positive, Table


class TaskSection(Table):
    """``[task]``: ``"arithmetic"``, ``"gsm8k"``, or the path of a JSONL file or folder; see :mod:`harness.tasks`.

    Without a ``system_prompt``, the form of answers that the rewards read is asked for; ``""`` is none.
    """

    name: str
    train_questions: Positive
    test_questions: Positive
    system_prompt: str | None = None
    few_shot: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    fields: Mapping[str, str] = Field(default_factory=dict)
    operations: list[Literal["add", "subtract", "multiply"]] = ["add", "subtract", "multiply"]
    largest: Positive = 12
