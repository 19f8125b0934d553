"""The address of an OpenAI-compatible server, as recipes and the command line give it. Imports nothing heavy."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

OMITTABLE = ("seed", "temperature", "top_p")  # what a request may be without, since some servers refuse it

_CALLS = ("/chat/completions", "/models")  # what is often pasted along


def server_url(text: str) -> str:
    """The base address, ``http://host:8000/v1`` for ``http://host:8000`` or ``.../v1/chat/completions``.

    Raises:
        ValueError: it is no such address, or it carries a key: that would be written into run directories. The text
            says what to write instead and never repeats the address.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("is no address of a server; write one such as http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "must hold no user, password or query, since it is written into run directories; a key is read from the "
            "environment variable OPENAI_API_KEY, or from the one that [engine] key_env names"
        )
    path = parts.path.rstrip("/")
    for call in _CALLS:
        path = path.removesuffix(call)
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, place if port is None else f"{place}:{port}", path or "/v1", "", ""))
