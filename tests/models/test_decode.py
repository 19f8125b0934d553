"""The engine's loop against ``model.generate``, over architectures and in every order of coming and going."""

from __future__ import annotations

import pytest
import torch
from decoding import ENDS, count_tokens, model_of, ours, prompts_of, theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from harness.models.engines.decode import KNOWN, _common_beginning, why_not
from harness.models.engines.machine import BatchSize
from harness.models.engines.sampling import Drawn, warpers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_models_that_are_known_answer_as_by_generate(kind):
    """Two rows at once: prompts of other lengths enter as answers end."""
    model = model_of(kind)
    prompts = prompts_of(5, 1, 23, 9)
    assert why_not(model, 23 + 12) is None
    assert ours(model, prompts, 12, 2) == [theirs(model, prompt, 12) for prompt in prompts]


@pytest.mark.parametrize(
    ("kind", "more", "longest", "known"),
    [
        ("mistral", {"sliding_window": 16}, 16, True),  # no sequence fills its window
        ("mistral", {"sliding_window": 16}, 17, False),
        ("gemma3_text", {"sliding_window": 16}, 17, False),
        ("mamba", {"state_size": 4}, 10, False),
        ("bloom", {"n_layer": 2, "n_head": 4}, 10, False),
        ("doge", {}, 10, False),  # takes the same arguments, and attends otherwise
        ("bert", {}, 10, False),
    ],
)
def test_models_that_are_left_to_generate(kind, more, longest, known):
    assert (why_not(model_of(kind, **more), longest) is None) is known


LLAMA = model_of("llama")


@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=9),
    copies=st.integers(1, 4),
    beginning=st.sampled_from([0, 20]),
    size=st.integers(1, 12),
    new=st.integers(1, 20),
)
def test_every_prompt_is_continued_once_whatever_the_batch(lengths, copies, beginning, size, new):
    prompts = [prompt for prompt in prompts_of(*lengths, beginning=beginning) for _ in range(copies)]
    alone = {tuple(prompt): ours(LLAMA, [prompt], new)[0] for prompt in prompts}
    assert ours(LLAMA, prompts, new, size) == [alone[tuple(prompt)] for prompt in prompts]


def test_prompts_and_what_they_share_are_computed_once(monkeypatch):
    model = model_of("llama")
    prompts = prompts_of(3, 5, 4, beginning=40)
    expected = [theirs(model, prompt, 6) for prompt in prompts]
    shapes = count_tokens(model, monkeypatch)
    assert ours(model, prompts, 6) == expected
    assert shapes[:2] == [(1, 40), (3, 4)]
    shapes.clear()
    ours(model, [prompt for prompt in prompts_of(30, 20) for _ in range(8)], 4, sampler=Drawn(warpers(1.0, 1.0, 0)))
    assert shapes[:2] == [(2, 29), (16, 1)], "a prompt is computed once for all its completions"


def test_finished_sequences_leave_and_others_enter(monkeypatch):
    model = model_of("llama")
    prompts = prompts_of(*range(3, 15))
    lengths = [len(theirs(model, prompt, 30)) for prompt in prompts]
    assert len(set(lengths)) > 3, "the model should not end all answers at once"
    shapes = count_tokens(model, monkeypatch)
    ours(model, prompts, 30, 5)
    steps = [rows for rows, tokens in shapes if tokens == 1]
    assert sum(steps) == sum(lengths), "no row is computed that is not needed"
    assert max(steps) == 5


def test_sampling_draws_from_what_generate_draws_from():
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
def test_the_beginning_that_prompts_share(prompts, expected):
    assert _common_beginning(prompts) == expected


@pytest.mark.parametrize(
    ("fixed", "waiting", "seconds_per_step", "expected"),
    [
        (8, 10_000, lambda rows: 1.0, 8),  # a fixed size never grows
        (None, 0, lambda rows: 1.0, 64),  # nor does one for nothing
        (None, 10_000, lambda rows: 1.0, 4096),  # a step costs the same, however many rows
        (None, 10_000, lambda rows: rows / 100, 64),  # twice the rows take twice as long
        (None, 10_000, lambda rows: max(1.0, rows / 256), 256),
    ],
)
def test_a_batch_grows_as_long_as_that_pays(fixed, waiting, seconds_per_step, expected):
    size = BatchSize(fixed, "cpu")
    for _ in range(500):
        size.observe(10, 1.0, waiting=10_000)  # too few to tell
        size.observe(size.limit, seconds_per_step(size.limit), waiting=waiting)
    assert size.limit == expected


def test_memory_sets_the_ceiling_of_a_batch():
    size = BatchSize(None, "cpu")
    size.fit(100)
    for _ in range(500):
        size.observe(size.limit, 1.0, waiting=10_000)
    assert size.limit == 100
    assert size.shrink(100)
    assert size.limit == 50
    assert not BatchSize(1, "cpu").shrink(1)
