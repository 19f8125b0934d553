"""Secrets taken out of what is printed about the environment: tokens by their looks, values by their names."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "[redacted]"

# Nothing here scans back and forth over what comes before the telling part: a log line may have a million characters.
_TOKEN = re.compile(
    r"(?:\bhf_|\bgh[opsur]_|\bgithub_pat_|\bglpat-|\bsk-|\bxox[abeoprs]-|\bAKIA|\bAIza|\bnpm_|\bpypi-)[A-Za-z0-9_\-]{12,}"
    r"|(?<![\w\-])eyJ[A-Za-z0-9_\-]{8,400}\.[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]+"  # a JSON web token
)
# "pad_token" and its like are the tokenizer's, not secrets.
_SECRET_WORD = (
    r"(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)"
    r"(?:token|secret|password|passwd|api[_-]?key|access[_-]?key|credentials?)"
)
_ASSIGNED = re.compile(rf"(?i)({_SECRET_WORD}\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&]+)")
_OPTION = re.compile(rf"(?i)((?<![\w\-])--[\w-]{{0,40}}{_SECRET_WORD}\s+)(\S+)")
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=\-]{16,})")
_URL_LOGIN = re.compile(r"(://)[^\s/@]{1,400}@")
_SECRET_KEY = re.compile(rf"(?i)(?:^|[_\-.]){_SECRET_WORD}$")


def redact(text: str) -> str:
    """``text`` without tokens, ``password=...`` values, bearer headers and logins in URLs.

    >>> redact("HF_TOKEN=abc pytest --model hf_0123456789abcdef")
    'HF_TOKEN=[redacted] pytest --model [redacted]'
    """
    text = _ASSIGNED.sub(rf"\g<1>{HIDDEN}", text)
    text = _OPTION.sub(rf"\g<1>{HIDDEN}", text)
    text = _BEARER.sub(rf"\g<1>{HIDDEN}", text)
    text = _URL_LOGIN.sub(rf"\g<1>{HIDDEN}@", text)
    return _TOKEN.sub(HIDDEN, text)


def redact_tree(value: Any, key: str = "") -> Any:
    """The same for parsed JSON or TOML, where a telling key hides its whole value."""
    if isinstance(value, dict):
        return {redact(str(name)): redact_tree(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [redact_tree(inner, key) for inner in value]
    if isinstance(value, str):
        return HIDDEN if value and _SECRET_KEY.search(key) else redact(value)
    return value
