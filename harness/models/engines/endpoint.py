"""Answers from any OpenAI-compatible server (vLLM, SGLang, llama.cpp, ``transformers serve``, a provider's).

    engine = EndpointEngine("http://localhost:8000/v1")
    for answers in engine.answer(questions.test, recipe.evaluate.sampling):
        print(answers[0].completion)

The server applies its own chat template and counts its own tokens. A request has messages, the recipe's
``chat_template_kwargs``, temperature, top-p, top-k where it cuts, the most new tokens, and a seed of (seed, question
id, sample). Everything else is the server's default, which may come from the model's generation config;
docs/engines.md says how to switch that off.

A thought that a server hands out apart from the answer stands before it as ``<think>...</think>``, as the model wrote
it; one that was cut off is not closed.

An answer that did not come after all tries is handed out with ``error`` set: it is unscored, never wrong, and asked
again by the next run. A server that stops answering ends the evaluation; what it answered is kept.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.models.engines.base import AT_ONCE, OMITTABLE, SECONDS, answer_seed, wanted
from harness.models.engines.chat_server import ChatServer, Served, Unanswered, whole
from harness.models.policy import without_system
from harness.store.errors import ModelError
from harness.store.records import FinishReason, Generation
from harness.store.redact import safe_line
from harness.tasks.forms import CLOSING, OPENING

if TYPE_CHECKING:
    from harness.store.question import Question
    from harness.store.records import SamplingParams

CONCURRENCY = 16
# So many requests in a row that came to nothing, times those under way at once: the server is gone.
_ROUNDS = 2
_FEWEST_LOST = 8
# What chat templates that refuse a system turn say, as servers pass it on.
_NO_SYSTEM = re.compile(r"system (role|message|turn|prompt)|roles must alternate|only user and assistant roles", re.I)
# Where servers put a thought that they hand out apart from the answer; vLLM has said both.
_THOUGHTS = ("reasoning_content", "reasoning")
# Characters of one token: the longest of large vocabularies are runs of some hundred blanks.
_LONGEST_TOKEN = 1000

_Asked = tuple["Question", int]


@dataclass(frozen=True, slots=True)
class _Answer:
    generation: Generation
    refused: bool = False  # by a server that is there


class EndpointEngine:
    """Many requests at once to one server; see ``ChatServer``.

    Raises:
        ModelError: the server cannot be reached, refuses the key, or does not serve one model where none is named.
    """

    name = "endpoint"
    device = "endpoint"

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        concurrency: int = CONCURRENCY,
        key_env: str = "OPENAI_API_KEY",
        timeout_seconds: float = 600.0,
        deadline_seconds: float | None = None,
        tries: int = 5,
        omit: Collection[str] = (),
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._concurrency, self._omit = concurrency, frozenset(omit)
        self._template = dict(chat_template_kwargs or {})
        self._server = ChatServer(
            url,
            model,
            key_env=key_env,
            timeout_seconds=timeout_seconds,
            deadline_seconds=deadline_seconds,
            tries=tries,
            connections=concurrency,
        )
        try:
            self.served: Served = self._server.served()
        except BaseException:
            self._server.close()
            raise
        self.model = self.served.model
        self._limit = "max_tokens"  # newer models of OpenAI's refuse it, older servers know nothing else
        self._system = True  # whether the server's chat template takes a system turn
        self._taken = False  # whether a request was taken as it is: what is refused later is not refused for its keys

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        """As :meth:`harness.models.engines.base.Engine.answer`. ``batch_size`` below the concurrency lowers it.

        Raises:
            ModelError: no answer could be had, or none any more; the text names the address and the reason.
        """
        asked = wanted(questions, decoding, skip)
        size = decoding.batch_size
        workers = min(self._concurrency, len(asked), size if isinstance(size, int) else self._concurrency)
        lost: list[Generation] = []
        had, in_a_row = 0, 0
        finished: list[Generation] = []
        since = time.monotonic()
        for answer in self._all(asked, decoding, workers):
            if answer is not None and answer.generation.error is None:
                had, in_a_row = had + 1, 0
                finished.append(answer.generation)
            elif answer is not None:
                lost.append(answer.generation)
                # A server that refuses some requests is there; one that refused all so far may as well not be.
                in_a_row += not answer.refused or not (had or skip)
                if in_a_row >= max(_ROUNDS * workers, _FEWEST_LOST):
                    if finished:
                        yield finished
                    raise ModelError(self._gone(in_a_row, had, answer.generation.error))
            if finished and (len(finished) >= AT_ONCE or time.monotonic() - since > SECONDS):
                yield finished
                finished, since = [], time.monotonic()
        if lost and not had and not skip:
            raise ModelError(self._gone(len(lost), had, lost[0].error))
        if finished or lost:
            yield finished + lost

    def close(self) -> None:
        self._server.close()

    def _gone(self, lost: int, had: int, reason: str | None) -> str:
        kept = f"; {had} answers before were had and are kept: run the same again when it answers" if had else ""
        return f"{self.served.url} ({self.model}): {lost} answers in a row could not be had: {reason}{kept}"

    def _all(self, asked: Sequence[_Asked], decoding: SamplingParams, workers: int) -> Iterator[_Answer | None]:
        """Every answer as it comes, failed ones with their error; ``None`` now and then while there is none.

        The threads are daemons: a server that hangs must not keep a session from ending.
        """
        waiting: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        done: queue.SimpleQueue[_Answer | BaseException] = queue.SimpleQueue()
        for each in asked:
            waiting.put(each)
        ended = threading.Event()

        def work() -> None:
            while not ended.is_set():
                try:
                    question, sample = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put(self._ask(question, sample, decoding))
                except BaseException as error:
                    done.put(error)
                    return

        for number in range(workers):
            threading.Thread(target=work, name=f"endpoint-{number}", daemon=True).start()
        left = len(asked)
        try:
            while left:
                try:
                    found = done.get(timeout=SECONDS)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(found, BaseException):
                    raise found
                left -= 1
                yield found
        finally:
            ended.set()

    def _ask(self, question: Question, sample: int, decoding: SamplingParams) -> _Answer:
        try:
            return _Answer(*_generation(self._complete(question, sample, decoding), question, sample, decoding))
        except Unanswered as lost:
            prompt, reason = tuple(question.prompt), str(lost)
            without = Generation(question.id, sample, decoding.seed, prompt, "", "error", 0, 0, error=reason)
            return _Answer(without, lost.refused)
        except _TooMany as error:
            raise ModelError(f"{self.served.url} ({self.model}): {error}") from None

    def _complete(self, question: Question, sample: int, decoding: SamplingParams) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(turn) for turn in question.prompt] if self._system else without_system(question.prompt),
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "seed": answer_seed(decoding.seed, question.id, sample),
            **({"top_k": decoding.top_k} if decoding.top_k else {}),
            **({"chat_template_kwargs": self._template} if self._template else {}),
        }
        body = {key: value for key, value in body.items() if key not in self._omit}
        limit = self._limit
        try:
            answer = self._server.complete({**body, limit: decoding.max_new_tokens})
        except Unanswered as refused:
            said = str(refused)
            if not said.startswith("HTTP 4"):
                raise
            if limit == "max_tokens" and "max_completion_tokens" in said:
                self._limit = "max_completion_tokens"
                return self._complete(question, sample, decoding)
            refuses = body["messages"][0]["role"] == "system" and _NO_SYSTEM.search(said)
            if refuses and not (self._system and self._taken):
                self._system = False
                return self._complete(question, sample, decoding)
            if not self._taken and (remedy := _remedy(body, said)):
                raise ModelError(f"{self.served.url} ({self.model}): {remedy}") from None
            raise
        self._taken = True
        return answer


def _remedy(body: Mapping[str, Any], said: str) -> str | None:
    """What to write where a server refuses a request for some of its keys, by its own words."""
    named = [key for key in body if re.search(rf"\b{key}\b", said)]
    if "top_k" in named:
        return f"does not take top_k ({said}); set [evaluate] top_k = 0"
    if "chat_template_kwargs" in named:
        return f"does not take chat_template_kwargs ({said}); leave them out under [model]"
    if omit := [key for key in named if key in OMITTABLE]:
        written = ", ".join(f'"{key}"' for key in omit)
        return f"does not take {' and '.join(omit)} as asked ({said}); write omit = [{written}] under [engine]"
    return None


class _TooMany(Exception):  # noqa: N818
    """More tokens than were asked for."""


def _generation(
    answer: dict[str, Any], question: Question, sample: int, decoding: SamplingParams
) -> tuple[Generation, bool]:
    """A server's answer, and whether it is one that cannot be graded: the server is there, and gave no text."""
    choice, usage = answer["choices"][0], answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    prompt_tokens, tokens = (_count(counts.get(key)) for key in ("prompt_tokens", "completion_tokens"))
    if tokens > decoding.max_new_tokens + 1:  # some count the end apart
        raise _TooMany(
            f"gave {tokens} tokens where {decoding.max_new_tokens} at most were asked for; it does not keep to "
            "max_tokens, so its answers cannot be compared"
        )
    reason = choice.get("finish_reason") or ("length" if tokens >= decoding.max_new_tokens else "stop")
    if reason not in ("stop", "length"):
        raise Unanswered(f"finish_reason {_shown(reason)}", refused=True)
    finish: FinishReason = "length" if reason == "length" else "stop"
    message = choice["message"]
    content = _text(message.get("content"))
    thought = next(filter(None, (_text(message.get(key)) for key in _THOUGHTS)), "")
    if content is None:
        raise Unanswered(f"content is no text: {_shown(message['content'])}", refused=True)
    characters = len(content) + len(thought)
    if characters > _LONGEST_TOKEN * (decoding.max_new_tokens + 1):
        raise _TooMany(
            f"gave {characters:,} characters where {decoding.max_new_tokens} tokens at most were asked for; it does "
            "not keep to max_tokens, so its answers cannot be compared"
        )
    error = None
    if not content and finish == "stop":
        if thought:
            error = "a thought and no answer, finish_reason 'stop': is the server's reasoning parser for this model?"
        elif tokens > 1:  # one is the end itself
            error = "tokens without any text, finish_reason 'stop': does the server keep thoughts to itself?"
    if thought:
        cut = finish == "length" and not content
        content = f"{OPENING}{thought}" if cut else f"{OPENING}{thought}{CLOSING}{content}"
    generation = Generation(
        question_id=question.id,
        sample=sample,
        seed=decoding.seed,
        prompt=tuple(question.prompt),
        completion=content,
        finish_reason="error" if error else finish,
        prompt_tokens=prompt_tokens,
        completion_tokens=tokens,
        error=error,
    )
    return generation, error is not None


def _text(content: Any) -> str | None:
    """A message's content: text, parts of text among others, or nothing; ``None`` for what is none of these."""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        content = "".join(text for part in content if isinstance(text := part.get("text"), str))
    if content is None or isinstance(content, str):
        return whole(content or "")
    return None


def _shown(value: Any) -> str:
    """A value of JSON in an error: lists and objects may be nested too deep for Python to write."""
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else repr(safe_line(str(value), 40))


def _count(value: Any) -> int:
    """Tokens; what cannot be a number of them is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53 else 0
