"""What every page has: its style and script in one piece each, the policy that allows no others, and a whole file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


def joined(names: Sequence[str]) -> str:
    """Style or script files of the templates, one after the other."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def policy_of(css: str, script: str) -> str:
    """A Content-Security-Policy that allows this style and this script and nothing else."""
    return (
        f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def write_page(target: Path, page: str) -> Path:
    """Write a page under another name and rename it, so that a reader never meets half a page. Returns ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{os.getpid()}.{hashlib.sha256(target.name.encode()).hexdigest()[:12]}.tmp")
    try:
        unfinished.write_bytes(page.encode("utf-8", "replace"))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
