from __future__ import annotations

import pytest

from harness.models.engines.base import server_url


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
    ],
)
def test_an_address_is_read_as_it_is_pasted(given, url):
    assert server_url(given) == url
    assert server_url(url) == url


@pytest.mark.parametrize(
    "given", ["", "localhost:8000", "ftp://host/v1", "http://", "http://host:port/v1", "Qwen/Qwen2"]
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(ValueError, match="write one such as http://localhost:8000/v1"):
        server_url(given)


@pytest.mark.parametrize("given", ["http://me:secret@host/v1", "http://secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_with_a_key_in_it_is_refused_without_repeating_it(given):
    with pytest.raises(ValueError, match="environment variable OPENAI_API_KEY") as refused:
        server_url(given)
    assert "secret" not in str(refused.value)
