"""The default engine: a policy that is loaded here, asked with torch in this process.

    for answers in generate(policy, questions.test, SamplingParams(max_new_tokens=64)):
        file.writelines(json.dumps(asdict(answer)) + "\\n" for answer in answers)

Nothing but its end tokens is inherited from a model's own generation config, which often carries a repetition penalty
or a top-k.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.models.device import release_memory
from harness.models.engines.batch_size import BatchSize
from harness.models.engines.decode import TooLargeError, decode, evaluating, why_not
from harness.models.engines.layout import laid_out
from harness.models.engines.padded import generate_padded
from harness.models.engines.requests import answer_of, does_not_fit, requests
from harness.models.engines.sampling import Streams, greedy, warpers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from harness.models.engines.requests import Request
    from harness.models.policy import Policy
    from harness.store.question import Question
    from harness.store.records import Generation, SamplingParams

# Answers are handed on when so many are there, or so many seconds have passed: they are graded and written in batches.
_AT_ONCE, _SECONDS = 16, 2.0


class TransformersEngine:
    """Answers with a loaded policy. ``slow`` says why ``model.generate`` had to answer, where it had to."""

    name = "transformers"

    def __init__(self, policy: Policy) -> None:
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
    asked = requests(policy, questions, decoding, set(skip))
    finished: list[Generation] = []
    since = time.monotonic()
    try:
        for done in _new_ids(policy, asked, decoding, on_slow):
            finished += [answer_of(policy, asked[index], new_ids, decoding) for index, new_ids in done]
            if len(finished) >= _AT_ONCE or time.monotonic() - since > _SECONDS:
                yield finished
                finished, since = [], time.monotonic()
    except TooLargeError as error:
        raise does_not_fit(policy, asked[error.index], decoding) from None
    if finished:
        yield finished


def _new_ids(
    policy: Policy, asked: Sequence[Request], decoding: SamplingParams, on_slow: Callable[[str], None]
) -> Iterator[list[tuple[int, list[int]]]]:
    prompts = [request.ids for request in asked]
    longest = max(map(len, prompts), default=0) + decoding.max_new_tokens
    cut = warpers(decoding.temperature or 1.0, decoding.top_p, decoding.top_k)
    drawn = None if decoding.temperature == 0 else Streams(cut, decoding.seed, asked)
    fixed = decoding.batch_size if isinstance(decoding.batch_size, int) else None
    why = why_not(policy.model, longest)
    if why is None:
        size = BatchSize(fixed, policy.device)
        ends, most = policy.eos_token_ids, decoding.max_new_tokens
        with evaluating(policy.model), laid_out(policy.model):
            # a draw is seldom what was drafted
            yield from decode(policy.model, prompts, drawn or greedy, ends, most, size, drafts=drawn is None)
    else:
        on_slow(why)
        pad, size_ = policy.tokenizer.pad_token_id, fixed or 64
        yield from generate_padded(
            policy.model, prompts, drawn, policy.eos_token_ids, pad, decoding.max_new_tokens, size_
        )
