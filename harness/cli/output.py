"""Standard output of the subcommands, whatever they print."""

from __future__ import annotations

import io
from typing import TextIO

from harness.redact import safe_line


class SafeOutput(io.TextIOBase):
    """Each text that is printed is one line, or a part of one; several lines are printed one by one."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, text: str) -> int:
        self._output.write(text if text == "\n" else safe_line(text))
        return len(text)

    def flush(self) -> None:
        self._output.flush()

    def isatty(self) -> bool:
        return self._output.isatty()
