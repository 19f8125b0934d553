"""Rows of a dataset on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.store.errors import TaskError


def gsm8k_rows(split: str) -> Iterator[Mapping[str, Any]]:
    """The rows of ``openai/gsm8k`` (config ``main``), fields ``question`` and ``answer``, from the Hub or its cache.

    Raises:
        TaskError: the Hub cannot be reached and the dataset is not cached.
    """
    from datasets import load_dataset  # imports pyarrow: only when the Hub is asked

    try:
        yield from load_dataset("openai/gsm8k", "main", split=split)
    except (OSError, ValueError, RuntimeError) as error:
        reason = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise TaskError(
            f"openai/gsm8k could not be had from the Hugging Face Hub or its cache ({reason}); "
            "connect once, or give --rl-data a folder with train.jsonl and test.jsonl"
        ) from None
