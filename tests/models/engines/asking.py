"""Questions for the double of a server."""

from __future__ import annotations

from typing import Any

from harness.models.engines.endpoint import EndpointEngine
from harness.store.question import Question
from harness.store.records import SamplingParams
from tests.chat_double import ChatDouble

DECODING = SamplingParams(max_new_tokens=32)


def some(count: int) -> list[Question]:
    return [
        Question(f"t/{n}", f"What is {n}?", "7", "test", prompt=({"role": "user", "content": f"What is {n}?"},))
        for n in range(count)
    ]


def ask(double: ChatDouble, questions: Any, decoding: SamplingParams = DECODING, skip: Any = (), **options: Any):
    engine = EndpointEngine(double.url, **{"timeout_seconds": 1.0, **options})
    try:
        return {(a.question_id, a.sample): a for batch in engine.answer(questions, decoding, skip) for a in batch}
    finally:
        engine.close()
