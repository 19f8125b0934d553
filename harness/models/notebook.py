"""The three helpers known from course notebooks, on the same loading and generation as everything else here.

    model, tokenizer = load_model_and_tokenizer("Qwen/Qwen2.5-0.5B-Instruct", use_gpu=True)
    test_model_with_questions(model, tokenizer, ["What is 7 * 8?"], system_message="Answer briefly.")

Answers are greedy. Questions of one call are answered in batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.engines.local import generate
from harness.models.load import load_policy
from harness.models.policy import Policy
from harness.store.question import Message, Question
from harness.store.records import SamplingParams
from harness.store.redact import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence


def load_model_and_tokenizer(model_name: str, use_gpu: bool = False) -> tuple[Any, Any]:
    """The model, in evaluation mode on its device, and its tokenizer, as transformers knows them.

    Raises:
        ModelError: as :func:`harness.models.load_policy`; also for ``use_gpu`` without a CUDA GPU.
    """
    policy = load_policy(model_name, device="cuda" if use_gpu else "cpu")
    return policy.model, policy.tokenizer


def generate_responses(
    model: Any,
    tokenizer: Any,
    user_message: str | None = None,
    system_message: str | None = None,
    max_new_tokens: int = 100,
    full_message: Sequence[Message] | None = None,
) -> str:
    """The greedy answer to ``user_message`` (with ``system_message`` before it), or to ``full_message``, a whole chat.

    Raises:
        ValueError: both a user message and a full message were given, or neither.
        ModelError: the model has no chat template, or the chat is too long for it.
    """
    return _answers(model, tokenizer, [_chat(user_message, system_message, full_message)], max_new_tokens)[0]


def test_model_with_questions(
    model: Any,
    tokenizer: Any,
    questions: Sequence[str],
    system_message: str | None = None,  # noqa: PT028
    title: str = "Model Output",  # noqa: PT028
) -> list[str]:
    """Print each question and its greedy answer under a title; returns the answers in the questions' order."""
    chats = [_chat(question, system_message, None) for question in questions]
    answers = _answers(model, tokenizer, chats, max_new_tokens=100)
    print(f"\n=== {title} ===")
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True), 1):
        print(safe_text(f"\nModel Input {number}:\n{question}\nModel Output {number}:\n{answer}\n"))
    return answers


# Its name is known from notebooks; in a test file that imports it, pytest must not take it for a test.
test_model_with_questions.__test__ = False  # type: ignore[attr-defined]


def _chat(user: str | None, system: str | None, full: Sequence[Message] | None) -> tuple[Message, ...]:
    if (user is None) == (full is None):
        raise ValueError("give either user_message or full_message")
    if full is not None:
        return tuple(full)
    turns = [("system", system), ("user", user)]
    return tuple({"role": role, "content": text} for role, text in turns if text)


def _answers(model: Any, tokenizer: Any, chats: Sequence[tuple[Message, ...]], max_new_tokens: int) -> list[str]:
    asked = [Question(str(number), "", "", "notebook", prompt=chat) for number, chat in enumerate(chats)]
    decoding = SamplingParams(max_new_tokens=max_new_tokens, batch_size=8)
    batches = generate(Policy.of(model, tokenizer), asked, decoding)
    answered = {answer.question_id: answer.completion for batch in batches for answer in batch}
    return [answered[question.id] for question in asked]
