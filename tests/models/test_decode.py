"""The engine's loop against ``model.generate``, over architectures and in every order of coming and going."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoding import ENDS, count_tokens, model_of, ours, prompts_of, theirs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from harness.models.engines.decode import KNOWN, _common_beginning, why_not
from harness.models.engines.machine import BatchSize
from harness.models.engines.sampling import Drawn, warpers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_models_that_are_known_answer_as_by_generate(kind: str) -> None:
    model = model_of(kind)
    prompts = prompts_of(5, 1, 23, 9, 9, 2)
    assert why_not(model, 23 + 40) is None
    expected = [theirs(model, prompt, 40) for prompt in prompts]
    for size in (1, 3, None):
        assert ours(model, prompts, 40, size) == expected


@pytest.mark.parametrize(
    ("kind", "more", "longest"),
    [
        ("mistral", {"sliding_window": 16}, 17),
        ("gemma3_text", {"sliding_window": 16}, 17),
        ("mamba", {"state_size": 4}, 10),
        ("bloom", {"n_layer": 2, "n_head": 4}, 10),
        ("doge", {}, 10),  # takes the same arguments, and attends otherwise
        ("bert", {}, 10),
    ],
)
def test_models_that_are_left_to_generate(kind: str, more: dict[str, Any], longest: int) -> None:
    assert why_not(model_of(kind, **more), longest)


def test_a_window_that_no_sequence_fills_is_no_hindrance() -> None:
    assert why_not(model_of("mistral", sliding_window=16), 16) is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=9),
    copies=st.integers(1, 4),
    beginning=st.sampled_from([0, 20]),
    size=st.integers(1, 12),
    new=st.integers(1, 30),
)
def test_every_prompt_is_continued_once_whatever_the_batch(
    lengths: list[int], copies: int, beginning: int, size: int, new: int
) -> None:
    prompts = [prompt for prompt in prompts_of(*lengths, beginning=beginning) for _ in range(copies)]
    model = LLAMA
    alone = {tuple(prompt): ours(model, [prompt], new)[0] for prompt in prompts}
    assert ours(model, prompts, new, size) == [alone[tuple(prompt)] for prompt in prompts]


LLAMA = model_of("llama")


def test_a_prompt_is_computed_once_for_all_its_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    shapes = count_tokens(model, monkeypatch)
    ours(model, [prompt for prompt in prompts_of(30, 20) for _ in range(8)], 4, sampler=Drawn(warpers(1.0, 1.0, 0)))
    assert shapes[:2] == [(2, 29), (16, 1)]


def test_a_common_beginning_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    prompts = prompts_of(3, 5, 4, beginning=40)
    expected = [theirs(model, prompt, 6) for prompt in prompts]
    shapes = count_tokens(model, monkeypatch)
    assert ours(model, prompts, 6) == expected
    assert shapes[:2] == [(1, 40), (3, 4)]


def test_finished_sequences_leave_and_others_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    prompts = prompts_of(*range(3, 23))
    lengths = [len(theirs(model, prompt, 40)) for prompt in prompts]
    assert len(set(lengths)) > 3, "the model should not end all answers at once"
    shapes = count_tokens(model, monkeypatch)
    ours(model, prompts, 40, 8)
    steps = [rows for rows, tokens in shapes if tokens == 1]
    assert sum(steps) == sum(lengths), "no row is computed that is not needed"
    assert max(steps) == 8


def test_sampling_draws_from_what_generate_draws_from() -> None:
    """4,000 first tokens: each one's share is within 4 standard errors of what ``model.generate`` draws it with."""
    model, (prompt,) = model_of("qwen2"), prompts_of(12)
    asked = {"temperature": 0.7, "top_p": 0.9, "top_k": 20}
    ids = torch.tensor([prompt])
    config = GenerationConfig(max_new_tokens=1, do_sample=True, eos_token_id=ENDS, pad_token_id=0, **asked)
    more = {"output_scores": True, "return_dict_in_generate": True}
    made = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config, **more)
    shares, count = made.scores[0][0].softmax(-1), 4000
    assert 2 < (shares > 0).sum() <= 20
    torch.manual_seed(5)
    drawn = [new[0] for new in ours(model, [prompt] * count, 1, size=500, sampler=Drawn(warpers(0.7, 0.9, 20)))]
    found = torch.bincount(torch.tensor(drawn), minlength=len(shares)) / count
    assert torch.all((found - shares).abs() <= 4 * (shares * (1 - shares) / count).sqrt())


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ([], []),
        ([[1] * 20], []),
        ([[1] * 20, [1] * 20], []),
        ([[1] * 20 + [2], [1] * 20 + [3, 4]], [1] * 20),
        ([[1] * 15 + [2], [1] * 15 + [3]], []),
        ([[1] * 20, [1] * 20 + [3]], [1] * 19),  # a token of each prompt is left for the first step
    ],
)
def test_the_beginning_that_prompts_share(prompts: list[list[int]], expected: list[int]) -> None:
    assert _common_beginning(prompts) == expected


class TestBatchSize:
    def test_a_fixed_size_never_grows(self) -> None:
        size = BatchSize(8, "cpu")
        for _ in range(100):
            size.observe(8, 1.0, waiting=1000)
        assert size.limit == 8

    @pytest.mark.parametrize(
        ("seconds_per_step", "expected"),
        [
            (lambda rows: 1.0, 4096),  # a step costs the same, however many rows
            (lambda rows: rows / 100, 64),  # twice the rows take twice as long
            (lambda rows: max(1.0, rows / 256), 256),
        ],
    )
    def test_it_grows_as_long_as_that_pays(self, seconds_per_step: Any, expected: int) -> None:
        size = BatchSize(None, "cpu")
        for _ in range(500):
            size.observe(size.limit, seconds_per_step(size.limit), waiting=10_000)
        assert size.limit == expected

    def test_it_does_not_grow_for_nothing(self) -> None:
        size = BatchSize(None, "cpu")
        for _ in range(100):
            size.observe(64, 1.0, waiting=0)
            size.observe(10, 1.0, waiting=1000)
        assert size.limit == 64

    def test_memory_sets_the_ceiling(self) -> None:
        size = BatchSize(None, "cpu")
        size.fit(100)
        for _ in range(500):
            size.observe(size.limit, 1.0, waiting=10_000)
        assert size.limit == 100
        assert size.shrink(100)
        assert size.limit == 50
        assert not BatchSize(1, "cpu").shrink(1)
