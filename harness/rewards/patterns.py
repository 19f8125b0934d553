r"""Answers that a regular expression describes.

>>> dates = regex.configured(pattern=r"\d{4}-\d\d-\d\d")
>>> dates(["?"] * 3, ["Answer: 1889-03-31.", "Answer: on 1889-03-31", "31 March"], ground_truth=["-"] * 3)
[1.0, 0.0, 0.0]

A pattern that backtracks for ever must not hold up a training: it is matched by the package ``regex``, which takes
Python's patterns and can be stopped, on any thread. A match has half a second of processor time, and is undecided
beyond; an answer of more than 10,000 characters is wrong.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from harness.rewards.grader import Grade, Grader, configurable
from harness.rewards.words import final_answer, said_last
from harness.store.errors import RewardError
from harness.store.redact import safe_line

if TYPE_CHECKING:
    from regex import Pattern

SECONDS = 0.5
_MOST_CHARACTERS = 10_000
_MOST_IN_PATTERN = 5_000


@partial(configurable, form="line")
def regex(*, pattern: str | None = None, search: bool = False) -> Grader:
    """The final answer is as a regular expression has it, from start to end; with ``search``, a part of it is. The
    pattern is the recipe's, or else the question's: its ground truth, undecided where that is no pattern."""
    if not isinstance(search, bool):
        raise RewardError(f"search must be true or false, not {search!r}")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise RewardError(f"pattern must be text, not {pattern!r}")
        try:
            own = _compiled(pattern)
        except ValueError as error:
            raise RewardError(f"pattern {safe_line(repr(pattern), 80)} is no regular expression: {error}") from None
        try:
            always = search and _matches(own, "", search=True)
        except (TimeoutError, MemoryError):
            raise RewardError(f"pattern {safe_line(repr(pattern), 80)} takes too long on an empty answer") from None
        if always:
            raise RewardError(f"pattern {safe_line(repr(pattern), 80)} is found in every answer, also in an empty one")

    def grade(completion: str, ground_truth: str) -> Grade:
        answer = final_answer(completion)
        if answer is None:
            return Grade(None, False)
        # Undressed, or as it stands: a pattern may want what dressing is elsewhere.
        texts = {answer, answer.removesuffix("."), said_last(completion).strip()}
        if max(map(len, texts)) > _MOST_CHARACTERS:
            return Grade(answer, False)
        try:
            wanted = _compiled(ground_truth if pattern is None else pattern)
            return Grade(answer, any(_matches(wanted, text, search=search) for text in sorted(texts)))
        except (TimeoutError, ValueError, MemoryError):
            return Grade(answer, None)

    return grade


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> Pattern[str]:
    """Raises ``ValueError`` with what is wrong."""
    import regex as engine

    if len(pattern) > _MOST_IN_PATTERN:
        raise ValueError(f"it has {len(pattern)} characters, {_MOST_IN_PATTERN} are the most")
    try:
        return engine.compile(pattern)
    except (engine.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None


def found_in(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text. Raises ``ValueError`` for what is no pattern, and ``TimeoutError``."""
    return _matches(_compiled(pattern), text, search=True)


def _matches(pattern: Pattern[str], text: str, *, search: bool) -> bool:
    """Raises ``TimeoutError``."""
    match = pattern.search if search else pattern.fullmatch
    return match(text, timeout=SECONDS) is not None
