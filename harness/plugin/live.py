"""The report while a session runs: first written a few seconds after work begins, then now and then, and once more at
the end by :mod:`harness.plugin.summary`. Sessions that end at once never draw it twice."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

FIRST_SECONDS, EVERY_SECONDS = 3.0, 20.0
SHARE = 0.05  # of the session's time at most: a page of many answers takes seconds


class Live:
    """Called with the runs begun so far and what is at work. ``drawn``: whether a page says that work goes on."""

    def __init__(self, folder: Path) -> None:
        self.drawn = False
        self._folder = folder
        self._due: float | None = None

    def __call__(self, directories: Iterable[Path], at_work: str) -> None:
        now = time.monotonic()
        if self._due is None:
            self._due = now + FIRST_SECONDS
        if now < self._due:
            return
        from harness.report.render import render_session

        try:
            render_session(sorted(directories), self._folder, live=at_work)
            self.drawn = True
        except Exception:  # a page on the side ends no training; the end draws it anew and says why
            pass
        self._due = time.monotonic() + max(EVERY_SECONDS, (time.monotonic() - now) / SHARE)
