"""A deadline for whole HTTP requests: the client's own limits are about one read, and a server that sends a byte now
and then never breaks those.

    deadline = Deadline(client)
    with deadline.of(60.0), client.stream("GET", "models") as response:  # a read, write or connect ends by then
        ...

Sockets learn of it beneath the client, so it holds while the headers of a reply come in, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2


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
