"""HTML reports of finished (or half-finished) runs. Reads run directories and nothing else.

>>> from pathlib import Path
>>> from reports import render_session
>>> render_session([Path("runs/tiny-arithmetic-0-0123456789ab")], Path("report"))  # doctest: +SKIP
PosixPath('report/index.html')
"""

from reports.history_page import render_history
from reports.render import render_comparison, render_session

__all__ = ["render_comparison", "render_history", "render_session"]
