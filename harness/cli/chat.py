"""``rl-harness chat RUN``: a question to the model before and after its training, side by side."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from itertools import zip_longest
from unicodedata import east_asian_width

from harness.pipeline.chat import open_chat
from harness.store.redact import safe_text
from harness.store.siblings import find_run

_BETWEEN = " │ "
_NARROWEST = 20  # column


def chat(options: argparse.Namespace) -> int:
    """Answer the questions that were given, or else those that are typed, one a line, to the end of the input."""
    ask = open_chat(find_run(options.run, options.runs_dir), options.device)
    for question in options.question or _typed():
        width = max(_NARROWEST, (shutil.get_terminal_size().columns - len(_BETWEEN)) // 2)
        before, after = ask(question)
        print(*side_by_side(("before", before), ("after", after), width), sep="\n")
    return 0


def _typed() -> Iterator[str]:
    terminal = sys.stdin.isatty()
    while True:
        if terminal:
            print("question (empty to end)> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line.strip() and (terminal or not line):
            return
        if line.strip():
            yield line.strip()


def side_by_side(left: tuple[str, str], right: tuple[str, str], width: int) -> Iterator[str]:
    """Two texts, each under its head, in two columns of so many places."""
    sides = [[head, "─" * width, *_wrapped(safe_text(text), width)] for head, text in (left, right)]
    for a, b in zip_longest(*sides, fillvalue=""):
        yield f"{a}{' ' * (width - _places(a))}{_BETWEEN}{b}".rstrip()


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of at most ``width`` places, broken between words where there are any."""
    for line in text.expandtabs(4).split("\n"):
        while _places(line) > width:
            end = _fitting(line, width)
            space = line.rfind(" ", 1, end + 1)
            end = space if space > 0 else end
            yield line[:end]
            line = line[end:].lstrip(" ")
        yield line


def _fitting(line: str, width: int) -> int:
    """How many characters of a line take at most ``width`` places, at least one."""
    end = 1
    while end < len(line) and _places(line[: end + 1]) <= width:
        end += 1
    return end


def _places(text: str) -> int:
    """Places of a terminal: characters of East Asia take two."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)
