"""Pages of finished (or half-finished) runs: data for them, charts, and rendering. What they look like is in reports/.

Reads run directories by the types of the store, and imports no other room: no torch, no model.

from harness.report.render import render_session
render_session([Path("rl-runs/tiny-arithmetic-0-0123456789ab")], Path("rl-report"))
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# An installed package carries a copy; in a checkout it lies at the top.
TEMPLATES = next(folder for folder in (_PACKAGE / "reports", _PACKAGE.parent / "reports") if folder.is_dir())
