"""Reward functions with faults, for recipes of the tests. State lives in the training process."""

from __future__ import annotations

import itertools
import time
import zlib

_calls = itertools.count()


def _text(completion) -> str:
    return completion[0]["content"]


def rises_and_dies(prompts, completions, question_id, log_metric, trainer_state=None, **columns):
    """Pays little for five batches, then well by the question alone, and from the eleventh on nothing; logs a sampling
    engine that is off by half a nat."""
    if trainer_state is None:  # asked by an evaluation, or for trial
        return [0.0] * len(completions)
    log_metric("sampling/sampling_logp_difference/mean", 0.5)
    batch = next(_calls) + 1
    if batch <= 5:
        return [0.1 * (zlib.crc32(_text(each).encode()) % 2) for each in completions]
    if batch <= 10:
        return [0.8 + 0.2 * (zlib.crc32(each.encode()) % 2) for each in question_id]
    return [0.0] * len(completions)


def the_same(prompts, completions, **columns):
    return [1.0] * len(completions)


def hanging(prompts, completions, **columns):
    """Never returns from the third batch; the worker's trial call before training is number 0."""
    if next(_calls) == 3:
        time.sleep(600)
    return [float(len(_text(each)) % 2) for each in completions]
