"""Live progress on a terminal and in a log: a line a stage, a line of marks a run, and pytest's own lines whole."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
from _pytest.terminal import TerminalReporter

from tests.inner_pytest import REPOSITORY, calm_environment
from tests.plugin.conftest import SMALL

WIDTH, HEIGHT = 100, 24
LIVE = pytest.mark.skipif(not hasattr(TerminalReporter, "write_raw"), reason="a live line takes pytest 9")

TESTS = """
import pytest
from harness.plugin import progress
from harness.plugin.session import session_of

progress.TERMINAL_EVERY_SECONDS = 0.0

@pytest.fixture
def works(recipe, pytestconfig):
    announce = session_of(pytestconfig).progress
    announce("GRPO small", "starting")
    for step in (1, 2):
        print("swallowed by the capture")
        announce("GRPO small", f"{step}/2  reward 0.10 \u2192 0.{step}0", step / 2)
    announce("after small", "waiting for another process")

def test_quiet(recipe):
    pass

def test_works(works):
    pass

def test_fails(recipe, pytestconfig):
    session_of(pytestconfig).progress("after small", "1/8 answers  " + "a long tail " * 10, 1 / 8)
    pytest.fail("it failed", pytrace=False)

def test_skips(recipe):
    pytest.skip("for a reason")
"""
OTHERS = "def test_one():\n    pass\n\ndef test_two():\n    pass\n"
INTERRUPTED = """
from harness.plugin.session import session_of

def test_interrupted(recipe, pytestconfig):
    session_of(pytestconfig).progress("GRPO small", "1/2", 1 / 2)
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


def on_a_terminal(
    path, *arguments: str, width: int = WIDTH, begin: str = "collecting", interrupt_at: str = "never"
) -> tuple[Screen, int]:
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:benchmark", *arguments],
        cwd=path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"COLUMNS": str(width), "LINES": str(HEIGHT), "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell's are told to ignore it
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
        if interrupt_at.encode() in output:
            process.send_signal(signal.SIGINT)
            interrupt_at = "never"
    os.close(ours)
    screen = Screen()
    _, begun, rest = output.decode().partition(begin)
    screen.feed(begun + rest)  # the header's long lines wrap, and are pytest's own affair
    return screen, process.wait()


def body(lines: list[str]) -> list[str]:
    """From the line after "collected" to the failures."""
    start = next(i for i, line in enumerate(lines) if line.startswith("collected")) + 1
    end = next(i for i, line in enumerate(lines) if "= FAILURES =" in line)
    return [line.rstrip() for line in lines[start:end]]


def marks(name: str, letters: str, share: int | None = None, width: int = WIDTH) -> str:
    line = f"{name:<28} {letters}" if name == "small" else f"{name} {letters}"
    return line if share is None else f"{line.ljust(width - 7)}[{share:>3}%]"


@LIVE
def test_on_a_terminal_a_stage_has_a_line_that_is_redrawn(project):
    project.write(test_0=OTHERS, test_1=TESTS, test_2=OTHERS)
    screen, code = on_a_terminal(project.path)
    assert code == 1
    tail = "1/8 answers  " + "a long tail " * 10 + "   0 s"
    assert body(screen.lines) == [
        "",
        marks("test_0.py", ".."),
        "",
        f"GRPO small                   {'━' * 20} 2/2  reward 0.10 → 0.20   0 s",
        f"after small                  ━━{'─' * 18} {tail}",
        marks("small", "..Fs", 75),
        marks("test_2.py", "..", 100),
        "",
    ]
    drawn = [line for lines in screen.seen for line in lines if line.startswith(("GRPO", "after"))]
    assert f"GRPO small                   {'━' * 10}{'─' * 10} 1/2  reward 0.10 → 0.10   0 s" in drawn
    assert "after small                  waiting for another process   0 s" in drawn
    live = [lines[-1] for lines in screen.seen if lines[-1]]
    assert live
    assert all(len(line) < WIDTH for line in live), "a line that wraps cannot be drawn over"


def test_a_narrow_terminal_has_no_bar(project):
    project.write(test_1=TESTS)
    screen, _ = on_a_terminal(project.path, width=60)
    assert "GRPO small                   2/2  reward 0.10 → 0.20   0 s" in body(screen.lines)
    assert not any("━" in line for lines in screen.seen for line in lines)


def test_in_verbose_mode_a_test_has_its_line(project):
    project.write(test_1=TESTS)
    screen, _ = on_a_terminal(project.path, "-v")
    lines = [" ".join(line.split()[:2]) for line in body(screen.lines) if line.strip()]
    assert [line for line in lines if "test_works" in line or "GRPO" in line][-2:] == [
        "GRPO small",
        "test_1.py::test_works[small-seed0] PASSED",
    ]
    assert [line.split()[1] for line in lines if "PASSED" in line or "FAILED" in line or "SKIPPED" in line] == [
        "PASSED",
        "PASSED",
        "FAILED",
        "SKIPPED",
    ]
    assert not any(line.startswith("small ") for line in lines)


SAYS = """
from harness.plugin.session import session_of

def test_says(recipe, pytestconfig):
    progress = session_of(pytestconfig).progress
    progress("GRPO small", "1/2", 1 / 2)
    progress.say("small-0 health", "warning: step 1, too short")
    progress.say("small-0 health", "fatal: step 1, too bad")
    progress("GRPO small", "2/2", 1.0)

def test_last(recipe):
    assert False
"""


@LIVE
def test_what_is_said_stays_on_a_terminal(project):
    project.write(test_1=SAYS)
    screen, _ = on_a_terminal(project.path)
    assert body(screen.lines)[1:5] == [
        "  small-0 health: warning: step 1, too short",
        "  small-0 health: fatal: step 1, too bad",
        f"GRPO small                   {'━' * 20} 2/2   0 s",
        marks("small", ".F", 100),
    ]


def test_an_interrupted_session_says_where_it_stopped_and_what_goes_on(project):
    project.write(test_1=INTERRUPTED)
    for options, which in (([], "The same command"), (["--rl-fresh"], "The same command without --rl-fresh")):
        screen, code = on_a_terminal(project.path, *options)
        assert code == pytest.ExitCode.INTERRUPTED
        (line,) = [line for line in screen.lines if line.startswith("Stopped")]
        assert line == f"Stopped in GRPO small at 1/2. {which} goes on from its last checkpoint."


def in_a_log(project, *options: str) -> list[str]:
    text = project.pytest(*options).stdout.str().partition("= FAILURES =")[0]
    text = text.partition(" items\n")[2] or text
    lines = [re.sub(r" +\[[ \d]+%\]", "", line).rstrip() for line in text.splitlines()[:-1]]
    return [re.sub("a long tail.*  ", "...", line) for line in lines]


LOG = """
test_0.py ..

GRPO small                   2/2  reward 0.10 → 0.20   0 s
after small                  1/8 answers  ...0 s
small                        ..Fs
test_2.py ..
""".splitlines()


def test_in_a_log_a_stage_has_one_line(project):
    project.write(test_0=OTHERS, test_1=TESTS, test_2=OTHERS)
    assert in_a_log(project) == [*LOG, ""]
    quiet = project.pytest("-q").stdout.str()
    assert "......Fs..".removeprefix("..") in quiet
    assert "GRPO small" not in quiet


def test_a_log_hears_of_a_long_stage_now_and_then(project):
    slow = TESTS.replace("TERMINAL_EVERY_SECONDS", "LOG_AFTER_SECONDS")
    project.write(test_1=slow)
    assert in_a_log(project)[1:6] == [
        "GRPO small                   starting   0 s",
        "GRPO small                   1/2  reward 0.10 → 0.10   0 s",
        "GRPO small                   2/2  reward 0.10 → 0.20   0 s",
        "GRPO small                   2/2  reward 0.10 → 0.20   0 s",
        "after small                  waiting for another process   0 s",
    ]


def test_workers_marks_are_pytests_own(project):
    project.write(test_0=OTHERS, test_1=TESTS)
    result = project.pytest("-n2")
    result.assert_outcomes(passed=4, failed=1, skipped=1)
    assert not any(line.startswith(("small ", "GRPO small")) for line in result.outlines)
    (line,) = [line for line in result.outlines if line.endswith("[100%]")]
    assert sorted(line.split()[0]) == sorted("....Fs")


WORKS = """
import time

import pytest
from harness.plugin.session import session_of

@pytest.mark.parametrize("n", [0, 1])
def test_works(recipe, pytestconfig, n):
    announce = session_of(pytestconfig).progress
    for step in range(1, 31):
        announce("GRPO small", f"{step}/30", step / 30)
        time.sleep(0.1)
    announce("after small", "loading", None)
    time.sleep(1.5)
"""


@LIVE
@pytest.mark.parametrize("options", [(), ("-v",)])
def test_on_a_terminal_the_stage_of_a_worker_is_shown(project, options):
    project.write(test_0="def test_one():\n    pass\n", test_1=WORKS)
    screen, code = on_a_terminal(project.path, "-n2", "--dist=load", *options, begin="created:")
    assert code == 0
    seen = [line for lines in screen.seen for line in lines]
    assert any(re.fullmatch(r"GRPO small +━+─+ \d+/30   \d s   1 more at work", line) for line in seen)
    assert any(re.fullmatch(r"after small +loading   \d s(   1 more at work)?", line) for line in seen)
    assert not any(line.startswith(("GRPO", "after")) for line in screen.lines), "nor do its last lines stay"
    if not options:
        (marks,) = [line.split()[0] for line in screen.lines if line.endswith("[100%]")]
        assert marks == "..."


@LIVE
def test_ctrl_c_says_what_a_worker_was_at(project):
    project.write(test_1=WORKS)
    screen, code = on_a_terminal(project.path, "-n1", begin="created:", interrupt_at="/30")
    assert code == pytest.ExitCode.INTERRUPTED
    said = next(line for line in screen.lines if line.startswith("Stopped"))
    assert re.fullmatch(
        r"Stopped in GRPO small at \d+/30\. The same command goes on from its last checkpoint\.", said
    ), screen.lines


def test_marks_that_the_terminal_has_not_are_ascii(project):
    project.write(test_1=TESTS)
    result = project.pytest(torch=None, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "GRPO small                   2/2  reward 0.10 -> 0.20   0 s" in result.outlines


def test_ctrl_c_in_a_training_says_the_step_and_the_checkpoint_to_go_on_from(project):
    """Until then the report loads itself again, and shows what is at work."""
    long = project.small.replace("max_steps = 4", "max_steps = 4000\nsave_steps = 1\nsave_total_limit = 2")
    project.write(**{SMALL: f"{long}\n[health]\nsignal = false\n"})
    project.write(test_it="def test_it(trained):\n    pass\n")
    # A process that was started in a shell's background ignores the signal, and so would its own.
    heeds = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    options = ["-p", "no:cacheprovider", "-p", "no:benchmark"]
    code = f"import pytest, signal, sys; {heeds}; sys.exit(pytest.main({options}))"
    environment = calm_environment() | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=project.path, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        try:
            until = time.monotonic() + 300
            page = project.path / "rl-report/index.html"
            while not (list(project.path.glob("rl-runs/small/train/checkpoint-*")) and page.exists()):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            time.sleep(1)  # its progress is read five times a second
            assert re.search(r"(GRPO|before|signal) small: .*loads itself again", page.read_text(encoding="utf-8"))
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert re.search(
        r"^Stopped in GRPO small at \d+/4000\. The same command goes on from its checkpoint of step \d+\.$",
        out,
        re.MULTILINE,
    ), out
    assert "loads itself again" not in page.read_text(encoding="utf-8")


def test_marks_stand_behind_the_name_of_the_run(project):
    project.write(test_1="def test_it(recipe):\n    pass\n")
    result = project.pytest("--rl-name=my try", "--rl-set=seeds=[3]", torch=None)
    assert any(re.match(r"my try seed 3 +\. +\[100%\]", line) for line in result.outlines), result.stdout.str()
