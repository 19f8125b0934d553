"""An OpenAI-compatible server over HTTP: what it serves, and one answer at a time, asked for again while that may help.

    server = ChatServer("http://localhost:8000/v1")
    model = server.served().model                                           # "Qwen/Qwen2.5-0.5B-Instruct"
    server.complete({"model": model, "messages": [...], "max_tokens": 64})  # {"choices": [...], "usage": {...}}

408, 409, 425, 429, 5xx, cut connections, timeouts and answers that are no chat completion are tried again, later each
time, or when the server says (Retry-After). What cannot get better (a wrong key, an unknown model) is a ``ModelError``.
Every reply is read up to a limit, counted after decompression, and within a deadline.
"""

from __future__ import annotations

import email.utils
import json
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore2
import httpx2

from harness.store.errors import ModelError
from harness.store.redact import safe_line

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds before another try; doubled each time
_LATER = frozenset({408, 409, 425, 429})  # and every 5xx
_CONNECT_SECONDS = 10.0
_JSON = {"Content-Type": "application/json"}
# Bytes that a reply may have: 100,000 tokens with every character escaped are 4 MB. An error is cut at its own limit.
LONGEST_REPLY, _LONGEST_ERROR = 16 << 20, 1 << 16


class Unanswered(Exception):  # noqa: N818 (what became of a request)
    """One answer could not be had; the text is the reason, in one line and without secrets. ``refused`` says that the
    server is there and will not answer this one request."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of a model under ``/v1/models``; ``None`` where it says nothing. None of it can be checked
    against weights. ``created`` is the time of the question on some servers, so it identifies nothing."""

    url: str
    model: str
    root: str | None = None
    owned_by: str | None = None
    created: int | None = None
    context_length: int | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back; ``whole`` is false where it was longer than it may be."""

    status: int
    headers: Mapping[str, str]
    text: str
    whole: bool


class ChatServer:
    """A client that many threads may use at once.

    Args:
        url: base address (``server_url``).
        model: the served model's id; may be left out where the server serves one.
        key_env: environment variable that holds the API key, "" for none. It is sent, and never written down.
        timeout_seconds: how long the server may be silent before an answer is asked for again.
        deadline_seconds: how long one request may take in all; as long as that unless given.
        tries: how often one answer is asked for in all.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        key_env: str = "OPENAI_API_KEY",
        timeout_seconds: float = 600.0,
        deadline_seconds: float | None = None,
        tries: int = 5,
        connections: int = 16,
    ) -> None:
        self.url, self._asked_for, self._key_env, self._tries = url, model, key_env, tries
        self._key = os.environ.get(key_env, "").strip()
        self._seconds = timeout_seconds if deadline_seconds is None else deadline_seconds
        self._stopped = threading.Event()
        if not (self._key.isascii() and self._key.isprintable()):
            raise ModelError(f"{key_env}: a key is one line of ASCII characters; set the variable to it once more")
        try:
            self._http = httpx2.Client(
                base_url=url + "/",
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=httpx2.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
                limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            )
        except (httpx2.InvalidURL, ImportError, OSError, ValueError) as error:
            where = "is it an address, and what do HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE say?"
            raise ModelError(f"{url}: no client can be made for it ({self._clean(str(error))}); {where}") from None
        self._deadline = Deadline(self._http)

    def served(self) -> Served:
        """What the server says of the model.

        Raises:
            ModelError: the server cannot be reached, refuses the key, or does not serve one model where none is named.
        """
        try:
            listed = self._try("GET", "models")
        except Unanswered as reason:
            # Not every server can list what it serves; one that cannot be reached serves nothing.
            if self._asked_for and str(reason).startswith("HTTP "):
                return Served(self.url, self._asked_for)
            raise ModelError(f"{self.url}: {reason}; is it the address of an OpenAI-compatible server?") from None
        rows = listed.get("data")
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        models = {name: row for row in rows if (name := _text(row.get("id")))}
        if self._asked_for is None and len(models) != 1:
            some = f"several models ({', '.join(sorted(models)[:10])})" if models else "no model that it would name"
            raise ModelError(f"{self.url}: serves {some}; name one by [model] name or --rl-model")
        name = self._asked_for or next(iter(models))
        row = models.get(name, {})
        meta = row.get("meta")
        return Served(
            self.url,
            name,
            root=_text(row.get("root")),
            owned_by=_text(row.get("owned_by")),
            created=_count(row.get("created")),
            # vLLM and SGLang say max_model_len; llama.cpp says it under meta
            context_length=_count(row.get("max_model_len"))
            or (_count(meta.get("n_ctx_train")) if isinstance(meta, dict) else None),
        )

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer to one ``/chat/completions`` request; it has a choice with a message.

        Raises:
            Unanswered: not after all tries, or the server refuses this one request.
            ModelError: the server refuses every such request: wrong key, address or model.
        """
        return self._try("POST", "chat/completions", body)

    def stop(self) -> None:
        """End all waiting; requests under way are given up by whoever waits for them."""
        self._stopped.set()

    def close(self) -> None:
        self.stop()
        self._http.close()

    def _try(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        reason = "not asked"
        for attempt in range(self._tries):
            wait: float | None = None
            try:
                reply = self._reply(method, path, body)
            except (httpx2.RequestError, httpx2.InvalidURL, UnicodeError) as error:  # UnicodeError: a proxy's name
                reason = self._clean(f"{type(error).__name__}: {error}")
            except TimeoutError as error:
                reason = str(error)
            else:
                if 200 <= reply.status < 300:
                    answer = _json(reply.text) if reply.whole else None
                    if answer is not None and (body is None or _has_choice(answer)):
                        return answer
                    reason = (
                        f"no chat completion in the answer: {self._clean(reply.text) or 'empty'}"
                        if reply.whole
                        else f"an answer of more than {LONGEST_REPLY >> 20} MiB"
                    )
                else:
                    reason, wait = self._refused(method, reply)
                    if body is None and self._asked_for:
                        raise Unanswered(reason, refused=True)
            if attempt + 1 < self._tries:
                self._wait(attempt, wait, reason)
        times = "once" if self._tries == 1 else f"{self._tries} times"
        raise Unanswered(f"{reason} (asked {times})")

    def _reply(self, method: str, path: str, body: Mapping[str, Any] | None) -> _Reply:
        """One request and what came back, as far as it may be read.

        Raises:
            TimeoutError: it did not come within the deadline.
        """
        # In ASCII: a question may hold half of a character, which has no UTF-8.
        content = None if body is None else json.dumps(body).encode()
        with self._deadline.of(self._seconds):
            try:
                with self._http.stream(method, path, content=content, headers=_JSON) as response:
                    limit, got = LONGEST_REPLY if response.is_success else _LONGEST_ERROR, bytearray()
                    for part in response.iter_bytes():
                        got += part
                        if len(got) > limit:
                            break
                    text = got[:limit].decode("utf-8", errors="replace")
                    return _Reply(response.status_code, response.headers, text, len(got) <= limit)
            except httpx2.RequestError as error:
                if self._deadline.passed:
                    raise TimeoutError(f"{type(error).__name__}: no whole answer within {self._seconds:g} s") from None
                raise

    def _refused(self, method: str, reply: _Reply) -> tuple[str, float | None]:
        """The reason, and how many seconds the server asks to wait; raises where another try is no use."""
        status = reply.status
        said = self._clean(_message(reply.text))
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if 300 <= status < 400 and (to := reply.headers.get("location")):
            reason += f"; it points to {self._clean(to)}, and no redirect is followed"
        if status in (401, 403):
            variable = self._key_env or "[engine] key_env"
            state = f"the key in {variable} is refused" if self._key else f"{variable} is not set"
            raise ModelError(f"{self.url}: {reason}; {state}")
        if status == 404 and method == "POST":
            raise ModelError(f"{self.url}: {reason}; is the model's name as the server knows it?")
        if status not in _LATER and status < 500:
            raise Unanswered(reason, refused=True)
        return reason, _retry_after(reply.headers.get("retry-after"))

    def _wait(self, attempt: int, asked: float | None, reason: str) -> None:
        if asked is not None and asked > LONGEST_WAIT:
            raise Unanswered(f"{reason}; the server asks to come back in {asked:.0f} s")
        longest = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
        # Jitter, so that requests refused together do not come back together.
        if self._stopped.wait(random.uniform(longest / 2, longest) if asked is None else asked):
            raise Unanswered(f"{reason}; given up")

    def _clean(self, text: str) -> str:
        """One short line without the key, which some servers repeat, whatever variable it is from."""
        return safe_line(text.replace(self._key, "***") if self._key else text, 200).strip()


def _json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _has_choice(answer: Mapping[str, Any]) -> bool:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and isinstance(first.get("message"), dict)


def _message(text: str) -> str:
    """What an error says: OpenAI's ``error.message``, FastAPI's ``detail``, else the text."""
    value = _json(text) or {}
    error = value.get("error", value.get("detail", value.get("message")))
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) and error else text


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    return whole(value) if isinstance(value, str) and value else None


def whole(text: str) -> str:
    """A text of JSON, which may hold halves of characters (lone surrogates), with each as U+FFFD.

    >>> whole("a\\ud800b")
    'a\ufffdb'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: Any) -> int | None:
    """A number of tokens or of seconds; JSON may also hold Infinity, or a thousand digits."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1 << 53
    return int(value) if number else None


class Deadline:
    """Of the requests that a client sends from here on, also through proxies; each thread has its own."""

    def __init__(self, client: httpx2.Client) -> None:
        self._until = threading.local()
        # httpx2 has no argument for httpcore2's network backend.
        for transport in {client._transport, *client._mounts.values()} - {None}:
            pool: Any = transport._pool  # type: ignore[union-attr]
            pool._network_backend = _Backend(pool._network_backend, self)

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        self._until.time = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._until.time

    @property
    def passed(self) -> bool:
        return self.left(None) == 0

    def left(self, timeout: float | None) -> float | None:
        """Seconds that one operation may take which has ``timeout``."""
        until: float | None = getattr(self._until, "time", None)
        if until is None:
            return timeout
        left = max(0.0, until - time.monotonic())
        return left if timeout is None else min(left, timeout)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, backend: httpcore2.NetworkBackend, deadline: Deadline) -> None:
        self._backend, self._deadline = backend, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = _some(self._deadline.left(timeout), httpcore2.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left, local_address, socket_options), self._deadline)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _some(self._deadline.left(timeout), httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _some(self._deadline.left(timeout), httpcore2.WriteTimeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _some(self._deadline.left(timeout), httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _some(left: float | None, error: type[Exception]) -> float | None:
    """The time that is left; a socket would take 0 for "do not wait", and say something else."""
    if left == 0:
        raise error("the request's deadline has passed")
    return left
