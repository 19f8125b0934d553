"""pytest's terminal for lines of ours: text from outside cannot end a line, move the cursor or show a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.redact import safe_line, safe_text

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


class Terminal:
    """What this plugin writes with; each call is one line, or a part of one."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter

    def section(self, title: str) -> None:
        self._reporter.section(safe_line(title), sep="=")

    def write(self, text: str, **markup: bool) -> None:
        self._reporter.write(safe_line(text), **markup)

    def write_line(self, text: str, **markup: bool) -> None:
        self._reporter.write_line(safe_line(text), **markup)


def safe_report(shown: Any) -> Any:
    """What pytest is about to show of a test, a text or one of its trees of texts, with every text made safe.

    An exception of somebody else's may quote anything; terminal, JUnit and xdist's workers all take it from here.
    """
    if isinstance(shown, str):
        return safe_text(shown)
    if isinstance(shown, list) and all(isinstance(each, str) for each in shown):  # lines of one text
        return safe_text("\n".join(shown)).split("\n") if shown else shown
    if isinstance(shown, (list, tuple)):
        return type(shown)(map(safe_report, shown))
    if type(shown).__module__ == "_pytest._code.code":
        for name, value in vars(shown).items():
            setattr(shown, name, safe_report(value))
    return shown
