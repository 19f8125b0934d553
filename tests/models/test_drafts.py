"""Drafts of an answer's next tokens: where they come from, and that no answer is another for them."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from decoding import count_tokens, model_of, ours, prompts_of, theirs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.models.engines import decode as loop
from harness.models.engines.decode import why_not
from harness.models.engines.drafts import Lookup, draft_length
from harness.models.engines.packed import _SEEN, can_pack

pytestmark = pytest.mark.usefixtures("one_thread")

PACKED = sorted(_SEEN)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], []),
        ([1, 2], []),
        ([1, 2, 3], []),
        ([1, 2, 3, 4, 5, 1, 2], [3, 4]),
        ([1, 2, 3, 1, 2, 4, 1, 2], [4, 1]),  # what came last is likelier to come again
        ([9, 2, 3, 4, 1, 2], []),  # one token is not enough
        ([7, 7, 7], [7]),
        ([7, 7], []),
    ],
)
def test_a_draft_is_what_followed_the_last_time(ids: list[int], expected: list[int]) -> None:
    assert Lookup(ids).draft(2) == expected


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 40), st.integers(1, 8))
def test_a_draft_is_the_same_however_the_sequence_came(ids: list[int], cut: int, most: int) -> None:
    grown = Lookup(ids[:cut])
    grown.extend(ids[cut:])
    places = [at for at in range(2, len(ids)) if ids[at - 2 : at] == ids[-2:]]
    assert grown.draft(most) == (ids[places[-1] :][:most] if places else [])


@pytest.mark.parametrize(("rows", "expected"), [(1, 6), (10, 6), (16, 4), (32, 2), (64, 2), (1000, 2)])
def test_fewer_sequences_get_longer_drafts(rows: int, expected: int) -> None:
    assert draft_length(rows) == expected


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        *((kind, {}, True) for kind in PACKED),
        ("gemma2", {}, False),
        ("phi3", {"attn_implementation": "eager"}, False),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, False),
        (
            "gemma3_text",
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                }
            },
            False,
        ),
        ("doge", {}, False),  # a mask of its own
        ("bloom", {}, False),
    ],
)
def test_which_models_drafts_are_computed_for(kind: str, more: dict[str, Any], expected: bool) -> None:
    assert can_pack(model_of(kind, **more).config) is expected


@pytest.mark.parametrize("kind", ["gemma2", "starcoder2"])
def test_other_models_answer_without_drafts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kind)
    prompts = [prompt * 3 for prompt in prompts_of(5, 4, 9)]
    expected = [theirs(model, prompt, 30) for prompt in prompts]
    assert why_not(model, 60) is None
    shapes = count_tokens(model, monkeypatch)
    assert ours(model, prompts, 30, 1) == expected
    assert {tokens for _, tokens in shapes if tokens < 11} == {1}


def oracle(answers: dict[tuple[int, ...], list[int]], right: float, chance: random.Random) -> Any:
    """In place of :class:`Lookup`: drafts of the model's own answers by prompt, each token right with a probability."""

    class Oracle:
        def __init__(self, ids: Any) -> None:
            self.ids = list(ids)

        def extend(self, ids: Any) -> None:
            self.ids += ids

        def draft(self, most: int) -> list[int]:
            prompt = next(each for each in answers if tuple(self.ids[: len(each)]) == each)
            rest = ([*answers[prompt], *[50] * 8])[len(self.ids) - len(prompt) :]
            own = rest[:most] if right == 1 else rest[: chance.randrange(most + 1)]
            return [each if chance.random() < right else chance.randrange(8, 100) for each in own]

    return Oracle


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize(("size", "most"), [(2, 6), (5, 6), (None, 2)])
def test_right_drafts_take_fewer_steps(kind: str, size: int | None, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kind)
    prompts = prompts_of(5, 14, 9, 7, 6)
    expected = [theirs(model, prompt, 60) for prompt in prompts]
    answers = {tuple(prompt): answer for prompt, answer in zip(prompts, expected, strict=True)}
    monkeypatch.setattr(loop, "Lookup", oracle(answers, 1.0, random.Random(0)))
    monkeypatch.setattr(loop, "draft_length", lambda rows: most)
    shapes = count_tokens(model, monkeypatch)
    assert ours(model, prompts, 60, size) == expected
    steps = [tokens for rows, tokens in shapes if rows == 1 and tokens > 1]
    needed = [math.ceil(len(answer) / (1 + most)) for answer in expected]
    assert max(needed) <= len(steps) <= sum(needed) + len(prompts), "each step should bring all that was drafted"
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", ["gemma3_text", "olmo2"])
def test_a_model_that_talks_in_circles_takes_fewer_steps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kind)
    prompts = [prompt * 3 for prompt in prompts_of(5, 4, 9, 7, 6)]
    expected = [theirs(model, prompt, 60) for prompt in prompts]
    shapes = count_tokens(model, monkeypatch)
    assert ours(model, prompts, 60) == expected
    assert len(shapes) < 60


LLAMA = model_of("llama")
PROMPTS = prompts_of(6, 3, 11, 3, 8)
ANSWERS = {tuple(prompt): theirs(LLAMA, prompt, 24) for prompt in PROMPTS}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 6),
    right=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    new=st.integers(1, 24),
)
def test_whatever_is_drafted_the_answers_stay(seed: int, size: int, right: float, new: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Lookup", oracle(ANSWERS, right, random.Random(seed)))
        assert ours(LLAMA, PROMPTS, new, size) == [ANSWERS[tuple(prompt)][:new] for prompt in PROMPTS]


def test_memory_that_runs_out_in_a_packed_step_costs_nothing_but_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drafted before counts no more, and what was taken stays."""
    monkeypatch.setattr(loop, "Lookup", oracle(ANSWERS, 0.9, random.Random(1)))
    attend, calls = torch.nn.functional.scaled_dot_product_attention, []

    def now_and_then(*given: Any, **more: Any) -> Any:
        if LLAMA.config._attn_implementation != "sdpa":  # a packed step
            calls.append(1)
            if len(calls) in (4, 9):
                raise MemoryError
        return attend(*given, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", now_and_then)
    assert ours(LLAMA, PROMPTS, 24, 4) == [ANSWERS[tuple(prompt)] for prompt in PROMPTS]
    assert len(calls) > 9
    assert LLAMA.config._attn_implementation == "sdpa"
