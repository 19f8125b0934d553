"""What is asked of a server before any question: its key, its models, whether it is there."""

from __future__ import annotations

import json
import os

import pytest

from harness.models.engines.chat_server import Served
from harness.models.engines.endpoint import EndpointEngine
from harness.store.errors import ModelError
from tests.chat_double import CUT, Reply, chat_double, models
from tests.models.engines.asking import ask, some

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_key_is_sent_and_never_said(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    repeat = Reply(401, {"error": {"message": "Incorrect API key provided: sk-very-secret"}})
    with chat_double() as double:
        ask(double, some(1), key_env="MY_KEY")
        assert set(double.keys) == {"Bearer sk-very-secret"}
        double.chat = lambda number, body: repeat
        with pytest.raises(ModelError, match="the key in MY_KEY is refused") as refused:
            ask(double, some(1), key_env="MY_KEY")
    assert "sk-very-secret" not in str(refused.value)


def test_without_a_key_none_is_sent():
    with chat_double() as double:
        ask(double, some(1))
    assert set(double.keys) == {None}


@pytest.mark.parametrize("key", ["sk-é", "sk\nX-Other: 1", "sk-\u202e", "sk\x00", "sk-\udcff"])
def test_what_can_be_no_key_is_told_and_not_shown(monkeypatch, key):
    monkeypatch.setattr("os.environ", {**os.environ, "MY_KEY": key})
    with chat_double() as double, pytest.raises(ModelError, match="MY_KEY: a key is one line of ASCII") as refused:
        ask(double, some(1), key_env="MY_KEY")
    assert not double.keys
    assert "sk" not in str(refused.value).replace("ask", "")


NO_CLIENT = "no client .* HTTP_PROXY, ALL_PROXY"


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks9://127.0.0.1:9", NO_CLIENT),
        ("http://[::g]", NO_CLIENT),
        ("http://a..b:1", "UnicodeError: .*label empty"),
    ],
)
def test_a_proxy_that_is_none_is_told(monkeypatch, proxy, said):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ModelError, match=rf"http://host/v1: {said}"):
        EndpointEngine("http://host/v1", "a", tries=1)


@pytest.mark.parametrize(
    ("listing", "name", "said"),
    [
        (lambda: models(), None, "serves no model that it would name; name one"),
        (lambda: models("a", "b"), None, r"serves several models \(a, b\); name one"),
        (lambda: Reply(404, {}), None, "HTTP 404"),
        (lambda: Reply(401, {"error": {"message": "who?"}}), "a", "OPENAI_API_KEY is not set"),
        (lambda: CUT, "a", "is it the address of an OpenAI-compatible server"),
        (lambda: Reply(200, "<html>"), "a", "is it the address of an OpenAI-compatible server"),
        (lambda: Reply(307, "", {"Location": "/v2/models"}), None, "it points to /v2/models, and no redirect is"),
        (lambda: Reply(200, {"data": 5}), None, "serves no model that it would name"),
        (lambda: Reply(200, {"data": [5, {"id": None}, {"id": {}}, {"id": ""}]}), None, "serves no model"),
    ],
)
def test_a_server_without_the_model_is_told_before_anything_is_asked(listing, name, said):
    with chat_double(listing=listing) as double:
        with pytest.raises(ModelError, match=said) as no:
            EndpointEngine(double.url, name, tries=2)
        assert double.url in str(no.value)
        assert not double.bodies


def test_nothing_there_names_the_address():
    with chat_double() as double:
        url = double.url
    with pytest.raises(ModelError, match=f"{url}: ConnectError"):
        EndpointEngine(url, tries=2)


@pytest.mark.parametrize(
    "listing", [lambda: models("a", "b"), lambda: Reply(404, {}), lambda: models(), lambda: Reply(500, "no cache")]
)
def test_a_named_model_needs_no_listing(listing):
    with chat_double(listing=listing) as double:
        assert EndpointEngine(double.url, "b").model == "b"
    assert len(double.keys) == 1


def test_what_is_listed_is_kept():
    more = {"root": "/models/b", "owned_by": "me", "created": 17, "max_model_len": 512}
    with chat_double(listing=lambda: models("b", **more)) as double:
        served = EndpointEngine(double.url).served
    assert (served.model, served.root, served.owned_by, served.created) == ("b", "/models/b", "me", 17)
    assert served.context_length == 512


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1, 10**400, "x", True, None])
def test_what_is_listed_may_be_of_any_kind(number):
    for meta in ([1], "x", 5, None, {"n_ctx_train": number}):
        listing = models("b", root=5, owned_by=[1], created=number, max_model_len=number, meta=meta)
        with chat_double(listing=lambda: listing) as double:  # noqa: B023
            served = EndpointEngine(double.url).served
        assert served == Served(double.url, "b")


DEEP = json.loads("[" * 300 + "]" * 300)


def test_a_listing_in_halves_of_characters_is_whole():
    with chat_double(listing=lambda: Reply(200, '{"data": [{"id": "a\\ud800", "root": "\\udfff"}]}')) as double:
        served = EndpointEngine(double.url).served
    assert (served.model, served.root) == ("a\ufffd", "\ufffd")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"data": ' + "[" * 5000 + "]" * 5000 + "}", '{"data": ' + "9" * 6000 + "}"]
)
def test_what_python_does_not_read_is_no_listing(text):
    refused = pytest.raises(ModelError, match="no chat completion in the answer")
    with chat_double(listing=lambda: Reply(200, text)) as double, refused:
        EndpointEngine(double.url, tries=1)


def test_what_a_server_says_of_an_error_may_be_of_any_kind():
    for error in (DEEP, 5, True, {"message": DEEP}, {"message": None}, [], {"message": "\ud800\x1b[31m"}):
        refused = pytest.raises(ModelError, match="in a row could not be had: HTTP 400")
        with chat_double(chat=lambda number, body: Reply(400, {"error": error})) as double, refused as no:  # noqa: B023
            ask(double, some(1), tries=1)
        str(no.value).encode()
        assert "\x1b" not in str(no.value)
