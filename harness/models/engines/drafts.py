"""Drafts of what an answer says next: what it, or its question, said the last time after the same two tokens.

Solutions copy numbers and phrases, and lost ones go round in circles. The model checks a draft in the step in which it
computes the next token anyway, and where it would have said something else, that stands: answers stay what they are.
Prompt lookup decoding: https://github.com/apoorvumang/prompt-lookup-decoding
"""

from __future__ import annotations

from collections.abc import Sequence

_SAME = 2  # tokens that must have stood there before
_LEAST, _MOST, _TOGETHER = 2, 6, 64


def draft_length(rows: int) -> int:
    """How many tokens to draft for each of ``rows`` sequences. The fewer they are, the more of a step's time goes into
    reading the weights, and the less another token costs."""
    return min(_MOST, max(_LEAST, _TOGETHER // rows))


class Lookup:
    """Where each pair of tokens stood last in a growing sequence."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._follows: dict[tuple[int, ...], int] = {}
        self.extend(ids)

    def extend(self, ids: Sequence[int]) -> None:
        for token in ids:
            if len(self._ids) >= _SAME:
                self._follows[tuple(self._ids[-_SAME:])] = len(self._ids)
            self._ids.append(token)

    def draft(self, most: int) -> list[int]:
        """At most ``most`` tokens; none where the last two have not stood there before."""
        place = self._follows.get(tuple(self._ids[-_SAME:]))
        return [] if place is None else self._ids[place : place + most]
