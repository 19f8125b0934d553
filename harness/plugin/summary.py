"""The end of a session, in the process with the terminal: verdicts, memory and the report's path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.gate.verdicts import percent
from harness.plugin.options import get_path
from harness.runs import read_json

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# User properties of a test's report: how workers hand results over, and what JUnit shows.
DIRECTORY, MEMORY = "rl_run_directory", "rl_peak_memory_bytes"


class Summary:
    """Gathers what the tests' reports carry, from this process or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.directories: dict[Path, None] = {}
        self.memory: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == DIRECTORY:
                self.directories[Path(str(value))] = None
            elif name == MEMORY and report.when == "teardown":
                module = report.nodeid.split("::")[0]
                self.memory[module] = max(int(str(value)), self.memory.get(module, 0))

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if not self.directories:
            return
        terminalreporter.section("rl-harness", sep="=")
        for directory in sorted(self.directories):
            _write_run(terminalreporter, directory)
        for module, peak in sorted(self.memory.items()):
            terminalreporter.write_line(f"peak memory {peak / 2**20:,.0f} MiB in {module}")
        # The one place where the harness draws: it hands over directories and nothing else.
        from reports import render_session

        page = render_session(sorted(self.directories), get_path(self.config, "report-dir"))
        terminalreporter.write_line(f"report: {page}", bold=True)


def _write_run(terminal: TerminalReporter, directory: Path) -> None:
    environment = read_json(directory / "environment.json") or {}
    name = f"{environment.get('recipe', directory.name)}, seed {environment.get('seed', '?')}"
    parts = [part for stage in ("before", "after") if (part := _accuracy(directory / stage, stage))]
    terminal.write_line(f"{name}: {'; '.join(parts) or 'not evaluated'}", bold=True)
    for verdict in (read_json(directory / "verdicts.json") or {}).get("verdicts", []):
        colour = {True: "green", False: "red", None: "yellow"}[verdict["passed"]]
        terminal.write(f"  {verdict['verdict']:<13} ", **{colour: True})
        terminal.write_line(f"{verdict['gate']}: {verdict['sentence']}")
    error = directory / "train" / "error.txt"
    if error.is_file():
        terminal.write_line(f"  {error.read_text(encoding='utf-8').splitlines()[0]}", red=True)
    terminal.write_line(f"  {directory}")


def _accuracy(stage: Path, name: str) -> str | None:
    summary: dict[str, Any] | None = read_json(stage / "summary.json")
    if summary is None:
        return None
    low, high = summary["interval"]
    return (
        f"{name} {percent(summary['accuracy'])} of {summary['questions']} questions "
        f"(95 % {100 * low:.1f} to {100 * high:.1f})"
    )
