"""What is measured rather than judged runs when it is asked for: by path, or by its marker.

pytest suites/test_throughput.py       # or: pytest suites/ -m benchmark
pytest suites/peers                    # or: pytest suites/ -m peer
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

ON_REQUEST = {"test_throughput.py": "benchmark", "peers": "peer"}  # file or folder here, and its marker
TOLD: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Not collected, rather than deselected or skipped: a session that judges neither pays for it nor lists it.

    pytest does not ask about a path that its command line names.
    """
    if collection_path.parent != Path(__file__).parent:
        return None
    marker = ON_REQUEST.get(collection_path.name)
    asked = re.findall(r"\w+", config.option.markexpr)
    if marker is None or marker in asked or (marker == "benchmark" and config.getoption("benchmark_only", False)):
        return None
    return True


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[..., None]:
    """``tell(title, line, ...)`` writes lines under a title at the end of the session."""
    sections = pytestconfig.stash.setdefault(TOLD, {})
    return lambda title, *lines: sections.setdefault(title, []).extend(lines)


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    for title, lines in config.stash.get(TOLD, {}).items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
