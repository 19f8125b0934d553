"""An OpenAI-compatible server that misbehaves as it is told: 429, 500, cut connections, garbage, silence, replies that
come a byte at a time, replies without an end."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CUT, HANG = "cut", "hang"


@dataclass(frozen=True)
class Reply:
    """What is sent back: a status, a JSON value or raw text or bytes, and headers. From ``drips`` on (``"headers"`` or
    ``"body"``) a byte every twentieth of a second; ``endless``: the value over and over, until the client goes."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drips: str | None = None
    endless: bool = False


def answer(
    text: str | None = r"\boxed{7}", finish: str | None = "stop", prompt: int = 11, tokens: int = 5, **more: Any
) -> Reply:
    """``more`` are further keys of the message."""
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **more}, "finish_reason": finish}
    return Reply(200, {"object": "chat.completion", "choices": [choice], "usage": usage})


def models(*names: str, **more: Any) -> Reply:
    return Reply(200, {"object": "list", "data": [{"id": name, "object": "model", **more} for name in names]})


@dataclass
class ChatDouble:
    """``chat(number, body)`` and ``listing()`` decide; ``number`` counts requests with the same messages and seed from
    0. A reply of :data:`CUT` closes the connection, :data:`HANG` says nothing until the server ends."""

    url: str
    chat: Callable[[int, dict[str, Any]], Reply | str] = lambda number, body: answer()
    listing: Callable[[], Reply | str] = lambda: models("served-model")
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_once: int = 0
    sent: int = 0  # bytes of replies without an end


@contextmanager
def chat_double(**behaviour: Any) -> Iterator[ChatDouble]:
    ended, lock, under_way, seen = threading.Event(), threading.Lock(), [0], {}  # type: ignore[var-annotated]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            double.keys.append(self.headers.get("Authorization"))
            self._send(double.listing() if self.path.endswith("/models") else Reply(404, {"error": "no such path"}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                under_way[0] += 1
                double.most_at_once = max(double.most_at_once, under_way[0])
                double.bodies.append(body)
                double.keys.append(self.headers.get("Authorization"))
                key = json.dumps([body["messages"], body.get("seed")])
                number = seen[key] = seen.get(key, -1) + 1
            try:
                self._send(double.chat(number, body))
            finally:
                with lock:
                    under_way[0] -= 1

        def _send(self, reply: Reply | str) -> None:
            if reply == HANG:
                ended.wait(30)
            if isinstance(reply, str):
                self.close_connection = True
                self.connection.close()
                return
            value = reply.value if isinstance(reply.value, str | bytes) else json.dumps(reply.value)
            data = value.encode() if isinstance(value, str) else value
            length = {"Content-Length": str(len(data))} if not reply.endless else {"Connection": "close"}
            lines = [f"HTTP/1.1 {reply.status} As told", *(f"{k}: {v}" for k, v in {**length, **reply.headers}.items())]
            head = "\r\n".join([*lines, "", ""]).encode()
            if reply.drips == "headers":
                self._drip(head)
            else:
                self.wfile.write(head)
            if reply.drips:
                self._drip(data)
            else:
                self.wfile.write(data)
            while reply.endless and not ended.is_set():
                self.wfile.write(data)
                double.sent += len(data)
            self.close_connection = self.close_connection or reply.endless

        def _drip(self, data: bytes) -> None:
            for each in data:
                self.wfile.write(bytes([each]))
                if ended.wait(0.05):
                    return

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):  # the client has gone, or we cut it off
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    double = ChatDouble(f"http://127.0.0.1:{server.server_address[1]}/v1", **behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
