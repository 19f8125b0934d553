"""Standard output and standard error of the subcommands, whatever they and the libraries print."""

from __future__ import annotations

import io
import re
from typing import TextIO

from harness.store.redact import safe_line, safe_text

_MOVES = re.compile(r"(?:\n|\x1b\[A)*")  # what progress bars below one another write alone


class SafeOutput(io.TextIOBase):
    """Each text that is printed is one line, or a part of one; several lines are printed one by one."""

    def __init__(self, output: TextIO) -> None:
        self.output = output

    def write(self, text: str) -> int:
        self.output.write(text if text == "\n" else safe_line(text))
        return len(text)

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
        self.output.write(text if _MOVES.fullmatch(text) else "\r".join(map(safe_text, text.split("\r"))))
        return len(text)
