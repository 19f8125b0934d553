"""transformers' continuous batching on a CPU: the default engine's answers, more slowly."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import ContinuousBatchingConfig

from harness.models.engines.continuous import ContinuousEngine, _Draw
from harness.models.engines.local import TransformersEngine
from harness.models.engines.requests import requests
from harness.store.errors import ModelError
from harness.store.records import SamplingParams

pytestmark = pytest.mark.usefixtures("one_thread")

# Its name before transformers 5.18, and since.
PAGE = "page_size" if hasattr(ContinuousBatchingConfig, "page_size") else "block_size"
GREEDY = SamplingParams(max_new_tokens=12)
SAMPLED = SamplingParams(max_new_tokens=12, temperature=1.0, samples_per_question=3)


def answers(engine: Any, questions: Any, decoding: SamplingParams, skip: Any = ()) -> dict[tuple[str, int], Any]:
    return {(a.question_id, a.sample): a for batch in engine.answer(questions, decoding, skip) for a in batch}


@pytest.fixture(scope="module")
def engine(policy):
    return ContinuousEngine(policy)


@pytest.mark.parametrize(
    "decoding",
    [
        GREEDY,
        replace(GREEDY, batch_size=2),
        SAMPLED,
        replace(SAMPLED, top_p=0.8, top_k=20, temperature=0.7, batch_size=5),
    ],
)
def test_answers_are_those_of_the_default_engine(engine, policy, questions, decoding):
    found = answers(engine, questions, decoding)
    assert found == answers(TransformersEngine(policy), questions, decoding)
    assert len({each.completion for each in found.values()}) > 3, "the fixture's model should not always say the same"


def test_what_is_skipped_is_not_asked(engine, questions):
    skip = [(question.id, sample) for question in questions[1:] for sample in range(3)] + [("t/0", 1)]
    assert set(answers(engine, questions, SAMPLED, skip)) == {("t/0", 0), ("t/0", 2)}
    assert answers(engine, questions[:1], GREEDY, [("t/0", 0)]) == {}


def test_the_model_is_as_it_was_afterwards(engine, policy, questions):
    before = policy.model.config._attn_implementation, policy.model.generation_config.to_dict()
    batches = engine.answer(questions, GREEDY)
    next(batches)
    batches.close()
    assert (policy.model.config._attn_implementation, policy.model.generation_config.to_dict()) == before
    assert answers(engine, questions, GREEDY) == answers(TransformersEngine(policy), questions, GREEDY)


def test_arguments_reach_transformers_and_a_misspelt_one_is_named(policy, questions):
    few = ContinuousEngine(policy, {PAGE: 16, "num_blocks": 12, "max_batch_tokens": 64})
    assert answers(few, questions, GREEDY) == answers(TransformersEngine(policy), questions, GREEDY)
    with pytest.raises(ModelError, match=rf"\[engine\] {PAGE}s: .*did you mean '{PAGE}'"):
        ContinuousEngine(policy, {f"{PAGE}s": 16})


def test_no_height_is_one(policy, questions):
    """float32 rounds the last of a stream's numbers to 1, above every token."""
    (request,) = requests(policy, questions[:1], GREEDY, set())
    draw = _Draw({"only": request}, seed=0)
    draw._streams["only"] = SimpleNamespace(random=lambda: 1 - 2**-53)
    state = SimpleNamespace(request_id="only", position_offset=len(request.ids))
    heights = draw.prepare_tensor_args([SimpleNamespace(state=state)]).view(torch.float32)
    assert 0.9999 < heights.item() < 1
    scores = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert draw(scores, heights.view(torch.int32)).argmax().item() == 1


def test_a_cache_that_is_too_small_is_said(policy, questions):
    small = ContinuousEngine(policy, {PAGE: 16, "num_blocks": 1, "max_batch_tokens": 64})
    with pytest.raises(ModelError, match=r"continuous batching (failed|cannot start) on cpu: "):
        answers(small, questions, GREEDY)
