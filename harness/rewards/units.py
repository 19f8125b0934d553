r"""Tells a unit behind a number, which may be dropped, from words that change what the number says.

>>> is_unit(r"\text{ dollars per hour}"), is_unit(" million"), is_unit(" or six"), is_unit("x"), is_unit("!")
(True, False, False, False, False)
"""

from __future__ import annotations

import re

_POWER = r"(?:\^\{?[23]\}?|[²³])?"
_BLANKS = re.compile(r"\s*")
_UNIT = re.compile(
    r"(?P<sign>[%°$€£¥₹¢]|\^\{?\\circ\}?|\\(?:circ|degree)(?![A-Za-z]))"
    rf"|\\(?:text|textrm|textbf|textit|mathrm|mbox)\s*\{{(?P<styled>[^{{}}\\!=+*]*)\}}{_POWER}"
    rf"|(?P<bare>[A-Za-z]+(?:/[A-Za-z]+)*){_POWER}"
)
_STYLED = re.compile(r"\\(?:text|textrm|textbf|textit|mathrm|mbox)\s*\{([^{}]*)\}")
_WORD = re.compile(r"[^\W\d_]+")

# A word right behind a number, without a blank, may be a product of variables; these are not.
_ADJACENT = "mm cm km mg kg ml mL lb lbs oz ft mph hr hrs min mins hours minutes dollars cents km/h"
# Single letters may be variables too; these follow another unit ("5 dollars a day", "20° C").
_SECOND_LETTERS = "aCF"
# These scale the number, or make an ordinal, a constant or a function of it. A plural s is taken off before.
_SCALES = """
    k K M B T bn mn mil hundred thousand million billion trillion dozen score half halve third quarter fourth fifth
    sixth seventh eighth ninth tenth hundredth thousandth st nd rd th pi tau squared cubed factorial
"""
# These bring a second number, or an operation on it.
_SECOND_VALUES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety and or to plus minus times over out divided
    multiplied by mod modulo remainder than not through between
"""
_ADJACENT_WORDS = frozenset(_ADJACENT.split())
_NO_UNITS = frozenset((_SCALES + _SECOND_VALUES).split())


def is_unit(tail: str) -> bool:
    """Whether ``tail``, all that follows a number, is empty or only units; a full stop at the end is allowed."""
    position, first = 0, True
    while True:
        start = position
        position = _end_of_blanks(tail, start)
        if tail[position:] in ("", "."):
            return True
        unit = _UNIT.match(tail, position)
        if unit is None or not _is_plain(unit, first=first, adjacent=position == start):
            return False
        position, first = unit.end(), False


def has_value_words(text: str) -> bool:
    r"""Whether ``text`` has a ``\text{..}`` with a word that changes a number or brings another ("million", "or")."""
    return any(_changes_value(word) for styled in _STYLED.findall(text) for word in _WORD.findall(styled))


def _is_plain(unit: re.Match[str], *, first: bool, adjacent: bool) -> bool:
    if unit["sign"]:
        return True
    bare: str | None = unit["bare"]
    words = _WORD.findall(unit["styled"] if bare is None else bare)
    if bare is None and any(character.isnumeric() for character in unit["styled"]):
        return False
    if bare is not None and len(words[0]) == 1 and (first or bare not in _SECOND_LETTERS):
        return False
    if bare is not None and first and adjacent and bare not in _ADJACENT_WORDS:
        return False
    return not any(_changes_value(word) for word in words)


def _changes_value(word: str) -> bool:
    if len(word) == 1:  # "M" is a million, "m" a metre
        return word in _NO_UNITS
    return word.lower() in _NO_UNITS or word.lower().removesuffix("s") in _NO_UNITS


def _end_of_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    return blanks.end() if blanks else position
