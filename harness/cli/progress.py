"""Live progress on standard error."""

from __future__ import annotations

import shutil
import sys
import time

from harness.store.redact import safe_line

LOG_EVERY_SECONDS = 15.0


class Progress:
    """``progress(stage, text)``: one line of standard error that is rewritten, or in a log a line now and then. Leaving
    it as a context erases that line, also before an error is told."""

    def __init__(self) -> None:
        self._stage, self._written = "", 0.0
        self._output = getattr(sys.stderr, "output", sys.stderr)  # its lines are safe, and drawn over
        self._live = self._output.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, stage: str, text: str) -> None:
        now = time.monotonic()
        if stage == self._stage and now - self._written < (0.2 if self._live else LOG_EVERY_SECONDS):
            return
        self._stage, self._written = stage, now
        line = safe_line(f"{stage}: {text}")
        if self._live:
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=self._output, flush=True)
        else:
            print(line, file=self._output, flush=True)

    def say(self, stage: str, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(safe_line(f"{stage}: {text}"), file=self._output, flush=True)

    def clear(self) -> None:
        """Leave the line to what is printed next."""
        if self._live and self._stage:
            print("\r\x1b[K", end="", file=self._output, flush=True)
