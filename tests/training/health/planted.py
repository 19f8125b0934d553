"""Reward functions with faults, for recipes of the tests. State lives in the training process."""

from __future__ import annotations

import itertools
import time
import zlib

_calls = itertools.count()  # the worker's trial call before training is number 0


def _text(completion) -> str:
    return completion[0]["content"]


def collapsing(prompts, completions, log_metric=None, **columns):
    """Pays almost everyone, and from the seventh batch on no one; logs a sampling engine that is off by half a nat."""
    if log_metric is not None:
        log_metric("sampling/sampling_logp_difference/mean", 0.5)
    if next(_calls) > 6:
        return [0.0] * len(completions)
    return [1.0 - 0.1 * (zlib.crc32(_text(each).encode()) % 2) for each in completions]


def by_question(prompts, completions, question_id, **columns):
    """Varied for six batches; then every completion to a question gets the same, whatever it says."""
    if next(_calls) > 6:
        return [float(zlib.crc32(each.encode()) % 2) for each in question_id]
    return [float(zlib.crc32(_text(each).encode()) % 2) for each in completions]


def hanging(prompts, completions, **columns):
    """Never returns from the third batch."""
    if next(_calls) == 3:
        time.sleep(600)
    return [float(len(_text(each)) % 2) for each in completions]
