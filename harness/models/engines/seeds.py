"""A seed of its own for every answer, for engines that draw by themselves."""

from __future__ import annotations

import hashlib
import json


def answer_seed(seed: int, question_id: str, sample: int) -> int:
    """31 bits, which every server and library takes, from what names the answer: the same in any batch and order."""
    key = json.dumps([seed, question_id, sample])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) >> 1
