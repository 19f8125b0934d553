"""HTML reports of finished (or half-finished) runs. Reads run directories and nothing else.

>>> from pathlib import Path
>>> from harness.report import render_session
>>> render_session([Path("runs/tiny-arithmetic-0-0123456789ab")], Path("report"))  # doctest: +SKIP
PosixPath('report/index.html')
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.report.history_page import render_history
    from harness.report.render import render_comparison, render_session

_PACKAGE = Path(__file__).parents[1]
# What pages look like; an installed package carries a copy, in a checkout it lies at the top.
TEMPLATES = next(folder for folder in (_PACKAGE / "reports", _PACKAGE.parent / "reports") if folder.is_dir())

__all__ = ["render_comparison", "render_history", "render_session"]


def __getattr__(name: str) -> Any:
    """Whoever wants a name alone does not wait for what draws."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        import_module("harness.report.history_page" if name == "render_history" else "harness.report.render"), name
    )
