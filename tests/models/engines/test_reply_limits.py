"""Replies that come too slowly and replies that are too long, from a real server on the loopback."""

from __future__ import annotations

import gzip
import json
import resource
import time
import zlib

import pytest

from harness.models.engines.chat_server import LONGEST_REPLY, ChatServer, Unanswered
from harness.models.engines.endpoint import EndpointEngine
from harness.store.errors import ModelError
from harness.store.records import SamplingParams
from tests.chat_double import HANG, Reply, answer, chat_double, models
from tests.models.engines.asking import ask, some

pytestmark = pytest.mark.usefixtures("impatient")

GOOD = answer()
LONG = Reply(200, {"object": "list", "data": [{"id": "a" * 400}]})


def packed(blanks: int) -> bytes:
    """So many MiB of blanks in a thousandth of that, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join([packer.compress(b" " * (1 << 20)) for _ in range(blanks)]) + packer.flush()


BOMB = packed(512)


def dripping(reply: Reply, drips: str) -> Reply:
    return Reply(reply.status, reply.value, reply.headers, drips)


# A reply of some hundred bytes at a twentieth of a second each takes over ten seconds.
@pytest.mark.parametrize("drips", ["headers", "body"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_drips_is_given_up_at_the_deadline(drips, status):
    """Which is that of silence, where it has none of its own."""
    slow = dripping(GOOD if status == 200 else Reply(500, "x" * 400), drips)
    with chat_double(chat=lambda number, body: slow if "1?" in body["messages"][0]["content"] else answer()) as double:
        started = time.monotonic()
        found = ask(double, some(3), tries=2, timeout_seconds=5.0, deadline_seconds=0.6)
        assert [key for key, each in found.items() if each.error] == [("t/1", 0)]
        assert "no whole answer within 0.6 s (asked 2 times)" in (found["t/1", 0].error or "")
        with pytest.raises(ModelError, match=r"no whole answer within 0\.4 s"):
            ask(double, some(2)[1:], tries=2, timeout_seconds=0.4)
        double.listing = lambda: dripping(LONG, drips)
        with pytest.raises(ModelError, match=r"no whole answer within 0\.3 s"):
            EndpointEngine(double.url, tries=2, timeout_seconds=0.3)
        assert time.monotonic() - started < 8


def test_a_slow_server_may_take_longer_than_its_silence():
    """What drips is read, as long as it is there before the deadline."""
    short = Reply(200, {"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]}, drips="body")
    with chat_double(chat=lambda number, body: short) as double:
        (found,) = ask(double, some(1), tries=1, timeout_seconds=1.0, deadline_seconds=20).values()
    assert (found.completion, found.error) == ("7", None)


def test_a_connection_that_was_kept_has_a_new_deadline():
    with chat_double() as double:
        server = ChatServer(double.url, timeout_seconds=5.0, deadline_seconds=0.5, connections=1, tries=1)
        for _ in range(3):
            server.complete({"messages": [1]})
            time.sleep(0.25)
        double.chat = lambda number, body: HANG
        with pytest.raises(Unanswered, match=r"no whole answer within 0.5 s"):
            server.complete({"messages": [1]})
        server.close()


def test_through_a_proxy_too(monkeypatch):
    """The double takes a proxy's request lines for its own."""
    with chat_double(chat=lambda number, body: dripping(GOOD, "headers")) as double:
        monkeypatch.setenv("HTTP_PROXY", double.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        server = ChatServer("http://elsewhere.invalid/v1", "a", deadline_seconds=0.4, tries=1)
        started = time.monotonic()
        with pytest.raises(Unanswered, match=r"no whole answer within 0.4 s"):
            server.complete({"messages": [1]})
        assert time.monotonic() - started < 4
        assert double.bodies, "the proxy was asked"
        server.close()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


PACKED = {"Content-Encoding": "gzip"}
TWICE = gzip.compress(BOMB, mtime=0)
TOO_LONG = {
    "packed": Reply(200, BOMB, PACKED),
    "packed twice": Reply(200, TWICE, {"Content-Encoding": "gzip, gzip"}),
    "an error, packed": Reply(500, BOMB, PACKED),
    "no end": Reply(200, b" " * (1 << 16), endless=True),
    "an error without an end": Reply(503, b"<html>" * 10000, endless=True),
}


@pytest.mark.parametrize("reply", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize("what", ["an answer", "a listing"])
def test_a_reply_is_read_up_to_a_limit(reply, what):
    said = "more than 16 MiB" if reply.status == 200 else f"HTTP {reply.status}"
    behaviour = {"chat": lambda number, body: reply} if what == "an answer" else {"listing": lambda: reply}
    before = peak()
    with chat_double(**behaviour) as double:
        with pytest.raises(ModelError, match=said) as no:
            ask(double, some(1), tries=1, timeout_seconds=20.0)
        assert double.sent < 2 * LONGEST_REPLY + (8 << 20), "it was hung up on"
    assert len(str(no.value)) < 600
    assert peak() - before < 200 << 20


def test_a_long_answer_within_the_limit_is_whole():
    text = "thought " * 200_000
    long = Reply(200, gzip.compress(json.dumps(answer(text).value).encode()), PACKED)
    with chat_double(chat=lambda number, body: long, listing=lambda: models("a")) as double:
        (found,) = ask(double, some(1), SamplingParams(max_new_tokens=2000)).values()
    assert found.completion == text
