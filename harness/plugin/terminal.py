"""pytest's terminal for lines of ours: text from outside cannot end a line, move the cursor or show a secret."""

from __future__ import annotations

import linecache
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from harness.store import words
from harness.store.redact import safe_line, safe_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.terminal import TerminalReporter


OURS = "rl_harness_test"  # the attribute of a report that says that its test has a recipe


def drawable(text: str) -> str:
    """A text with our marks as pytest's terminal has them; while a test runs, ``sys.stdout`` is another."""
    return words.drawable(text, getattr(sys.__stdout__, "encoding", None))


class Terminal:
    """What this plugin writes with; each call is one line, or a part of one."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter

    def section(self, title: str) -> None:
        self._reporter.currentfspath = None  # pytest has ended its line of tests, and does not know
        self._reporter.section(safe_line(title), sep="=")

    def write(self, text: str, **markup: bool) -> None:
        self._reporter.write(drawable(safe_line(text)), **markup)

    def write_line(self, text: str, **markup: bool) -> None:
        self._reporter.write_line(drawable(safe_line(text)), **markup)


# What pytest shows of a report.
_SHOWN = ("longrepr", "sections", "wasxfail", "user_properties", "context")
_TREES = frozenset({"_pytest._code.code", "_pytest.subtests"})  # where pytest's classes of texts come from


class Leaving:
    """What of others pytest shows beside the reports of tests: warnings, and reports of subtests, which are made of a
    test's report after it was made safe. In every process of the session."""

    def __init__(self, concerned: Callable[[], bool]) -> None:
        self._concerned = concerned

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, "context") and hasattr(report, OURS):
            make_safe(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        if self._concerned():
            line = warning_message.line or linecache.getline(warning_message.filename, warning_message.lineno)
            warning_message.message = Warning(safe_text(str(warning_message.message)))
            warning_message.line = safe_text(line) or None


def make_safe(report: pytest.TestReport) -> None:
    """All that pytest may show of a recipe's test: an exception of somebody else's may quote anything. Terminal, JUnit
    and xdist's workers all take it from here."""
    for name in _SHOWN:
        if hasattr(report, name):
            setattr(report, name, safe_report(getattr(report, name)))
    setattr(report, OURS, True)


def safe_report(shown: Any) -> Any:
    """A text, or one of pytest's trees of texts, with every text made safe, and with marks that the terminal has:
    pytest itself would write what it lacks as escapes, the ends of lines with it."""
    if isinstance(shown, str):
        return drawable(safe_text(shown))
    if isinstance(shown, list) and all(isinstance(each, str) for each in shown):  # lines of one text
        return safe_report("\n".join(shown)).split("\n") if shown else shown
    if isinstance(shown, (list, tuple)):
        return type(shown)(map(safe_report, shown))
    if isinstance(shown, Mapping):
        return {safe_report(name): safe_report(value) for name, value in shown.items()}
    if type(shown).__module__ in _TREES:
        for name in (*getattr(shown, "__dict__", ()), *getattr(shown, "__slots__", ())):
            object.__setattr__(shown, name, safe_report(getattr(shown, name)))  # some are frozen
    return shown
