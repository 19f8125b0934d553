"""Reading numbers: tables of spellings, exactness, and what must not pass for a number."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.rewards import parse_number

TWELVE_HUNDRED = [
    "1200", "1,200", "1200.0", "1,200.00", "1200.", " 1200\n", "+1200", "$1,200", r"\$1,200", r"\$ 1200", r"1\,200",
    r"1{,}200", r"1,\!200", "1\u202f200", "1\u00a0200", "1\u2009200", "1~200", "$1200$", "$$1200$$", r"\(1200\)",
    r"\[1200\]", r"$\$1{,}200$", "{1200}", r"\text{1200}", r"\textbf{1,200}", r"\mathbf{1200}", r"\text{\$1200}",
    "\uff11\uff12\uff10\uff10", "\uff11,\uff12\uff10\uff10", "12e2", "1.2E+3", r"1.2 \times 10^{3}", r"1.2\cdot 10^3",
    "1.2 \u00d7 10^3", "120000e-2",
    r"\frac{2400}{2}", r"\dfrac{2400}{2}", r"\tfrac{2,400}{2}", r"\frac{-2400}{-2}", "2400/2", "2400 / 2", "2,400/2",
    "1200%", r"1200\%", r"1200 \%", "1200 percent", "1200 dollars", "1200 dollars.", r"1200\text{ dollars}",
    r"1200 \text{ miles per hour}", r"1{,}200\ \mathrm{km}", "1200 USD", "US$1200", "1200€", "€1200", "£1,200", "1200$",
    "1200km", "1200 km/h", "1200 cm^2", r"1200\text{ m}^2", r"1200\text{ m}", "1200 cm²", r"1200^\circ", "1200°",
    "1200° C", "1200 dollars a day", r"\left1200\right", r"1200\,\text{cm}", "01200", "1200¢", "1 200",
]  # fmt: skip

VALUES = [
    ("-5", -5), ("- 5", -5), ("\u22125", -5), ("\u20135", -5), ("\uff0d5", -5), ("-$5", -5), ("$-5", -5),
    (r"-\$1,000", -1000), (r"-\frac{1}{2}", Fraction(-1, 2)), (r"\frac{-1}{2}", Fraction(-1, 2)),
    (r"\frac12", Fraction(1, 2)), (r"\frac{1}2", Fraction(1, 2)), (r"\frac{0.5}{0.25}", 2), ("1/3", Fraction(1, 3)),
    ("0.1", Fraction(1, 10)), (".5", Fraction(1, 2)), ("-.5", Fraction(-1, 2)), ("0", 0), ("-0", 0), ("00", 0),
    (r"2\frac{1}{2}", Fraction(5, 2)), (r"-2\frac{1}{2}", Fraction(-5, 2)), ("2 1/2", Fraction(5, 2)), ("50%", 50),
    ("\u0665", 5), ("\u09ea\u09e8", 42), ("\u0e54\u0e52", 42), ("\u096a\u0968.\u096b", Fraction(85, 2)),
    ("\u06f4\u06f2", 42), ("\u0664\u066c\u0662\u0660\u0660\u066b\u0665", Fraction(8401, 2)), ("\uff14\uff12", 42),
    ("\U0001d7d2\U0001d7d0", 42), ("-\u17e4\u17e2", -42), ("1,234,567,890.5", Fraction(2469135781, 2)),
    ("9007199254740993", 9007199254740993), ("1e400", 10**400), ("1e-400", Fraction(1, 10**400)), ("0e0", 0),
]  # fmt: skip

NOT_NUMBERS = [
    "", " ", "-", "+", ".", "$", "$$", ",", "e5", "5e", "x", "five", "nan", "inf", "-inf", "None", "True",
    "42!", "5?", "3 4", "3, 4", "3; 4", "3 and 4", "3 or 4", "3 or four", "3-4", "3\u20134", "3:4", "3 + 4", "2^3",
    "x = 5", "= 5", "~5 or so", r"\approx 5", r"\pm 5", "(5)", "--5", "-+5", "-$-5", "1.2.3", "1,2,3", "12,00",
    "1,2345", "1200,000", "0,123", ",200", "1,,200", "1,200,", "1.200,50", "1, 200", "1,200 000",
    "1/0", "0/0", r"\frac{1}{0}", "1/2/3", "24/7/365", r"\frac{1}{x}", r"\frac{1}", r"2\frac{3}{2}", "2 3/2", "2 1/0",
    r"2.5\frac{1}{2}", "1e401", "1e999999999", "1e-999999999", r"1 \times 10^{999999999}", "1" * 601, "1e" + "9" * 500,
    "5x", "5 x", "5xy", "5k", "5K", "5M", "5 M", r"5\text{k}", "5 million", r"5\text{ thousand}", "5 Hundred",
    "3 dozen", "3 halves", "3 quarters", "3 and a half", "5th", "1st", "2 pi", r"2\pi", r"\sqrt{4}", "5 squared",
    "5 times", r"5\text{ or }6", r"5\text{ 6}", r"5\text{½}", "½", "3½",
    "10²", "五", r"\boxed{5}", "0x10", "1_000",
    "$5$ and $6$", r"\(5\) and \(6\)", r"\text{5} and \text{6}", "5 %!", "1e5e5", "infinity", "5 minus two",
    "1 20", "1 2000", "1 200 5",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"), [*((text, 1200) for text in TWELVE_HUNDRED), *VALUES, *((text, None) for text in NOT_NUMBERS)]
)
def test_values(text, value):
    assert parse_number(text) == value


@settings(deadline=None)
@given(st.integers(-(10**250), 10**250))
def test_integers_are_exact(value):
    assert parse_number(str(value)) == value
    assert parse_number(f"{value:,}") == value
    assert parse_number(f"{value:,}".replace(",", "{,}").replace("-", "\u2212")) == value
    assert parse_number(f"\\${value:,}.00\\text{{ dollars}}") == value


@settings(deadline=None)
@given(st.integers(-(10**100), 10**100), st.integers(1, 10**100))
def test_fractions_are_exact(numerator, denominator):
    assert parse_number(f"\\frac{{{numerator}}}{{{denominator}}}") == Fraction(numerator, denominator)
    assert parse_number(f"{numerator}/{denominator}") == Fraction(numerator, denominator)


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_decimals_are_exact(value):
    assert parse_number(f"{value:f}") == Fraction(str(value))


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_as_python_writes_them(value):
    parsed = parse_number(repr(value))
    assert parsed is not None
    assert math.isclose(float(parsed), value, rel_tol=1e-15)


@settings(deadline=None)
@given(st.lists(st.integers(0, 99_999).map(str), min_size=2, max_size=4))
def test_only_whole_groups_of_thousands_are_joined(parts):
    whole = not parts[0].startswith("0") and len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:])
    assume(not any(part.startswith("0") and len(part) > 1 for part in parts))
    assert parse_number(",".join(parts)) == (int("".join(parts)) if whole else None)


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="0123456789.,$-+/e%{}\\fractex ", max_size=60))
def test_any_text_is_read_without_error(text):
    value = parse_number(text)
    assert value is None or isinstance(value, Fraction)


@pytest.mark.parametrize(
    "text",
    ["1" * 1_000_000, "{" * 10_000 + "1" + "}" * 10_000, "1," * 500_000, "$" * 1_000_000, " " * 1_000_000 + "1",
     "\\text{" * 100_000, "1e" + "9" * 1_000_000, "{" * 290 + "1" + "}" * 290, "1" + " a" * 299, "1/" * 300],
)  # fmt: skip
def test_hostile_input_is_told_fast(text):
    start = time.process_time()
    parse_number(text)
    assert time.process_time() - start < 1.0
