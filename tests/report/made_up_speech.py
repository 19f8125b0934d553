"""Completions of 840 characters, 300 tokens of a tokenizer made for English, that no model said."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PICK = random.Random(0)
_WORDS = ["".join(_PICK.choices("etaoinshrdlucmfw", k=_PICK.randint(1, 9))) for _ in range(4000)]
_WEIGHTS = [1 / (rank + 3) for rank in range(len(_WORDS))]


def words(side: str, index: int, sample: int) -> str:
    """Invented words in natural frequencies."""
    pick = random.Random(f"{side}/{index}/{sample}")
    return " ".join(pick.choices(_WORDS, _WEIGHTS, k=220))[:830] + f" \\boxed{{{index % 90}}}"


def sentences() -> list[str]:
    """The sentences of GSM8K's worked answers; none where it is not there."""
    folder = os.environ.get("RL_HARNESS_GSM8K")
    if not folder:
        return []
    lines = [line for name in ("train", "test") for line in (Path(folder) / f"{name}.jsonl").open(encoding="utf-8")]
    answers = [json.loads(line)["answer"].split("\n####")[0] for line in lines]
    return [sentence for answer in answers for sentence in answer.split("\n")]


def speech(sentences: Sequence[str]) -> Callable[[str, int, int], str]:
    """What says some of these sentences, in another order each time; :func:`words` where there are none."""

    def speak(side: str, index: int, sample: int) -> str:
        pick = random.Random(f"{side}/{index}/{sample}")
        return "\n".join(pick.choices(sentences, k=40))[:828] + f"\n\\boxed{{{index % 90}}}"

    return speak if sentences else words
