from __future__ import annotations

import pytest


@pytest.fixture
def impatient(monkeypatch):
    """No key, no proxy, and next to no time between two tries."""
    from harness.models.engines import chat_server

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(chat_server, "FIRST_WAIT", 0.01)
