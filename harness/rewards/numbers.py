r"""Reads the number that an answer is, exactly, or says that it is not one.

    >>> parse_number(r"\$1{,}200.50")
    Fraction(2401, 2)
    >>> parse_number("12,00") is None
    True

What counts as a number, after what encloses all of it (``$..$``, ``\text{..}``) is taken off:

- an optional sign (ASCII, Unicode minus, hyphen or en dash) and an optional currency sign, in either order;
- digits, of any script, with or without thousands separators (``,`` ``{,}`` ``\,`` or a narrow space; the groups
  must be whole: ``1,2,3`` and ``12,00`` are not numbers), a decimal point, an exponent (``1.2e3``,
  ``1.2 \times 10^{3}``; at most 400 in size);
- or a fraction of two such (``\frac{2400}{2}``, ``2400/2``), or a mixed number (``2\frac{1}{2}``, ``2 1/2``);
- then, optionally, a unit: a sign such as ``%`` or ``°``, ``\text{..}`` without digits, or plain words after a blank.
  Units are not converted: 50 % is 50, as a task that asks for a percentage has it. Words that change the value or bring
  a second one ("million", "lakh", "half", "or") make the whole not a number, and so do functions, constants and letters
  that may be variables, upright ones too: see :mod:`harness.rewards.units`.

Everything else is not a number: ``42!``, ``x = 5``, ``3 4``, ``1/0``, ``1.200,50``.
"""

from __future__ import annotations

import re
from fractions import Fraction

from harness.rewards.text import SIZING, plain_digits, unwrap
from harness.rewards.units import Unit, currency, joined, read_unit

# A longer answer is not a number. 600 is under the smallest limit that Python lets one set for the digits of int(str),
# so no digits can raise; and an exponent of 400 reaches beyond every float without building a huge integer.
_MAX_CHARACTERS = 600
_MAX_EXPONENT = 400

_NARROW_SPACE = "\u2009"
_TO_ASCII: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},  # full-width signs and letters
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212, 0xFE63), "-"),
    **dict.fromkeys((0x00A0, 0x2007, 0x202F), _NARROW_SPACE),
    0x066A: "%",
    0x066B: ".",
    0x066C: ",",
    0x00D7: r"\times ",
    0x00B7: r"\cdot ",
}
_REWRITES = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:]|~"), _NARROW_SPACE),
    (re.compile(rf"\\!\s*|{SIZING}"), ""),
    (re.compile(r"\\(?:text|math)dollar(?![A-Za-z])|\\(?:text|mathrm)\s*\{\s*\\?\$\s*\}"), "$"),
    (re.compile(r"\\(?:quad|qquad|thinspace|enspace)(?![A-Za-z])|\\ "), " "),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
)


def _decimal(name: str) -> str:
    """Pattern of an unsigned decimal; ``name`` is that of its group for the thousands separator."""
    grouped = rf"[1-9][0-9]{{0,2}}(?P<{name}>[,{_NARROW_SPACE}])[0-9]{{3}}(?:(?P={name})[0-9]{{3}})*"
    return rf"(?:(?:{grouped}|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"


_PREFIX = re.compile(
    r"(?P<before>[+-])?\s*(?P<currency>US\$|[$€£¥₹]|\\(?:pounds|euro)(?![A-Za-z])"
    r"|(?:USD|EUR|GBP|INR|Rs\.?)(?![A-Za-z]))?\s*(?P<after>[+-])?\s*"
)
_DECIMAL = re.compile(_decimal("separator"))
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
    if len(text) > _MAX_CHARACTERS and len(text := text.strip()) > _MAX_CHARACTERS:
        return None
    text = unwrap(plain_digits(text).translate(_TO_ASCII))
    if text.startswith("~"):  # about
        return None
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = text.strip()
    position, negative, sign = _sign(text)
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
        power = _exponent(exponent["e"] or exponent["braced"] or exponent["bare"])
        return None if power is None else (value * power, exponent.end())
    if slash := _SLASH.match(text, end):
        denominator = _value(slash["denominator"])
        return (value / denominator, slash.end()) if denominator else None
    rest = _FRAC.match(text, end) or _SLASH_AFTER_WHOLE.match(text, end)
    if rest and decimal.group().isdecimal():
        part = _proper(*(group for group in rest.groups() if group is not None))
        return None if part is None else (value + part, rest.end())
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


def _proper(numerator: str, denominator: str) -> Fraction | None:
    """The fraction of a mixed number: of plain digits and less than one, or it is no mixed number."""
    top, bottom = _signed_decimal(numerator), _signed_decimal(denominator)
    if not (numerator.isdecimal() and denominator.isdecimal()) or top is None or not bottom or top >= bottom:
        return None
    return top / bottom


def _signed_decimal(text: str) -> Fraction | None:
    text = text.strip()
    position, negative, _ = _sign(text)
    decimal = _DECIMAL.fullmatch(text, position)
    if decimal is None:
        return None
    value = _value(decimal.group())
    return -value if negative else value


def _value(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").replace(_NARROW_SPACE, ""))


def _exponent(digits: str) -> Fraction | None:
    """Ten to that power; ``None`` beyond the limit, told without reading a long run of digits."""
    size = digits.lstrip("+-").lstrip("0")
    if len(size) > len(str(_MAX_EXPONENT)) or int(size or "0") > _MAX_EXPONENT:
        return None
    power = Fraction(10) ** int(size or "0")
    return 1 / power if digits.startswith("-") else power
