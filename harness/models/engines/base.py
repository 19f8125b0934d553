"""What engines share: the protocol, what one that works on token ids is asked, a seed for each answer, and the address
of a server. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import json
import operator
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from harness.store.errors import ModelError, TaskError
from harness.store.records import Generation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.models.policy import Policy
    from harness.store.question import Question
    from harness.store.records import SamplingParams

# Answers are handed on when so many are there, or so many seconds have passed: they are graded and written in batches.
AT_ONCE, SECONDS = 16, 2.0
_LONGEST_ADDRESS = 2_000
OMITTABLE = ("seed", "temperature", "top_p")  # what a request may be without, since some servers refuse it


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
        ``skip``; finished answers are handed out, in lists, as soon as there are some. An empty list says that the
        engine is at work.

        Raises:
            ModelError: the model cannot answer: a prompt is too long, memory is short, the server is gone.
            TaskError: a question has no prompt.
        """
        ...

    def close(self) -> None:
        """Let go of the model and its memory. Closing twice does nothing."""
        ...


def wanted(
    questions: Sequence[Question], decoding: SamplingParams, skip: Collection[tuple[str, int]]
) -> list[tuple[Question, int]]:
    """The answers to give, ``(question, sample)``; samples of a question stay together.

    Raises:
        TaskError: a question has no prompt.
    """
    done, samples = set(skip), range(decoding.samples_per_question)
    asked = [(question, sample) for question in questions for sample in samples if (question.id, sample) not in done]
    for question, _ in asked:
        if not question.prompt:
            raise TaskError(f"question {question.id!r} has no prompt; questions get theirs from load_questions")
    return asked


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
    found, limit = [], policy.context_length
    for question, samples in itertools.groupby(wanted(questions, decoding, skip), key=operator.itemgetter(0)):
        ids, opened = policy.encode(question.prompt), policy.opened_thought(question.prompt)
        if limit is not None and len(ids) + decoding.max_new_tokens > limit:
            raise ModelError(
                f"question {question.id!r}: its prompt of {len(ids)} tokens and {decoding.max_new_tokens} new tokens "
                f"exceed the {limit} that {policy.name} can hold; lower max_new_tokens, or shorten the prompt"
            )
        found += [Request(question, sample, ids, opened) for _, sample in samples]
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


def answer_seed(seed: int, question_id: str, sample: int) -> int:
    """A seed for engines that draw by themselves: 31 bits, which every server and library takes, from what names the
    answer, so the same in any batch and order."""
    key = json.dumps([seed, question_id, sample])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) >> 1


def server_url(text: str) -> str:
    """The base address of an OpenAI-compatible server, ``http://host:8000/v1`` for ``http://host:8000`` or
    ``.../v1/chat/completions``.

    Raises:
        ValueError: it is no such address, or it carries a key: that would be written into run directories. The text
            says what to write instead and never repeats the address.
    """
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:  # UnicodeError is one
        host, port, parts = None, None, urlsplit("")
    # urlsplit drops line breaks and tabs, and takes all other controls.
    readable = text.isprintable() and parts.path.isascii() and " " not in text and len(text) <= _LONGEST_ADDRESS
    if parts.scheme not in ("http", "https") or not (host and readable):
        raise ValueError("is no address of a server; write one such as http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "must hold no user, password or query, since it is written into run directories; a key is read from the "
            "environment variable OPENAI_API_KEY, or from the one that [engine] key_env names"
        )
    path = parts.path.rstrip("/")
    for call in ("/chat/completions", "/models"):  # what is often pasted along
        path = path.removesuffix(call)
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, place if port is None else f"{place}:{port}", path or "/v1", "", ""))


def _host(name: str) -> str:
    """A host's name as it is looked up (IDNA), or an address.

    Raises:
        ValueError: it is neither.
    """
    if ":" in name:
        return str(ipaddress.IPv6Address(name))
    found = name.encode("idna").decode("ascii")  # no label of more than 63 characters, none that is empty
    if not re.fullmatch(r"[a-z0-9._-]+", found):
        raise ValueError(f"{name!r} is no host")
    return found


TRUSTED_HOSTS = "RL_HARNESS_TRUSTED_HOSTS"  # where keys may go, as the user says it: hosts between blanks or commas


def key_may_go(url: str) -> bool:
    """Whether a key may be sent to the server at an address: on this machine, or one that ``TRUSTED_HOSTS`` names."""
    host = urlsplit(url).hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    return here or host in os.environ.get(TRUSTED_HOSTS, "").lower().replace(",", " ").split()
