"""What belongs to a session rather than to a recipe: where things are kept, and how a user is told."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """What belongs to a session rather than to a recipe.

    ``data`` replaces the Hub as the source of questions. ``fresh`` uses nothing kept from earlier sessions.
    ``name`` is what the runs are called instead of by their recipe and what was overridden in it.
    ``announce(stage, text, share)`` is called as work goes on, with the share that is done where that is known, and
    ``say(stage, text)`` with what must not be missed.
    ``gates`` of the session share alpha. ``update`` records baselines (``"new"`` where there is none, or ``"all"``),
    from a clean git tree unless ``allow_dirty``.
    """

    runs_dir: Path = Path("rl-runs")
    data: Path | None = None
    device: str | None = None
    fresh: bool = False
    in_process: bool = False
    stop_early: bool = False
    baselines_dir: Path | None = None
    update: Literal["new", "all"] | None = None
    allow_dirty: bool = False
    gates: int = 1
    name: str | None = None
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    announce: Callable[[str, str, float | None], None] = lambda stage, text, share: None
    say: Callable[[str, str], None] = lambda stage, text: None

    def __post_init__(self) -> None:
        for name in ("runs_dir", "data", "baselines_dir"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
