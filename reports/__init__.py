"""HTML reports of finished (or half-finished) runs. Reads run directories and nothing else.

>>> from pathlib import Path
>>> from reports import render_session
>>> render_session([Path("runs/tiny-arithmetic-0-0123456789ab")], Path("report"))  # doctest: +SKIP
PosixPath('report/index.html')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.history_page import render_history
    from reports.render import render_comparison, render_session

__all__ = ["render_comparison", "render_history", "render_session"]


def __getattr__(name: str) -> Any:
    """Whoever wants :mod:`reports.redact` alone does not wait for what draws."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("reports.history_page" if name == "render_history" else "reports.render"), name)
