"""What an engine that works on token ids is asked, and how new ids become an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.store.errors import ModelError, TaskError
from harness.store.records import Generation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.models.policy import Policy
    from harness.store.question import Question
    from harness.store.records import SamplingParams


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted: sample number ``sample`` to ``question``, whose prompt has the token ids ``ids`` and
    opened a thought by ``opened``."""

    question: Question
    sample: int
    ids: list[int]
    opened: str = ""


def requests(
    policy: Policy, questions: Sequence[Question], decoding: SamplingParams, skip: Collection[tuple[str, int]]
) -> list[Request]:
    """What is to be asked, longest prompt first: what needs most memory comes at once. Samples of a question stay
    together, and every prompt's length is checked before anything is generated.

    Raises:
        ModelError: a prompt and its answer are too long for the model.
        TaskError: a question has no prompt.
    """
    found: list[Request] = []
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
        opened = policy.opened_thought(question.prompt)
        found += [Request(question, sample, ids, opened) for sample in samples]
    return sorted(found, key=lambda request: -len(request.ids))


def answer_of(policy: Policy, request: Request, new_ids: Sequence[int], decoding: SamplingParams) -> Generation:
    """New token ids as an answer: the first end closes it, and what follows is padding. Its text is the whole turn,
    with the thought that the prompt opened."""
    end = next((at for at, id_ in enumerate(new_ids) if id_ in policy.eos_token_ids), None)
    return Generation(
        question_id=request.question.id,
        sample=request.sample,
        seed=decoding.seed,
        prompt=tuple(request.question.prompt),
        completion=request.opened + policy.decode(new_ids[:end]),
        finish_reason="length" if end is None else "stop",
        prompt_tokens=len(request.ids),
        completion_tokens=len(new_ids) if end is None else end + 1,
    )


def does_not_fit(policy: Policy, request: Request, decoding: SamplingParams) -> ModelError:
    """What to say where not even one answer fits into memory."""
    return ModelError(
        f"{policy.name}: not enough memory on {policy.device} for one answer to question {request.question.id!r} "
        f"({len(request.ids)} prompt and up to {decoding.max_new_tokens} new tokens); lower max_new_tokens, "
        f"or take a smaller model or dtype"
    )
