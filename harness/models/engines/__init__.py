"""Engines: what answers questions with a model. All give the same records; they differ in speed and in where they run.

    engine = TransformersEngine(load_policy("tiny"))
    for answers in engine.answer(questions.test, recipe.evaluate):
        print(answers[0].completion)

====================  ====================================================================================
``transformers``      the default: torch in this process, finished answers leave the batch and others enter
``continuous``        transformers' own continuous batching, made for GPUs
``vllm``              vLLM in this process
``endpoint``          any OpenAI-compatible server; chosen by ``[model] endpoint`` or ``--rl-endpoint``
====================  ====================================================================================

Importing this package brings neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.store.question import Question
    from harness.store.records import Generation, SamplingParams


class Engine(Protocol):
    """Answers questions with one model. ``model`` is what the user called it, ``device`` where it runs."""

    name: str
    model: str
    device: str

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        """Answer every question ``decoding.samples_per_question`` times but for the ``(question id, sample)`` pairs in
        ``skip``; finished answers are handed out, in lists, as soon as there are some.

        Raises:
            ModelError: the model cannot answer: a prompt is too long, memory is short, the server is gone.
            TaskError: a question has no prompt.
        """
        ...

    def close(self) -> None:
        """Let go of the model and its memory. Closing twice does nothing."""
        ...
