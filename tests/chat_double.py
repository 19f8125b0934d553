"""An OpenAI-compatible server that misbehaves as it is told: 429, 500, cut connections, garbage, silence."""

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
    """What is sent back: a status, a JSON value or raw text, and headers."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def answer(text: str = r"\boxed{7}", finish: str | None = "stop", prompt: int = 11, tokens: int = 5) -> Reply:
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
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
            text = reply.value if isinstance(reply.value, str) else json.dumps(reply.value)
            data = text.encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

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
