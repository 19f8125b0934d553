"""What a training process prints, in ``log.txt``: line by line, without secrets and with control characters visible."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from pathlib import Path
from typing import IO

from harness.store.redact import safe_text

_LONGEST = 1_000_000  # characters of a line
_SECRET = 10_000  # more than a secret has
_KEY_LINES = 200
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?!.*-----END)")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")


class Log:
    """Reads a process's output in a thread of its own until it ends; a progress bar's ``\r`` ends a line."""

    def __init__(self, path: Path, output: IO[bytes]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._output = output
        self._held: list[str] = []  # of a private key that has begun
        self._thread = threading.Thread(target=self._follow, name="log", daemon=True)
        self._thread.start()

    def finish(self, seconds: float = 5.0) -> None:
        """Wait for the last lines. What the process has started and left behind may hold its output open."""
        self._thread.join(seconds)

    def _follow(self) -> None:
        lines, cut = io.TextIOWrapper(self._output, "utf-8", "replace"), False
        with lines, contextlib.suppress(OSError), self._file:  # what is left of it is written when it is closed
            while line := lines.readline(_LONGEST):
                whole = line.endswith("\n")
                if not cut and (whole or len(line) < _LONGEST):
                    self._line(line.removesuffix("\n"))
                elif not cut:  # a secret that the end cuts is not known as one
                    self._write(f"{safe_text(line)[:-_SECRET]}...")
                cut = not whole
            self._release()

    def _line(self, line: str) -> None:
        if not self._held and not _KEY_BEGINS.search(line):
            self._write(safe_text(line))
            return
        self._held.append(line)
        words = line.split()  # before the base64 may stand who printed it; a line may be a header, or empty
        goes_on = not words or words[0].endswith(":") or bool(_BASE64.fullmatch(words[-1]))
        if len(self._held) > 1 and ("-----END" in line or len(self._held) > _KEY_LINES or not goes_on):
            self._release()

    def _release(self) -> None:
        if self._held:
            self._write(safe_text("\n".join(self._held)))
            self._held = []

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop who prints
            self._file.write(text + "\n")
            self._file.flush()
