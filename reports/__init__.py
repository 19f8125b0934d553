"""HTML reports of finished (or half-finished) runs. Reads run directories and nothing else.

>>> from pathlib import Path
>>> from reports import render_session
>>> render_session([Path("runs/tiny-arithmetic-0-0123456789ab")], Path("report"))  # doctest: +SKIP
PosixPath('report/index.html')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.history_page import render_history
    from reports.render import render_comparison, render_session

__all__ = ["render_comparison", "render_history", "render_session"]


def __getattr__(name: str) -> Any:
    """Jinja and matplotlib are imported by those who draw, not by those who ask for the names of stages."""
    if name == "render_history":
        from reports.history_page import render_history

        return render_history
    if name in __all__:
        from reports import render

        return getattr(render, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
