"""What is seen while work goes on: a bar a stage in a notebook, a line a stage in a script."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any

from harness.store.redact import safe_line

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed}"


def in_notebook() -> bool:
    """Whether a kernel runs this, which draws what a cell shows; a terminal's prompt is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Progress:
    """``announce`` and ``say`` of :class:`harness.pipeline.settings.Settings`, for as long as it is a context.

    In a notebook each stage has a bar that stays when it is full. Elsewhere a stage is one line of standard error, when
    it is done.
    """

    def __init__(self, notebook: bool | None = None) -> None:
        self._notebook = in_notebook() if notebook is None else notebook
        self._stage, self._line = "", ""  # the line is not yet printed
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def announce(self, stage: str, text: str, share: float | None) -> None:
        """How far a stage is, and the share of it that is done where that is known."""
        if stage != self._stage:
            self._end()
            self._stage = stage
        self._line = safe_line(f"{stage}: {text}")
        if self._notebook:
            if self._bar is None:
                self._bar = _bar()
            self._bar.n = self._bar.n if share is None else share
            self._bar.set_description_str(self._line)  # draws it

    def say(self, stage: str, text: str) -> None:
        """A line that stays."""
        line = safe_line(f"{stage}: {text}")
        if self._notebook:
            _tqdm().write(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line:
            print(self._line, file=sys.stderr, flush=True)
        self._stage, self._line, self._bar = "", "", None


def _bar() -> Any:
    return _tqdm()(total=1.0, bar_format=_FORMAT)


def _tqdm() -> Any:
    """A widget where the notebook can show one, and else a bar of text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "IProgress not found": a bar of text will do
        from tqdm.auto import tqdm

    return tqdm
