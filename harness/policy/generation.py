"""Answers from a policy: batched, decoded exactly as the recipe says, and the same in any batch.

    for batch in generate(policy, questions.test, EvaluateSection(max_new_tokens=64)):
        file.writelines(json.dumps(asdict(generation)) + "\n" for generation in batch)

Nothing is inherited from a model's own generation config, which often carries a repetition penalty or a top-k. A
sampled answer depends on (seed, question id, sample) and the model alone: every row draws from a stream of its own, so
batch size, order, and what was answered before do not matter (but for rounding, which differs between batch shapes).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from harness.errors import ModelError, TaskError
from harness.policy.device import release_memory
from harness.records import Generation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.policy.policy import Policy
    from harness.recipe import EvaluateSection
    from harness.tasks.question import Question

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True, slots=True)
class _Request:
    question: Question
    sample: int
    ids: list[int]


def generate(
    policy: Policy,
    questions: Sequence[Question],
    decoding: EvaluateSection,
    skip: Collection[tuple[str, int]] = (),
) -> Iterator[list[Generation]]:
    """Answer every question ``decoding.samples_per_question`` times, handing each batch out as soon as it is done.

    Longest prompts come first, so the batch that needs most memory is the first one, and padding is least. A batch
    that does not fit into memory is halved and asked again; the smaller size stays. ``skip`` holds the
    ``(question id, sample)`` pairs that are answered already. All prompts are encoded, and their lengths checked,
    before the first batch.

    Raises:
        ModelError: a prompt is too long for the model, or one single answer does not fit into memory.
        TaskError: a question has no prompt.
    """
    waiting = _requests(policy, questions, decoding, set(skip))
    size = decoding.batch_size
    while waiting:
        batch = waiting[:size]
        answers = _try(policy, batch, decoding)
        if answers is None:
            release_memory()
            if len(batch) == 1:
                raise ModelError(_does_not_fit(policy, batch[0], decoding))
            size = len(batch) // 2
            continue
        waiting = waiting[size:]
        yield answers


def _requests(
    policy: Policy, questions: Sequence[Question], decoding: EvaluateSection, skip: set[tuple[str, int]]
) -> list[_Request]:
    """What is to be asked, longest prompt first."""
    requests: list[_Request] = []
    for question in questions:
        samples = [n for n in range(decoding.samples_per_question) if (question.id, n) not in skip]
        if not samples:
            continue
        if not question.prompt:
            raise TaskError(f"question {question.id!r} has no prompt; questions get theirs from load_questions")
        ids = policy.encode(question.prompt)
        limit = policy.context_length
        if limit is not None and len(ids) + decoding.max_new_tokens > limit:
            raise ModelError(
                f"question {question.id!r}: its prompt of {len(ids)} tokens and {decoding.max_new_tokens} new tokens "
                f"exceed the {limit} that {policy.name} can hold; lower max_new_tokens, or shorten the prompt"
            )
        requests += [_Request(question, sample, ids) for sample in samples]
    return sorted(requests, key=lambda request: -len(request.ids))


def _try(policy: Policy, batch: Sequence[_Request], decoding: EvaluateSection) -> list[Generation] | None:
    """The batch's answers, or ``None`` where memory ran out. Returning drops the error, whose traceback would keep
    the batch's tensors alive while the next one is tried."""
    try:
        return _answer(policy, batch, decoding)
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        text = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
            return None
        raise


@torch.inference_mode()
def _answer(policy: Policy, batch: Sequence[_Request], decoding: EvaluateSection) -> list[Generation]:
    model, width = policy.model, max(len(request.ids) for request in batch)
    pad = policy.tokenizer.pad_token_id
    # The mask is made from lengths: a pad token that is also an end, or part of a prompt, stays what it is there.
    ids = torch.tensor([[pad] * (width - len(request.ids)) + request.ids for request in batch])
    mask = torch.tensor([[0] * (width - len(request.ids)) + [1] * len(request.ids) for request in batch])
    settings = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        use_cache=True,
        eos_token_id=sorted(policy.eos_token_ids),
        pad_token_id=pad,
    )
    with _pinned(model, settings):
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=settings,
            logits_processor=_sampler(batch, decoding),
        )
    rows = output[:, width:].tolist()
    return [_generation(policy, *pair, decoding) for pair in zip(batch, rows, strict=True)]


def _generation(policy: Policy, request: _Request, new_ids: list[int], decoding: EvaluateSection) -> Generation:
    """One row of new token ids as an answer: the first end closes it, and what follows is padding."""
    end = next((at for at, id_ in enumerate(new_ids) if id_ in policy.eos_token_ids), None)
    return Generation(
        question_id=request.question.id,
        sample=request.sample,
        seed=decoding.seed,
        prompt=tuple(request.question.prompt),
        completion=policy.decode(new_ids[:end]),
        finish_reason="length" if end is None else "stop",
        prompt_tokens=len(request.ids),
        completion_tokens=len(new_ids) if end is None else end + 1,
    )


@contextlib.contextmanager
def _pinned(model: Any, settings: GenerationConfig) -> Iterator[None]:
    """``model.generate`` fills every setting left open from the model's own, so for its time that one is replaced.

    A model that is being trained is in training mode, with dropout; answers are given without.
    """
    own, training = model.generation_config, model.training
    model.generation_config = settings
    model.eval()
    try:
        yield
    finally:
        model.generation_config = own
        model.train(training)


def _sampler(batch: Sequence[_Request], decoding: EvaluateSection) -> LogitsProcessorList:
    """No processor for temperature 0; else temperature, top-k and top-p in transformers' order, then the draw."""
    processors = LogitsProcessorList()
    if decoding.temperature == 0:
        return processors
    if decoding.temperature != 1:
        processors.append(TemperatureLogitsWarper(decoding.temperature))
    if decoding.top_k > 0:
        processors.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1:
        processors.append(TopPLogitsWarper(decoding.top_p))
    processors.append(_Draw([_stream(decoding.seed, request) for request in batch]))
    return processors


def _stream(seed: int, request: _Request) -> random.Random:
    key = json.dumps([seed, request.question.id, request.sample])
    return random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()))


class _Draw(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Leaves one token of each row, drawn by inverse CDF with one uniform number per row and step.

    Greedy search then takes it, so torch's generator, which is shared by all rows of a batch, is never asked.
    """

    def __init__(self, streams: Sequence[random.Random]) -> None:
        self.streams = streams

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """``input_ids`` (rows, length so far) and ``scores`` (rows, vocabulary) to scores of the same shape."""
        wide = scores.cpu() if scores.device.type == "mps" else scores  # Apple's GPUs have no float64
        steps = wide.double().softmax(dim=-1).cumsum(dim=-1)
        if not steps[:, -1].isfinite().all():
            raise ModelError("the model's scores are not numbers; its weights are damaged, or its dtype is too narrow")
        heights = torch.tensor([[stream.random()] for stream in self.streams], dtype=torch.float64)
        # The last step may be a rounding error short of 1; scaling keeps every height below it.
        drawn = torch.searchsorted(steps, heights.to(steps.device) * steps[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn.to(scores.device), 0.0)


def _does_not_fit(policy: Policy, request: _Request, decoding: EvaluateSection) -> str:
    return (
        f"{policy.name}: not enough memory on {policy.device} for one answer to question {request.question.id!r} "
        f"({len(request.ids)} prompt and up to {decoding.max_new_tokens} new tokens); lower max_new_tokens, "
        f"or take a smaller model or dtype"
    )
