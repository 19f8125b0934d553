"""Live progress: a line a stage of a run, redrawn on a terminal while it works, and a line of marks a run's tests."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.terminal import OURS, drawable
from harness.store.redact import safe_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

TERMINAL_EVERY_SECONDS = 0.2  # the capture is lifted for each line: seldom enough not to matter
LOG_AFTER_SECONDS = 60.0  # a log hears of a stage that takes longer, and then after twice the time, up to
LOG_EVERY_SECONDS = 300.0
FOLDER = "rl_harness_at_work"  # of what a worker of xdist's is told
EVERY_SECONDS = 0.5  # it leaves its word, and that is looked for
NAME_WIDTH, BAR_WIDTH, BAR_FROM = 28, 20, 80  # columns; a narrower terminal has no bar


class Word:
    """What a worker leaves of a stage while that works."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stage, self._begun, self._due = "", 0.0, 0.0

    def __call__(self, stage: str, text: str, share: float | None) -> None:
        now = time.time()
        if stage != self._stage:
            self._stage, self._begun, self._due = stage, now, now
        if now < self._due:
            return
        self._due = now + EVERY_SECONDS
        unfinished = self._path.with_suffix(".new")
        with suppress(OSError):  # it is for whoever looks on
            unfinished.write_text(json.dumps([stage, text, share, self._begun]), encoding="utf-8")
            unfinished.replace(self._path)

    def clear(self) -> None:
        self._stage = ""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def word_of(config: pytest.Config) -> Word | None:
    """Where a worker leaves its word, if anybody looks on."""
    told = getattr(config, "workerinput", {})
    return Word(Path(told[FOLDER], told["workerid"])) if FOLDER in told else None


class Progress:
    """Called as ``progress(stage, text, share)`` while a stage works, ``share`` of it being done; a stage that was
    measured leaves a line. Silent under ``-q``; a worker of xdist's has no terminal, and leaves word for the process
    that has one (:mod:`harness.plugin.workers`).

    Tests of a run make stages, and stages write lines, so that pytest's line of marks would begin again and again, with
    a file's name. Unless every test has a line (``-v``), the marks of a run's tests are written together, behind its
    name.

    pytest counts the columns of its own line, so that line is never touched: on a terminal ours is drawn below it and
    erased before anything else is written.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._word = word_of(config)
        self._stage, self._measured, self._share = "", "", 0.0
        self._begun = self._written = 0.0
        self._wait = LOG_AFTER_SECONDS
        self._shown = self._said = self._wrote = False
        self._marks: list[tuple[str, Mapping[str, bool]]] = []  # of the tests of a run, not yet written
        self._gathers, self._awaited = False, ""
        self.stopped: tuple[str, str] | None = None  # stage and how far it was, when the session was interrupted

    def __call__(self, stage: str, text: str, share: float | None = None) -> None:
        if self._word is not None:
            self._word(stage, text, share)
        reporter = self._reporter()
        if reporter is None:
            return
        now = time.monotonic()
        if stage != self._stage:
            self.finish()
            self._stage, self._begun, self._written, self._wait = stage, now, now, LOG_AFTER_SECONDS
            self._measured, self._share = "", 0.0
        if share is not None:
            self._measured, self._share = text, share
        if _is_live(reporter):
            if self._shown and now - self._written < TERMINAL_EVERY_SECONDS:
                return
            with self._uncaptured():
                _draw_below(reporter, "".join(self._line(reporter, text)))
            self._shown = True
        elif now - self._written >= self._wait:
            self._wait = min(2 * self._wait, LOG_EVERY_SECONDS)
            self._write(reporter, *self._line(reporter, text))
        else:
            return
        self._written = now

    def say(self, stage: str, text: str) -> None:
        """Write a line that stays: what a health check found must not be drawn over."""
        reporter = self._reporter()
        if reporter is not None:
            self.erase()
            self._write(reporter, safe_line(f"  {stage}: {text}"))

    def finish(self) -> None:
        """The stage is at its end, or as far as it came: leave its line."""
        if self._word is not None:
            self._word.clear()
        reporter = self._reporter()
        if reporter is not None:
            self.erase()
            if self._measured:
                self._write(reporter, *self._line(reporter, self._measured))
        self._stage = self._measured = ""

    def show(self, stage: str, text: str, share: float | None, seconds: float, more: str) -> None:
        """Draw the stage that another process is at, which leaves no line, with ``more`` behind it."""
        reporter = self._reporter()
        if reporter is None:
            return
        self._stage, self._measured, self._share = stage, "" if share is None else text, share or 0.0
        self._begun = time.monotonic() - seconds
        with self._uncaptured():
            _draw_below(reporter, "".join(self._line(reporter, text)) + more)
        self._shown, self._stage, self._measured = True, "", ""

    def is_live(self) -> bool:
        """Whether there is a terminal that a line can be drawn on."""
        reporter = self._reporter()
        return reporter is not None and _is_live(reporter)

    def interrupt(self) -> None:
        """Remember what was at work."""
        if self._stage and self.stopped is None:
            self.stopped = self._stage, self._measured

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Make room for the result that pytest is about to write, or gather it."""
        self.finish()
        said, self._said = self._said, False
        self._awaited = report.nodeid if self._gathers and hasattr(report, OURS) else ""
        reporter = self._reporter()
        if said and reporter is not None and reporter.showfspath and not reporter.showlongtestinfo:
            reporter.currentfspath = None
            reporter.write_fspath_result(report.nodeid, "")

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        status = yield
        if not self._awaited or report.nodeid != self._awaited or not status:
            return status
        self._awaited = ""
        category, letter, word = status
        if letter:
            colour = {"passed": "green", "failed": "red", "error": "red"}.get(category, "yellow")
            self._marks.append((letter, word[1] if isinstance(word, tuple) else {colour: True}))
        return category, "", word

    def begin_test(self) -> None:
        """A test of a run begins: unless it has a line of its own, pytest is not to write the name of its file."""
        reporter = self._reporter()
        self._gathers = reporter is not None and reporter.showfspath and not reporter.showlongtestinfo
        if self._gathers and reporter is not None:
            reporter.showfspath = False

    def end_test(self, name: str | None) -> None:
        """It has ended, and with it, where there is a ``name``, all tests of a run: they get their line."""
        self.finish()
        reporter = self._reporter()
        if self._gathers and reporter is not None:
            reporter.showfspath = True
            self._gathers = False
        if name and self._marks and reporter is not None:
            self._new_line(reporter)
            reporter.write(safe_line(name).ljust(NAME_WIDTH) + " ")
            for mark, markup in self._marks:
                reporter.write(mark, **markup)
            reporter.currentfspath = -2  # pytest's own mark for "in the middle of a line"
            self._marks = []

    def _line(self, reporter: TerminalReporter, text: str) -> tuple[str, str, str]:
        """What stands before the bar, the bar, and what stands behind it."""
        from harness.store.words import duration

        bar = ""
        if self._measured and _is_live(reporter) and reporter.config.get_terminal_writer().fullwidth >= BAR_FROM:
            filled = round(BAR_WIDTH * self._share)
            bar = "━" * filled + "─" * (BAR_WIDTH - filled) + " "
        took = duration(time.monotonic() - self._begun)
        parts = f"{safe_line(self._stage).ljust(NAME_WIDTH)} ", bar, f"{safe_line(text)}   {took}"
        name, bar, rest = map(drawable, parts)
        return name, bar, rest

    def _write(self, reporter: TerminalReporter, before: str, bar: str = "", behind: str = "") -> None:
        with self._uncaptured():
            self._new_line(reporter)
            reporter.write(before)
            reporter.write(bar, green=True)
            reporter.write(f"{behind}\n", flush=True)
        self._said = True

    def _new_line(self, reporter: TerminalReporter) -> None:
        reporter.ensure_newline()
        if not self._wrote:  # pytest leaves a line before its first one, too
            reporter.line("")
        self._wrote = True

    def erase(self) -> None:
        """Make room for what others write."""
        reporter = self._reporter()
        if self._shown and reporter is not None:
            with self._uncaptured():
                _draw_below(reporter, "")
        self._shown = False

    def _reporter(self) -> TerminalReporter | None:
        reporter: TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        quiet = hasattr(self._config, "workerinput") or self._config.get_verbosity() < 0
        return None if quiet else reporter

    def _uncaptured(self) -> AbstractContextManager[Any]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else nullcontext()


def _is_live(reporter: TerminalReporter) -> bool:
    # write_raw (pytest 9) leaves pytest's count of columns alone; without it a log's lines are the safe choice.
    return bool(reporter.isatty) and os.environ.get("TERM") != "dumb" and hasattr(reporter, "write_raw")


def _draw_below(reporter: TerminalReporter, line: str) -> None:
    """Replace the line below the cursor's and come back. The newline makes room where the screen ends."""
    writer = reporter.config.get_terminal_writer()
    column = min(writer.width_of_current_line, writer.fullwidth - 1) + 1
    reporter.write_raw(f"\n\x1b[2K{line[: writer.fullwidth - 1]}\x1b[A\x1b[{column}G", flush=True)
