"""What the tests of the default engine share: two ways to decode, and the answers by question and sample."""

from __future__ import annotations

from dataclasses import replace

from harness.models import generate
from harness.store.records import SamplingParams

GREEDY = SamplingParams(max_new_tokens=8, batch_size=4)
SAMPLED = SamplingParams(max_new_tokens=8, temperature=1.0, samples_per_question=3, batch_size=4)


def answers(policy, questions, decoding, **options):
    return {(a.question_id, a.sample): a for batch in generate(policy, questions, decoding, **options) for a in batch}


def with_(decoding, **changes):
    return replace(decoding, **changes)
