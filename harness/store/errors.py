"""Mistakes a user can mend.

Every message is one sentence or two that say what was wrong, where (file, line, key) and what to write instead.
The plugin and the command line print the message alone: a traceback from inside the harness would hide it.
"""

from __future__ import annotations

import difflib
import re

from harness.store.redact import safe_line

_LONG_WORD = re.compile(r"(\S{200})\S{200,}(\S{100})")  # a name of thousands of letters hides what is said of it


class HarnessError(Exception):
    """Base of every error whose text is meant for the user: a sentence, which is one line whatever is quoted in it, and
    below it lines of something else, such as a log. No secret is kept in it. ``key`` is the recipe's (table, key) that
    is at fault, where the one who raises knows it."""

    key: tuple[str, str] | None = None

    def __init__(self, sentence: str = "", *lines: str) -> None:
        super().__init__(*(_LONG_WORD.sub(r"\1...\2", safe_line(line)) for line in (sentence, *lines)))

    def __str__(self) -> str:
        return "\n".join(self.args)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the words alone, as the terminal does."""
        return str(self).split("\n")


class WriteError(HarnessError, OSError):
    """Something cannot be kept: the disk is full, say. An ``OSError`` for who can do without it."""


class RecipeError(HarnessError):
    """A recipe that cannot be read or asks for the impossible."""


class TaskError(HarnessError):
    """Questions or examples that cannot be found, read or graded."""


class ModelError(HarnessError):
    """A model that cannot be found, or that this harness will not load."""


class RewardError(HarnessError):
    """A reward function that cannot be found or breaks its contract."""


class TrainingError(HarnessError):
    """A training job that crashed, was killed or ran out of memory; the text ends with its last log lines."""


class NoSignal(TrainingError):  # noqa: N818 (what was found, as a verdict's name)
    """A training that was refused before it began: the signal check found next to nothing to learn from."""


def nearest(word: str, valid: list[str], most: int = 12) -> str:
    """A hint that names the nearest valid word, or all of them where they are no more than ``most``."""
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(sorted(valid))}" if len(valid) <= most else "nothing valid has a similar name"
