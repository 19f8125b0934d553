"""Standard output and standard error of the subcommands, whatever they and the libraries print, and live progress."""

from __future__ import annotations

import io
import re
import shutil
import sys
import time
from typing import TextIO

from harness.store.redact import safe_line, safe_text
from harness.store.words import drawable

LOG_EVERY_SECONDS = 15.0
_MOVES = re.compile(r"(?:\n|\x1b\[A)*")  # what progress bars below one another write alone


class SafeOutput(io.TextIOBase):
    """Each text that is printed is one line, or a part of one; several lines are printed one by one."""

    def __init__(self, output: TextIO) -> None:
        self.output = output

    def write(self, text: str) -> int:
        self.output.write(text if text == "\n" else self._drawable(safe_line(text)))
        return len(text)

    def _drawable(self, text: str) -> str:
        return drawable(text, getattr(self.output, "encoding", None))

    def flush(self) -> None:
        self.output.flush()

    def isatty(self) -> bool:
        return self.output.isatty()

    def fileno(self) -> int:
        return self.output.fileno()


class SafeErrors(SafeOutput):
    """Warnings, logs and what a reward prints there, of many lines each, and the progress bars of libraries, which
    begin their line anew. Our own live line goes to ``output`` itself."""

    def write(self, text: str) -> int:
        self.output.write(
            text if _MOVES.fullmatch(text) else self._drawable("\r".join(map(safe_text, text.split("\r"))))
        )
        return len(text)


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

    def __call__(self, stage: str, text: str, share: float | None = None) -> None:
        now = time.monotonic()
        if stage == self._stage and now - self._written < (0.2 if self._live else LOG_EVERY_SECONDS):
            return
        self._stage, self._written = stage, now
        line = self._drawable(f"{stage}: {text}")
        if self._live:
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=self._output, flush=True)
        else:
            print(line, file=self._output, flush=True)

    def say(self, stage: str, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(self._drawable(f"{stage}: {text}"), file=self._output, flush=True)

    def _drawable(self, text: str) -> str:
        return drawable(safe_line(text), getattr(self._output, "encoding", None))

    def clear(self) -> None:
        """Leave the line to what is printed next."""
        if self._live and self._stage:
            print("\r\x1b[K", end="", file=self._output, flush=True)
