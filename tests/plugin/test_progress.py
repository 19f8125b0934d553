"""Live progress on a terminal and in a log: what a person sees is pytest's own lines, whole, and one of ours below."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap

import pytest

WIDTH, HEIGHT = 60, 24

TESTS = """
import pytest
from harness.plugin import progress
from harness.plugin.session import session_of

progress.TERMINAL_EVERY_SECONDS = 0.0
progress.LOG_EVERY_SECONDS = 0.0

@pytest.fixture(scope="module")
def stage(pytestconfig):
    for step in (1, 2):
        print("swallowed by the capture")
        session_of(pytestconfig).progress("small-0 train", f"step {step}/2, " + "a long tail " * step * 3)

def test_quiet():
    pass

def test_works(stage):
    pass

def test_fails(pytestconfig):
    session_of(pytestconfig).progress("small-0 after", "1/8 answers")
    pytest.fail("it failed", pytrace=False)

@pytest.mark.parametrize("number", range(3))
def test_more(number, pytestconfig):
    session_of(pytestconfig).progress("small-0 after", f"{number}/8 answers")
"""
INTERRUPTED = """
from harness.plugin.session import session_of

def test_interrupted(pytestconfig):
    session_of(pytestconfig).progress("small-0 train", "step 1/2")
    raise KeyboardInterrupt
"""


class Screen:
    """As much of a terminal as pytest and the plugin use; it scrolls, and keeps what it has shown."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0
        self.seen: list[list[str]] = []

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[\d;]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r|\n|[^\x1b\r\n]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif part.startswith("\x1b["):
                self._control(part[2:-1], part[-1])
            elif not part.startswith("\x1b"):  # a line too long would wrap; pytest's are, after its tests
                old = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = old[: self.column] + part + old[self.column + len(part) :]
                self.column += len(part)

    def _control(self, number: str, letter: str) -> None:
        if letter == "A":
            self.row -= int(number or 1)
        elif letter == "G":
            self.column = int(number) - 1
            self.seen.append([line.rstrip() for line in self.lines])
        elif letter == "K":
            assert number == "2"
            self.lines[self.row] = ""
        else:
            assert letter == "m", f"a sequence that is not expected: {number}{letter}"


def on_a_terminal(path, *arguments: str) -> tuple[Screen, int]:
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:benchmark", *arguments],
        cwd=path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"COLUMNS": str(WIDTH), "LINES": str(HEIGHT), "TERM": "xterm"},
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not chunk:
            break
        output += chunk
    os.close(ours)
    screen = Screen()
    _, begun, rest = output.decode().partition("collecting")
    screen.feed(begun + rest)  # the header's long lines wrap, and are pytest's own affair
    return screen, process.wait()


def body(lines: list[str]) -> list[str]:
    """From the line after "collected" to the failures."""
    start = next(i for i, line in enumerate(lines) if line.startswith("collected")) + 1
    end = next(i for i, line in enumerate(lines) if "= FAILURES =" in line)
    return [line.rstrip() for line in lines[start:end] if line.strip()]


def test_on_a_terminal_pytests_lines_are_whole(project):
    project.write(test_1=TESTS, test_2="def test_last():\n    pass\n")
    screen, code = on_a_terminal(project.path)
    assert code == 1
    assert body(screen.lines) == [
        "test_1.py ..F...".ljust(WIDTH - 7) + "[ 85%]",
        "test_2.py .".ljust(WIDTH - 7) + "[100%]",
    ]
    assert not [line for line in screen.lines if "small-0 " in line], "nothing of ours is left"
    assert all(len(line) < WIDTH for lines in screen.seen for line in lines), "a line wraps"
    drawn = [(lines[i - 1], line) for lines in screen.seen for i, line in enumerate(lines) if "small-0 " in line]
    step = "  small-0 train: step {}/2, a long tail a long tail a long tail"[:WIDTH]  # {} is a character too long
    assert drawn[0] == ("test_1.py .", step.format(1).rstrip())
    assert ("test_1.py .", step.format(2).rstrip()) in drawn
    assert ("test_1.py ..", "  small-0 after: 1/8 answers") in drawn


SAYS = """
from harness.plugin.session import session_of

def test_quiet():
    pass

def test_says(pytestconfig):
    progress = session_of(pytestconfig).progress
    progress("small-0 train", "step 1/2")
    progress.say("small-0 health", "warning: step 1, too short")
    progress.say("small-0 health", "fatal: step 1, too bad")
    progress("small-0 train", "step 2/2")

def test_last():
    assert False
"""


def test_what_is_said_stays_on_a_terminal(project):
    project.write(test_1=SAYS)
    screen, _ = on_a_terminal(project.path)
    assert body(screen.lines) == [
        "test_1.py .",
        "  small-0 health: warning: step 1, too short",
        "  small-0 health: fatal: step 1, too bad",
        "test_1.py .F".ljust(WIDTH - 7) + "[100%]",
    ]
    drawn = {line for lines in screen.seen for line in lines if "small-0 train" in line}
    assert drawn == {"  small-0 train: step 1/2", "  small-0 train: step 2/2"}


def test_what_is_said_stays_on_a_terminal_in_verbose_mode(project):
    project.write(test_1=SAYS)
    screen, _ = on_a_terminal(project.path, "-v")
    lines = [" ".join(line.split()[:3]) for line in body(screen.lines)]
    assert lines[1:5] == [
        "test_1.py::test_says",
        "small-0 health: warning:",
        "small-0 health: fatal:",
        "test_1.py::test_says PASSED [",
    ]


def test_on_a_terminal_in_verbose_mode(project):
    project.write(test_1=TESTS)
    screen, _ = on_a_terminal(project.path, "-v")
    lines = [line.split(" ")[:2] for line in body(screen.lines)]
    assert lines == [
        ["test_1.py::test_quiet", "PASSED"],
        ["test_1.py::test_works", "PASSED"],
        ["test_1.py::test_fails", "FAILED"],
        *([f"test_1.py::test_more[{number}]", "PASSED"] for number in range(3)),
    ]


def test_an_interrupted_stage_is_erased(project):
    project.write(test_1=INTERRUPTED)
    screen, code = on_a_terminal(project.path)
    assert code == pytest.ExitCode.INTERRUPTED
    assert any("KeyboardInterrupt" in line for line in screen.lines)
    assert not any("small-0 train" in line for line in screen.lines)
    assert any("small-0 train" in line for lines in screen.seen for line in lines)


# options, what stands between "collected" and "FAILURES" in a log
LOGS = {
    "plain": (
        [],
        """
        test_1.py .
          small-0 train: step 1/2, ...
          small-0 train: step 2/2, ...
        test_1.py .
          small-0 after: 1/8 answers
        test_1.py F
          small-0 after: 0/8 answers
        test_1.py .
          small-0 after: 1/8 answers
        test_1.py .
          small-0 after: 2/8 answers
        test_1.py .
        """,
    ),
    "verbose": (
        ["-v"],
        """
        test_1.py::test_quiet PASSED
        test_1.py::test_works
          small-0 train: step 1/2, ...
          small-0 train: step 2/2, ...
        test_1.py::test_works PASSED
        test_1.py::test_fails
          small-0 after: 1/8 answers
        test_1.py::test_fails FAILED
        test_1.py::test_more[0]
          small-0 after: 0/8 answers
        test_1.py::test_more[0] PASSED
        test_1.py::test_more[1]
          small-0 after: 1/8 answers
        test_1.py::test_more[1] PASSED
        test_1.py::test_more[2]
          small-0 after: 2/8 answers
        test_1.py::test_more[2] PASSED
        """,
    ),
    "quiet": (["-q"], "\n..F...\n"),
}


@pytest.mark.parametrize("how", LOGS)
def test_in_a_log(project, how):
    options, expected = LOGS[how]
    project.write(test_1=TESTS)
    text = project.pytest(*options).stdout.str().partition("= FAILURES =")[0]
    text = text.partition(" items\n")[2] or text
    lines = [re.sub(r" +\[[ \d]+%\]", "", line).rstrip() for line in text.splitlines() if line.strip("= ")]
    assert [re.sub("a long tail.*", "...", line) for line in lines] == textwrap.dedent(expected).split("\n")[1:-1]
