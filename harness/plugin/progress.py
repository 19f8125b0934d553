"""Live progress: one line below pytest's own on a terminal, or a line now and then in a log."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from harness.store.redact import safe_line

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

TERMINAL_EVERY_SECONDS = 0.2  # the capture is lifted for each line: seldom enough not to matter
LOG_EVERY_SECONDS = 15.0


class Progress:
    """Called as ``progress(stage, text)`` while a stage works. Silent under ``-q`` and in xdist's workers, which have
    no terminal.

    pytest counts the columns of its line of dots, so that line is never touched: on a terminal ours is drawn below it
    and erased before the test's result is written; in a log pytest is made to start its line again.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._stage, self._written, self._shown = "", 0.0, False
        self._said = False

    def __call__(self, stage: str, text: str) -> None:
        reporter = self._reporter()
        if reporter is None:
            return
        live, now = _is_live(reporter), time.monotonic()
        if stage == self._stage and now - self._written < (TERMINAL_EVERY_SECONDS if live else LOG_EVERY_SECONDS):
            return
        self._stage, self._written, self._shown = stage, now, True
        line = safe_line(f"  {stage}: {text}")
        with self._uncaptured():
            if live:
                _draw_below(reporter, line)
            else:
                _write_on_a_line(reporter, line)

    def say(self, stage: str, text: str) -> None:
        """Write a line that stays: what a health check found must not be drawn over."""
        reporter = self._reporter()
        if reporter is None:
            return
        self.clear()
        self._said = True
        with self._uncaptured():
            _write_on_a_line(reporter, safe_line(f"  {stage}: {text}"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Make room for the result that pytest is about to write."""
        reporter = self._reporter()
        shown, said = self.clear(), self._said
        self._said = False
        if reporter is None or reporter.showlongtestinfo or not (said or (shown and not _is_live(reporter))):
            return
        reporter.currentfspath = None
        reporter.write_fspath_result(report.nodeid, "")

    def clear(self) -> bool:
        """Erase what is drawn; whether there was anything."""
        shown, self._shown, self._stage = self._shown, False, ""
        reporter = self._reporter()
        if shown and reporter is not None and _is_live(reporter):
            with self._uncaptured():
                _draw_below(reporter, "")
        return shown

    def _reporter(self) -> TerminalReporter | None:
        reporter: TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        quiet = hasattr(self._config, "workerinput") or self._config.get_verbosity() < 0
        return None if quiet else reporter

    def _uncaptured(self) -> AbstractContextManager[Any]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else nullcontext()


def _write_on_a_line(reporter: TerminalReporter, line: str) -> None:
    reporter.ensure_newline()
    reporter.write(line, flush=True)
    reporter.currentfspath = -2  # pytest's own mark for "in the middle of a line"


def _is_live(reporter: TerminalReporter) -> bool:
    # write_raw (pytest 9) leaves pytest's count of columns alone; without it a log's lines are the safe choice.
    return bool(reporter.isatty) and os.environ.get("TERM") != "dumb" and hasattr(reporter, "write_raw")


def _draw_below(reporter: TerminalReporter, line: str) -> None:
    """Replace the line below the cursor's and come back. The newline makes room where the screen ends."""
    writer = reporter.config.get_terminal_writer()
    column = min(writer.width_of_current_line, writer.fullwidth - 1) + 1
    reporter.write_raw(f"\n\x1b[2K{line[: writer.fullwidth - 1]}\x1b[A\x1b[{column}G", flush=True)
