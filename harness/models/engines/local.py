"""The default engine: a policy that is loaded here, asked with torch in this process.

    for answers in generate(policy, questions.test, SamplingParams(max_new_tokens=64)):
        file.writelines(json.dumps(asdict(answer)) + "\\n" for answer in answers)

The loop of :mod:`harness.models.engines.decode` answers, or ``model.generate``, a padded batch at a time, for models
that the loop does not know. Nothing but its end tokens is inherited from a model's own generation config, which often
carries a repetition penalty or a top-k.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from harness.models.device import release_memory
from harness.models.engines.base import AT_ONCE, SECONDS, answer_of, requests
from harness.models.engines.decode import TooLargeError, decode, evaluating, why_not
from harness.models.engines.machine import BatchSize, lay_out, out_of_memory
from harness.models.engines.sampling import Streams, greedy, warpers
from harness.store.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from harness.models.engines.base import Request
    from harness.models.policy import Policy
    from harness.store.question import Question
    from harness.store.records import Generation, SamplingParams

_PADDED_ROWS = 64


class TransformersEngine:
    """Answers with a loaded policy. ``slow`` says why ``model.generate`` had to answer, where it had to."""

    name = "transformers"

    def __init__(self, policy: Policy) -> None:
        lay_out(policy.model)
        self._policy: Policy | None = policy
        self.model, self.device = policy.name, policy.device
        self.slow: str | None = None

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        assert self._policy is not None, "the engine is closed"
        return generate(self._policy, questions, decoding, skip, on_slow=self._note)

    def _note(self, why: str) -> None:
        self.slow = why

    def close(self) -> None:
        self._policy = None
        release_memory()


def generate(
    policy: Policy,
    questions: Sequence[Question],
    decoding: SamplingParams,
    skip: Collection[tuple[str, int]] = (),
    *,
    on_slow: Callable[[str], None] = lambda why: None,
) -> Iterator[list[Generation]]:
    """Answer every question ``decoding.samples_per_question`` times, handing answers out as they are done.

    A batch that does not fit into memory is halved. ``skip`` holds the ``(question id, sample)`` pairs that are
    answered already. All prompts are encoded, and their lengths checked, before the first batch. ``on_slow(why)`` is
    called where ``model.generate`` has to answer.

    Raises:
        ModelError: a prompt is too long for the model, or one single answer does not fit into memory.
        TaskError: a question has no prompt.
    """
    asked = requests(policy, questions, decoding, skip)
    finished: list[Generation] = []
    since = time.monotonic()
    try:
        for done in _new_ids(policy, asked, decoding, on_slow):
            finished += [answer_of(policy, asked[index], new_ids, decoding) for index, new_ids in done]
            if len(finished) >= AT_ONCE or time.monotonic() - since > SECONDS:
                yield finished
                finished, since = [], time.monotonic()
    except TooLargeError as error:
        request = asked[error.index]
        raise ModelError(
            f"{policy.name}: not enough memory on {policy.device} for one answer to question {request.question.id!r} "
            f"({len(request.ids)} prompt and up to {decoding.max_new_tokens} new tokens); lower max_new_tokens, "
            f"or take a smaller model or dtype"
        ) from None
    if finished:
        yield finished


def _new_ids(
    policy: Policy, asked: Sequence[Request], decoding: SamplingParams, on_slow: Callable[[str], None]
) -> Iterator[list[tuple[int, list[int]]]]:
    prompts = [request.ids for request in asked]
    cut = warpers(decoding.temperature or 1.0, decoding.top_p, decoding.top_k)
    keys = [(request.question.id, request.sample) for request in asked]
    drawn = None if decoding.temperature == 0 else Streams(cut, decoding.seed, keys)
    fixed = decoding.batch_size if isinstance(decoding.batch_size, int) else None
    ends, most = policy.eos_token_ids, decoding.max_new_tokens
    with evaluating(policy.model):
        if (why := why_not(policy.model, max(map(len, prompts), default=0) + most)) is None:
            size = BatchSize(fixed, policy.device)
            yield from decode(policy.model, prompts, drawn or greedy, ends, most, size)
        else:
            on_slow(why)
            pad = policy.tokenizer.pad_token_id
            yield from _padded(policy.model, prompts, drawn, ends, pad, most, fixed or _PADDED_ROWS)


def _padded(
    model: Any,
    prompts: Sequence[list[int]],
    sampler: Streams | None,
    ends: Collection[int],
    pad: int,
    max_new_tokens: int,
    size: int,
) -> Iterator[list[tuple[int, list[int]]]]:
    """As ``decode``, by ``model.generate``; new ids may hold padding after the first end. A batch that does not fit
    into memory is halved and asked again; the smaller size stays."""
    waiting = list(enumerate(prompts))
    while waiting:
        batch, rows = waiting[:size], None
        try:
            rows = _generate(model, batch, sampler, ends, pad, max_new_tokens)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if rows is None:  # outside of the handler, whose traceback keeps the batch's tensors alive
            release_memory()
            if len(batch) == 1:
                raise TooLargeError(batch[0][0])
            if sampler is not None:
                sampler.restart(index for index, _ in batch)
            size = len(batch) // 2
            continue
        waiting = waiting[size:]
        yield [(index, row) for (index, _), row in zip(batch, rows, strict=True)]


@torch.inference_mode()
def _generate(
    model: Any,
    batch: Sequence[tuple[int, list[int]]],
    sampler: Streams | None,
    ends: Collection[int],
    pad: int,
    max_new_tokens: int,
) -> list[list[int]]:
    width = max(len(prompt) for _, prompt in batch)
    # The mask is made from lengths: a pad token that is also an end, or part of a prompt, stays what it is there.
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for _, prompt in batch])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for _, prompt in batch])
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, use_cache=True, eos_token_id=sorted(ends), pad_token_id=pad
    )
    own, model.generation_config = model.generation_config, settings  # else what is left open is filled from its own
    try:
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([_Chosen(sampler, [index for index, _ in batch])] if sampler else []),
        )
    finally:
        model.generation_config = own
    rows: list[list[int]] = output[:, width:].tolist()
    return rows


class _Chosen(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Leaves one token of each row, the sampler's. Greedy search then takes it, so torch's generator, which is shared
    by all rows of a batch, is never asked."""

    def __init__(self, sampler: Streams, rows: Sequence[int]) -> None:
        self._sampler, self._rows = sampler, rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        drawn = self._sampler(scores, self._rows)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn[:, None], 0.0)
