from __future__ import annotations

import pytest

from harness.models.engines.base import TRUSTED_HOSTS, key_may_go, server_url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        (" http://localhost:8000/v1/ ", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/models", "http://localhost:8000/v1"),
        ("https://host/api/openai/v1", "https://host/api/openai/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("HTTP://GPU-Box_2.local.:8000", "http://gpu-box_2.local.:8000/v1"),
        ("https://bücher.example", "https://xn--bcher-kva.example/v1"),
    ],
)
def test_an_address_is_read_as_it_is_pasted(given, url):
    assert server_url(given) == url
    assert server_url(url) == url


HOSTILE = ["http://a\0b/v1", "http://host/\x1b[31mv1", "http://host/\u202ev1", "http://h\u202ea/v1", "http://a b/v1"]
HOSTILE += ["http://host\n/v1", f"http://{'a' * 70}.com/v1", "http://a..b/v1", "http://[::g]/v1", "http://\ud800/v1"]
HOSTILE += ["http://host:99999/v1", f"http://host/{'a' * 3000}", "http://host/\ud800", "http://a!b/v1"]


@pytest.mark.parametrize(
    "given", ["", "localhost:8000", "ftp://host/v1", "http://", "http://host:port/v1", "Qwen/Qwen2", *HOSTILE]
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(ValueError, match="write one such as http://localhost:8000/v1"):
        server_url(given)


@pytest.mark.parametrize("given", ["http://me:secret@host/v1", "http://secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_with_a_key_in_it_is_refused_without_repeating_it(given):
    with pytest.raises(ValueError, match="environment variable OPENAI_API_KEY") as refused:
        server_url(given)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://127.8.8.8/v1", True),
        ("http://[::1]:8000/v1", True),
        ("https://api.example.com/v1", True),
        ("http://gpu-box:8000/v1", True),
        ("https://api.example.com.evil.com/v1", False),
        ("https://example.com/v1", False),
        ("http://localhost.evil.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://0.0.0.0/v1", False),
    ],
)
def test_where_a_key_may_go(monkeypatch, url, goes):
    monkeypatch.setenv(TRUSTED_HOSTS, "API.example.com, gpu-box")
    assert key_may_go(url) is goes
