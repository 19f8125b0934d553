r"""Reads answers as text and as numbers, exactly, and compares them as flexible graders promise.

    >>> parse_number(r"\$1{,}200.50"), parse_number("12,00")
    (Fraction(2401, 2), None)
    >>> same_answer(r"\$1{,}200.00", "1200"), same_answer("1201", "1200"), same_answer(r"\text{paris.}", "Paris")
    (True, False, True)

What counts as a number, after what encloses all of it (``$..$``, ``\text{..}``) is taken off:

- an optional sign (ASCII, Unicode minus, hyphen or en dash) and an optional currency sign, in either order;
- digits, of any script, with or without thousands separators (``,`` ``{,}`` ``\,`` or a space; the groups must be
  whole: ``1,2,3`` and ``12,00`` are not numbers), a decimal point, an exponent (``1.2e3``, ``1.2 \times 10^{3}``; at
  most 400 in size);
- or a fraction of two such (``\frac{2400}{2}``, ``2400/2``, ``{2400 \over 2}``), or a mixed number (``2\frac{1}{2}``,
  ``2 1/2``);
- then, optionally, a unit: a sign such as ``%`` or ``°``, ``\text{..}`` without digits, or plain words after a blank.
  Units are not converted: 50 % is 50, as a task that asks for a percentage has it. Words that change the value or bring
  a second one ("million", "lakh", "half", "or") make the whole not a number, and so do functions, constants and letters
  that may be variables, upright ones too: see :mod:`harness.rewards.units`.

Everything else is not a number: ``42!``, ``x = 5``, ``3 4``, ``1/0``, ``1.200,50``.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from harness.rewards.units import Unit, currency, joined, read_unit, same_unit
from harness.tasks.forms import last_box

# A longer text is not dressed, and a model that nests deeper is not dressing an answer.
_MAX_CHARACTERS = 10_000
_MAX_LAYERS = 8
# A longer answer is not a number. 600 is under the smallest limit that Python lets one set for the digits of int(str),
# so no digits can raise; and an exponent of 400 reaches beyond every float without building a huge integer.
_MAX_DIGITS = 600
_MAX_EXPONENT = 400

# Text

SIZING = r"\\(?:left|right|displaystyle|textstyle|small|normalsize|[lL]arge|LARGE|[hH]uge)(?![A-Za-z])"
NAMED_BLANK = r"\\(?:quad|qquad|thinspace|enspace)(?![A-Za-z])"
SIGNS = {
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width signs and letters
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63", "-"),
    "\u066b": ".",
    "\u066c": ",",
}
"""Signs and letters in ASCII that mean the same wherever they stand."""

_STYLED_GROUP = re.compile(
    r"(?:\\(?:text|textnormal|textbf|textit|textrm|mbox|mathrm|mathbf|mathit|mathsf|mathtt|boldsymbol|emph|underline)"
    r"\s*)?\{"
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_MATHS = re.compile(
    r"(\$\$?)((?:[^$\\]|\\.)*)\1|\\\(((?:[^\\]|\\[^()])*)\\\)|\\\[((?:[^\\]|\\[^\[\]])*)\\\]", re.DOTALL
)
_MARKDOWN = re.compile(r"(\*\*\*|\*\*|\*|__|_|`)(?=[^\s*_`])([^*_`]*)(?<=[^\s*_`])\1")
# As models write it that think in JSON: every command with two backslashes, and no other backslash.
_DOUBLED = re.compile(r"(?:[^\\]|\\\\(?=[A-Za-z]{2}|[{}$%]))*")
_MATHS_AND_WORDS = re.compile(r"\$([^$\s](?:[^$]*[^$\s])?)\$\s?([A-Za-z%][A-Za-z%. ]*)")
_SIZING = re.compile(SIZING)
_SPACING = re.compile(r"\\[,;:! ]|(?<!^)~")
_FRACTION_NAME = re.compile(r"\\[dtc]frac(?![A-Za-z])")


def unwrap(text: str) -> str:
    r"""``text`` without what encloses all of it: ``$..$``, ``\(..\)``, ``{..}``, ``\text{..}``, ``**..**``, blanks."""
    text = text.strip()
    if len(text) > _MAX_CHARACTERS:
        return text
    if "\\\\" in text and _DOUBLED.fullmatch(text):
        text = text.replace("\\\\", "\\")
    for _ in range(_MAX_LAYERS):
        inner = _peel(text)
        if inner == text:
            break
        text = inner
    return text


def _peel(text: str) -> str:
    if maths := _MATHS.fullmatch(text):
        return (maths[2] or maths[3] or maths[4] or "").strip()
    if words := _MATHS_AND_WORDS.fullmatch(text):
        return f"{words[1]} {words[2]}"
    if marked := _MARKDOWN.fullmatch(text):
        return marked[2]
    group = _STYLED_GROUP.match(text)
    if group and _closing_brace(text, group.end()) == len(text) - 1:
        return text[group.end() : -1].strip()
    return text


def _closing_brace(text: str, start: int) -> int:
    """Index of the brace that closes the group whose content begins at ``start``, or -1."""
    depth = 1
    for mark in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return mark.start()
    return -1


def plain_digits(text: str) -> str:
    """``text`` with the decimal digits of every script as 0 to 9.

    >>> plain_digits("৪২ ४२ 42")
    '42 42 42'
    """
    if text.isascii():
        return text
    digits = ((mark, unicodedata.decimal(mark, None)) for mark in text)
    return "".join(mark if digit is None else str(digit) for mark, digit in digits)


def normalize(text: str) -> str:
    r"""``text`` for a comparison of words: undressed, one kind of white space, no case, no full stop at the end.

    >>> normalize(r"\text{ The  Eiffel tower. }") == normalize("the Eiffel Tower")
    True
    """
    text = _SPACING.sub(" ", _SIZING.sub("", unwrap(plain_digits(text))))
    text = " ".join(_FRACTION_NAME.sub(r"\\frac", text).split())
    return (text if text.endswith("..") else text.removesuffix(".").rstrip()).casefold()


# Answers in tags

_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3}|__?|`)(?=\S)([^*`]+)(?<=\S)\1(?![\w*])")
_MATHS_MODE = re.compile(r"(?<!\\)\$\$?|\\[()\[\]]")
_FULL_STOP = re.compile(r"(?<![.\d])\.\Z")  # "42." is a number as it stands
_MAX_DRESSED = 1_000  # looking for emphasis takes time that grows with the square of the length


def undress(content: str) -> str:
    r"""What stands in answer tags without emphasis, a full stop, and the ``\boxed{}`` and mathematical mode around it.
    What else is there is part of the answer: ``not \boxed{42}`` is not 42."""
    content = content.strip()
    if len(content) > _MAX_DRESSED:
        return content
    for _ in range(_MAX_LAYERS):
        peeled = _unboxed(_FULL_STOP.sub("", _EMPHASIS.sub(r"\2", content)).strip())
        if peeled == content:
            break
        content = peeled
    return content


def _unboxed(content: str) -> str:
    """``content`` with what is in its only box in place of the box, and of the mathematical mode around that."""
    if (box := last_box(content)) is None:
        return content
    before, behind = content[: box[0]], content[box[1] :]
    two = last_box(before) or re.search(r"[\w.,]\Z", before) or re.match(r"\w|[.,]\w", behind)  # would become one
    if two:
        return content
    return f"{_MATHS_MODE.sub('', before)}{box[2].strip()}{_MATHS_MODE.sub('', behind)}".strip()


# Numbers

_THIN = "\u2009"
_TO_ASCII = str.maketrans(
    SIGNS | dict.fromkeys("\u00a0\u2007\u202f", _THIN) | {"\u066a": "%", "\u00d7": r"\times ", "\u00b7": r"\cdot "}
)
_REWRITES = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:]|~"), _THIN),
    (re.compile(rf"\\!\s*|{SIZING}"), ""),
    (re.compile(r"\\(?:text|math)dollar(?![A-Za-z])|\\(?:text|mathrm)\s*\{\s*\\?\$\s*\}"), "$"),
    (re.compile(rf"{NAMED_BLANK}|\\ "), " "),
    (re.compile(r"\\([$%])"), r"\1"),
    (_FRACTION_NAME, r"\\frac"),
    (re.compile(r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}|^([^{}]*)\\over(?![A-Za-z])([^{}]*)$"), r"\\frac{\1\3}{\2\4}"),
)


def _decimal(name: str) -> str:
    """Pattern of an unsigned decimal; ``name`` is that of its group for the thousands separator."""
    grouped = rf"[1-9][0-9]{{0,2}}(?P<{name}>[,{_THIN}])[0-9]{{3}}(?:(?P={name})[0-9]{{3}})*"
    return rf"(?:(?:{grouped}|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"


_PREFIX = re.compile(
    r"(?P<before>[+-])?\s*(?P<currency>US\$|[$€£¥₹]|\\(?:pounds|euro)(?![A-Za-z])"
    r"|(?:USD|EUR|GBP|INR|Rs\.?)(?![A-Za-z]))?\s*(?P<after>[+-])?\s*"
)
_DECIMAL = re.compile(_decimal("separator"))
_SPACED = re.compile(rf"[1-9][0-9]{{0,2}}(?: [0-9]{{3}})+(?![0-9,/{_THIN}]| [0-9/])")
_EXPONENT = re.compile(
    r"[eE](?P<e>[+-]?[0-9]+)"
    r"|\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*(?:\{\s*(?P<braced>[+-]?[0-9]+)\s*\}|(?P<bare>[+-]?[0-9]+))"
)
_SLASH = re.compile(rf"\s*/\s*(?P<denominator>{_decimal('separator')})")
_FRAC = re.compile(r"\s*\\frac\s*(?:\{([^{}]*)\}|([0-9]))\s*(?:\{([^{}]*)\}|([0-9]))")
_SLASH_AFTER_WHOLE = re.compile(r"\s+([0-9]+)/([0-9]+)")


def parse_number(text: str) -> Fraction | None:
    """The exact value of ``text``, or ``None`` where it is not one number; see the module for what is. Never raises."""
    quantity = parse_quantity(text)
    return None if quantity is None else quantity[0]


def parse_quantity(text: str, *, upright: bool = False) -> tuple[Fraction, Unit] | None:
    r"""The exact value of ``text`` and its unit, a currency before it or words behind; see :func:`parse_number`.

    With ``upright``, letters behind it count as if they were in ``\text``: ``5 m`` as five metres.

    >>> parse_quantity(r"\$5") == parse_quantity("5 dollars") != parse_quantity("5 cents")
    True
    """
    if len(text) > _MAX_DIGITS and len(text := text.strip()) > _MAX_DIGITS:
        return None
    text = unwrap(plain_digits(text).translate(_TO_ASCII))
    if text.startswith("~"):  # about
        return None
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = text.strip()
    position, negative, sign = _sign(text)
    if spaced := _SPACED.match(text, position):
        text = text[:position] + spaced[0].replace(" ", "") + text[spaced.end() :]
    found = _fraction(text, position) or _unsigned(text, position)
    if found is None:
        return None
    value, end = found
    unit = read_unit(text[end:], upright=upright)
    if unit is None or text[end - 1 : end + 1] == "..":
        return None
    return -value if negative else value, joined(currency(sign), unit)


def _sign(text: str) -> tuple[int, bool, str | None]:
    """Where the digits start behind sign and currency, whether the sign is a minus, and the currency's sign."""
    prefix = _PREFIX.match(text)
    if prefix is None or (prefix["before"] and prefix["after"]):  # two signs: leave the second to be no digit
        return 0, False, None
    return prefix.end(), "-" in (prefix["before"], prefix["after"]), prefix["currency"]


def _unsigned(text: str, position: int) -> tuple[Fraction, int] | None:
    r"""Value and end of a decimal with an exponent, a decimal over another, a mixed number, or a plain decimal."""
    decimal = _DECIMAL.match(text, position)
    if decimal is None:
        return None
    value, end = _value(decimal.group()), decimal.end()
    if exponent := _EXPONENT.match(text, end):
        power = _power_of_ten(exponent["e"] or exponent["braced"] or exponent["bare"])
        return None if power is None else (value * power, exponent.end())
    if slash := _SLASH.match(text, end):
        denominator = _value(slash["denominator"])
        return (value / denominator, slash.end()) if denominator else None
    rest = _FRAC.match(text, end) or _SLASH_AFTER_WHOLE.match(text, end)
    if rest and decimal.group().isdecimal():
        top, bottom = (group for group in rest.groups() if group is not None)
        if not (top.isdecimal() and bottom.isdecimal() and 0 <= int(top) < int(bottom)):
            return None
        return value + Fraction(int(top), int(bottom)), rest.end()
    return value, end


def _fraction(text: str, position: int) -> tuple[Fraction, int] | None:
    r"""Value and end of ``\frac{a}{b}`` with signed decimals ``a`` and ``b``."""
    frac = _FRAC.match(text, position)
    if frac is None:
        return None
    numerator, denominator = (_signed_decimal(group) for group in frac.groups() if group is not None)
    if numerator is None or not denominator:
        return None
    return numerator / denominator, frac.end()


def _signed_decimal(text: str) -> Fraction | None:
    text = text.strip()
    position, negative, _ = _sign(text)
    decimal = _DECIMAL.fullmatch(text, position)
    if decimal is None:
        return None
    return -_value(decimal.group()) if negative else _value(decimal.group())


def _value(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").replace(_THIN, ""))


def _power_of_ten(digits: str) -> Fraction | None:
    """Ten to that power; ``None`` beyond the limit, told without reading a long run of digits."""
    size = digits.lstrip("+-").lstrip("0") or "0"
    if len(size) > len(str(_MAX_EXPONENT)) or int(size) > _MAX_EXPONENT:
        return None
    power = Fraction(10) ** int(size)
    return 1 / power if digits.startswith("-") else power


# Comparison


def same_answer(answer: str, ground_truth: str) -> bool:
    """Whether two texts are the same number, exactly; where the ground truth is not a number, the same words."""
    same = same_quantity(answer, ground_truth)
    if same is None:
        return parse_quantity(ground_truth) is None and normalize(answer) == normalize(ground_truth)
    return same


def same_quantity(answer: str, ground_truth: str) -> bool | None:
    r"""Whether two numbers are the same with their units; ``None`` where either text is not a number.

    Where both name a unit, it must be the same one in some spelling; it is not converted. Where one names none, the
    other's is dropped.

    >>> same_quantity("5 centimeters", r"5\text{ cm}"), same_quantity("3 AM", "3 PM"), same_quantity("5", "5 cm")
    (True, False, True)
    """
    given, truth = parse_quantity(answer), parse_quantity(ground_truth)
    if given is None and truth is not None and truth[1]:  # "5 m" is a product, but not beside a truth in metres
        given = parse_quantity(answer, upright=True)
    if truth is None and given is not None and given[1]:
        truth = parse_quantity(ground_truth, upright=True)
    if given is None or truth is None:
        return None
    return given[0] == truth[0] and same_unit(given[1], truth[1])
