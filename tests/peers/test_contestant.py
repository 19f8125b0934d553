"""Contestants: a line in, a line out, whatever their libraries print; and a failure that says what happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from contestant import Contestant

HERE = str(Path(__file__).parents[2] / "suites" / "peers")
ENVIRONMENT = {**os.environ, "PYTHONPATH": HERE}

CHATTY = """\
import os
from contestant import serve

def make():
    print("loading")
    def carry_out(number):
        print("working")
        os.write(1, b"from a library written in C")
        if number < 0:
            raise ValueError("no negative numbers")
        return {"double": 2 * number}
    return carry_out

serve(make)
"""


@pytest.fixture
def start(tmp_path):
    def started(text):
        script = tmp_path / "script.py"
        script.write_text(text)
        return Contestant(str(script), environment=ENVIRONMENT, log=tmp_path / "log.txt")

    return started


def test_what_is_printed_is_no_answer(start, tmp_path):
    with start(CHATTY) as contestant:
        assert [contestant.ask(number=number)["double"] for number in (1, 2, 3)] == [2, 4, 6]
    assert "from a library written in C" in (tmp_path / "log.txt").read_text()


def test_a_failure_says_what_happened(start):
    with start(CHATTY) as contestant, pytest.raises(RuntimeError, match="no negative numbers"):
        contestant.ask(number=-1)


def test_one_that_cannot_start_says_why(start):
    with pytest.raises(RuntimeError, match="no such model"):
        start("raise SystemExit('no such model')")


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="only Linux counts what is allocated")
def test_memory_is_limited(start):
    """An allocation beyond it fails in this process: nothing is killed."""
    text = """\
import mmap, psutil
from contestant import serve

def hold(share):
    size = int(share * psutil.virtual_memory().available)
    return len(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))  # never written to

serve(lambda: hold)
"""
    with start(text) as contestant:
        assert contestant.ask(share=0.1) > 0
        with pytest.raises(RuntimeError, match="Cannot allocate memory"):
            contestant.ask(share=0.95)
