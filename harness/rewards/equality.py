r"""Whether two formulas are equal: the trees of :mod:`harness.rewards.formula`, compared by SymPy and exactly.

Only the process behind ``math_equivalent`` imports this: SymPy takes its time on some formulas, and for ever on others.

    >>> half, third = ["num", "1/2"], ["num", "1/3"]
    >>> equivalent(["add", half, half, third], ["div", ["num", "4"], ["num", "3"]]), equivalent(half, third)
    (True, False)

There is no tolerance: decimals are the fractions that they write. Numbers that are not rational are equal if 1,000
digits of their difference are zero; expressions with variables if they are so at several points, wherever both are
real. Relations may be read from either end or be multiplied by a number; a value may stand for ``x =`` that value, and
a point for the equations of its coordinates. Of inequalities "and" takes what they have in common, all else joins them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from harness.rewards.formula import Tree


class _NoValueError(ValueError):
    """A formula that has no value, such as a division by zero."""


class _TooLargeError(ArithmeticError):
    """A number of more than :data:`_MAX_DIGITS` digits: a tower of powers would be computed for ever."""


# What SymPy raises at formulas that it makes nothing of.
_FAILURES = (ValueError, TypeError, AttributeError, ArithmeticError, LookupError, RuntimeError)


def equivalent(answer: Tree, ground_truth: Tree) -> bool | None:
    """Whether the two are the same; ``None`` where the ground truth has no value."""
    try:
        _check(ground_truth)
    except _FAILURES:
        return None
    try:
        return _same(answer, ground_truth)
    except _FAILURES:
        return False


def _check(tree: Tree) -> None:
    """Raises where a part of the tree has no value."""
    if tree and isinstance(tree[0], str) and tree[0] in _SCALARS:
        _value(tree)
        return
    for part in tree:
        if isinstance(part, list):
            _check(part)


# Trees


def _same(one: Tree, other: Tree) -> bool:
    """Of any two kinds. Values without an order are matched one to one; brackets, bases and shapes must be the same."""
    one, other = _exactly(one), _exactly(other)
    if (one[0] == "rel") != (other[0] == "rel"):
        one, other = _assigned(one), _assigned(other)
    kinds = {one[0], other[0]}
    if one[0] in _SCALARS and other[0] in _SCALARS:
        return _equal(_value(one), _value(other)) or _same_angle(one, other)
    if "union" in kinds or kinds == {"rel", "span"} or _REALS in (one, other):
        return _same_region(one, other)
    if kinds == {"list", "span"}:
        named = [_named(tree) if tree[0] == "list" else tree for tree in (one, other)]
        if named[0][0] == named[1][0]:
            return _same(*named)
        return _same_region(one, other) or _same_point(one, other)
    if kinds == {"list", "rel"} and _same_region(one, other):
        return True
    if kinds == {"list"} and ("and" in one) != ("and" in other) and _region(one[1][0]) and one[1][0][0] == "rel":
        return _same_region(one, other)  # "and" cuts, all else joins
    if kinds & {"list", "set"}:
        return _same_values(_items(one), _items(other))
    if len(kinds) > 1:
        return False
    if one[0] == "rel":
        return _same_relation(one, other) or _same_region(one, other)
    if one[0] == "span":
        return bool(one[1:3] == other[1:3]) and _all_same(one[3], other[3])
    if one[0] == "matrix":
        return len(one[1]) == len(other[1]) and all(map(_all_same, one[1], other[1]))
    return one == other  # numbers in a base


def _same_point(one: Tree, other: Tree) -> bool:
    """``3, -2`` for ``(3, -2)``, which is no interval; ``1, 2`` may be two values, or an interval's ends."""
    (values, used), point = ((one[1], one[2:]), other) if one[0] == "list" else ((other[1], other[2:]), one)
    plain = not used and point[1:3] == ["(", ")"] and all(value[0] in _SCALARS for value in values)
    if not (plain and _all_same(values, point[3])):
        return False
    return len(values) > 2 or bool((_value(values[0]) - _value(values[1])).is_positive)


def _all_same(some: list[Tree], others: list[Tree]) -> bool:
    return len(some) == len(others) and all(map(_same, some, others))


def _same_angle(one: Tree, other: Tree) -> bool:
    """Degrees are a unit, which may be missing on one side."""
    plain, others = _without_degree(one), _without_degree(other)
    return (plain is one) != (others is other) and _equal(_value(plain), _value(others))


def _without_degree(tree: Tree) -> Tree:
    if tree[0] == "neg":
        inner = _without_degree(tree[1])
        return tree if inner is tree[1] else ["neg", inner]
    return tree[1] if tree[0] == "deg" else tree


def _items(tree: Tree) -> list[Tree]:
    return tree[1] if tree[0] in ("list", "set") else [tree]


def _same_values(some: list[Tree], others: list[Tree]) -> bool:
    if len(some) != len(others) or len(some) > _MAX_VALUES:
        return False
    names = [{(_assigned_name(item) or "").partition("_")[0] for item in items} - {""} for items in (some, others)]
    if max(map(len, names)) > 1 and set() in names:  # x = 1, y = 2 for 1, 2: the order is all there is
        return _all_same(some, others)
    left = list(others)
    for item in some:
        match = next((place for place, other in enumerate(left) if _same(item, other)), None)
        if match is None:
            return False
        del left[match]
    return True


# Relations


def _assigned_name(tree: Tree) -> str | None:
    r"""What stands alone on one side of equations: ``x``, ``f(x)``, ``(x, y)``."""
    if tree[0] != "rel" or not {*tree[1]} <= {"=", "in"}:
        return None
    for name in tree[2][:: len(tree[2]) - 1] if "in" not in tree[1] else tree[2][:1]:
        parts = name[3] if name[0] == "span" else [name]
        if name[0] == "add" and all(part[0] == "sym" for part in name[1:]):
            return str(name)
        if all(part[0] == "sym" or (part[0] == "call" and _is_name(part)) for part in parts):
            return str(name)
    return None


def _is_name(call: Tree) -> bool:
    r"""``f(2)``, ``\sin x``: what may be asked for, and not ``|x|``."""
    return call[1].endswith("()") or (call[1] in ("sin", "cos", "tan") and call[2][0] == "sym")


def _named(tree: Tree) -> Tree:
    """``(1, 2)`` of ``x = 1, y = 2``: the point whose coordinates have these names, in the order of the alphabet."""
    rels = [item for item in tree[1] if item[0] == "rel" and item[1] == ["="] and item[2][0][0] == "sym"]
    values = {item[2][0][1]: item[2][1] for item in rels}
    if "or" in tree or len(values) < len(tree[1]):
        return tree
    return ["span", "(", ")", [values[name] for name in sorted(values)]]


def _exactly(tree: Tree) -> Tree:
    r"""``x = 1/3`` of ``x = 1/3 \approx 0.33``, if the decimal is that value to its last digit."""
    if tree[0] != "rel" or tree[1][-1] != "~" or tree[1].count("~") > 1 or tree[2][-1][0] != "num":
        return tree
    exact, decimal = tree[2][-2], _value(tree[2][-1])
    places = next((places for places in range(20) if (decimal * 10**places).is_integer), None)
    if places is None or exact[0] not in _SCALARS or not (value := _value(exact)).is_number:
        return tree
    if not abs((value - decimal).evalf(30)) <= sympy.Rational(1, 2 * 10**places):
        return tree
    return ["rel", tree[1][:-1], tree[2][:-1]] if len(tree[1]) > 1 else exact


def _assigned(tree: Tree) -> Tree:
    """``5`` of ``x = 5``, ``5 = x``, ``2 + 3 = 5`` and ``x = 2 + 3 = 5``, where all that are equal are the same."""
    name = _assigned_name(tree)
    if name is None:  # 8 + 9 = 17
        sides = tree[2] if tree[0] == "rel" and {*tree[1]} == {"="} else []
        same = sides and all(side[0] in _SCALARS and _same(side, sides[-1]) for side in sides)
        return sides[-1] if same else tree
    values = tree[2][1:] if str(tree[2][0]) == name else tree[2][:-1]
    if any(name in str(value) for value in values) or not all(_same(value, values[-1]) for value in values[:-1]):
        return tree
    return values[-1]  # type: ignore[no-any-return]


def _same_relation(one: Tree, other: Tree) -> bool:
    """The same signs between the same sides, read from either end, or both sides times a number."""
    (signs, sides), (other_signs, other_sides) = _upward(one), _upward(other)
    if signs != other_signs:
        return False
    if _all_same(sides, other_sides) or ({*signs} <= {"=", "!="} and _all_same(sides, other_sides[::-1])):
        return True
    if len(signs) > 1 or any(side[0] not in _SCALARS for side in sides + other_sides):
        return False
    difference, other_difference = _value(sides[0]) - _value(sides[1]), _value(other_sides[0]) - _value(other_sides[1])
    symbols = difference.free_symbols | other_difference.free_symbols
    if not symbols:
        return False
    point = _points(symbols)[0]
    ratio = difference.subs(point) / other_difference.subs(point)
    if ratio.has(sympy.zoo, sympy.nan, sympy.oo) or _is_zero(ratio):
        return False
    if signs[0] in ("<", "<=") and not sympy.re(ratio.evalf(15)) > 0:
        return False
    return _equal(difference, ratio * other_difference)


def _upward(tree: Tree) -> tuple[list[str], list[Tree]]:
    """Signs and sides with ``<`` for ``>``, if all signs can be turned round."""
    signs = ["=" if sign == "in" else sign for sign in tree[1]]
    if {*signs} <= {">", ">="}:
        return [sign.replace(">", "<") for sign in reversed(signs)], tree[2][::-1]
    return signs, tree[2]


def _same_region(one: Tree, other: Tree) -> bool:
    r"""Intervals, however they are written: ``x > 5``, ``x \in (5, \infty)``, ``(5, \infty)``."""
    regions = [_region(one), _region(other)]
    if any(region is None for region in regions):
        return False
    (name, spans), (other_name, others) = regions  # type: ignore[misc]
    return (name is None or other_name is None or name == other_name) and _same_values(spans, others)


def _region(tree: Tree) -> tuple[str | None, list[Tree]] | None:
    """The variable, if it is named, and the intervals."""
    if tree == _REALS:
        return None, [["span", "(", ")", [_BELOW, _ABOVE]]]
    if tree[0] == "span":
        return None, [tree]
    if tree[0] == "union":
        return None, tree[1]
    if tree[0] == "list":
        regions = [_region(item) for item in tree[1]]
        if any(region is None or region[0] is None for region in regions) or len({r[0] for r in regions if r}) > 1:
            return None
        if "and" in tree:
            return _cut(regions)  # type: ignore[arg-type]
        return regions[0][0], [span for region in regions if region for span in region[1]]  # type: ignore[index]
    if tree[0] != "rel":
        return None
    signs, sides = _upward(tree)
    if tree[1] == ["in"]:
        inner = _region(sides[1])
        return None if inner is None or sides[0][0] != "sym" else (sides[0][1], inner[1])
    if not {*signs} <= {"<", "<="}:
        return None
    if len(signs) == 1 and sides[0][0] == "sym":
        signs, sides = ["<", *signs], [_BELOW, *sides]
    elif len(signs) == 1:
        signs, sides = [*signs, "<"], [*sides, _ABOVE]
    if len(signs) != 2 or sides[1][0] != "sym":
        return None
    brackets = "(" if signs[0] == "<" else "[", ")" if signs[1] == "<" else "]"
    return sides[1][1], [["span", *brackets, [sides[0], sides[2]]]]


def _cut(regions: list[tuple[str | None, list[Tree]]]) -> tuple[str | None, list[Tree]] | None:
    """What is common to ``x > 1`` and ``x < 4``, where that is one interval between a lower and an upper bound."""
    spans = [span for _, region in regions for span in region]
    lower, upper = ([span for span in spans if span[3][end] != bound] for end, bound in ((0, _BELOW), (1, _ABOVE)))
    if len(regions) != 2 or len(spans) != 2 or len(lower) != 1 or len(upper) != 1:
        return None
    low, high = lower[0][3][0], upper[0][3][1]
    if not (_value(high) - _value(low)).is_positive:
        return None
    return regions[0][0], [["span", lower[0][1], upper[0][2], [low, high]]]


# Values


def _value(tree: Tree) -> Any:
    """The SymPy expression of a tree."""
    head, *parts = tree
    value = _BUILDERS[head](*parts)
    if value.has(sympy.zoo, sympy.nan):
        raise _NoValueError
    return value


def _call(name: str, *arguments: Tree) -> Any:
    values = map(_value, arguments)
    return (sympy.Function(name) if name.endswith("()") else _FUNCTIONS[name])(*values)


def _root(radicand: Tree, index: Tree) -> Any:
    value, degree = _value(radicand), _value(index)
    if degree.is_odd and value.is_negative:  # the real root, as in schools
        return -sympy.root(-value, degree)
    return sympy.root(value, degree)


def _power(base: Tree, exponent: Tree) -> Any:
    of, to = _value(base), _value(exponent)
    if of not in (0, 1, -1):
        if any(not abs(number) <= _MAX_DIGITS for number in to.atoms(sympy.Number)):
            raise _TooLargeError  # of a variable too: a number takes its place
        if of.is_number and to.is_number and not abs(to.evalf(5) * sympy.log(of).evalf(5)) <= _MAX_NATURAL:
            raise _TooLargeError
    return of**to


def _factorial(tree: Tree) -> Any:
    of = _value(tree)
    if of.is_number and not abs(of.evalf(5)) <= _MAX_FACTORS:
        raise _TooLargeError
    return sympy.factorial(of)


def _binomial(tree: Tree, choose: Tree) -> Any:
    of, taken = _value(tree), _value(choose)
    fewer = [each for each in (taken, of - taken) if each.is_number]
    if fewer and not min(abs(each.evalf(5)) for each in fewer) <= _MAX_FACTORS:
        raise _TooLargeError
    return sympy.binomial(of, taken)


def _equal(one: Any, other: Any) -> bool:
    """Exactly, as far as 1,000 digits can tell; with variables, wherever both sides are real, at points tried."""
    if one == other:
        return True
    if one.has(sympy.oo) or other.has(sympy.oo):
        return False
    difference = one - other
    if difference.has(AppliedUndef):
        return bool(sympy.expand(difference) == 0)
    symbols = one.free_symbols | other.free_symbols
    if not symbols:
        return _is_zero(difference)
    complex_ = one.has(sympy.I) or other.has(sympy.I)
    compared = 0
    for point in _points(symbols):
        at_point = difference.subs(point)
        if at_point.has(sympy.zoo, sympy.nan, sympy.oo):
            continue
        if not (_is_zero(at_point, 300)):
            if complex_ or all(abs(sympy.im(side.subs(point).evalf(15))) < 1e-9 for side in (one, other)):
                return False
            continue
        compared += 1
    return compared >= 2


def _points(symbols: set[Any]) -> list[dict[Any, Any]]:
    """A few values for the variables, none of them simple: first positive, then of both signs."""
    ordered = sorted(symbols, key=str)
    return [
        {
            symbol: sign**place * sympy.Rational(_PRIMES[(place + 3 * turn) % len(_PRIMES)] + place, scale)
            for place, symbol in enumerate(ordered, start=turn)
        }
        for turn, (sign, scale) in enumerate(((1, 23), (1, 31), (1, 7), (-1, 19), (-1, 29), (-1, 11)))
    ]


def _is_zero(number: Any, digits: int = 1_000) -> bool:
    """Whether a number is zero in so many digits; one that is known exactly, at all."""
    if number.is_Rational:
        return bool(number == 0)
    for part in number.evalf(5, maxn=digits).as_real_imag():
        if not part.is_Number:
            raise _NoValueError
        if part != 0 and part._prec > 1:  # SymPy's mark of a number with no digit that is certain
            return False
    return True


_REALS: Tree = ["sym", "mathbb-R"]
_BELOW: Tree = ["neg", ["const", "oo"]]
_ABOVE: Tree = ["const", "oo"]
_PRIMES = (37, 61, 17, 97, 29, 83, 43, 71, 19, 53)
_MAX_VALUES = 50
_MAX_DIGITS = 10_000
_MAX_NATURAL = 23_026  # the natural logarithm of a number of so many digits
_MAX_FACTORS = 3_000  # 3,000! has 9,131 digits
_FUNCTIONS = {
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "abs": sympy.Abs, "ceil": sympy.ceiling,
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh, "coth": sympy.coth, "log": sympy.log,
    "floor": sympy.floor,
}  # fmt: skip
_BUILDERS: dict[str, Callable[..., Any]] = {
    "num": sympy.Rational,
    "sym": sympy.Symbol,
    "const": {"e": sympy.E, "i": sympy.I, "pi": sympy.pi, "oo": sympy.oo}.__getitem__,
    "add": lambda *terms: sympy.Add(*map(_value, terms)),
    "mul": lambda *factors: sympy.Mul(*map(_value, factors)),
    "div": lambda top, bottom: _value(top) / _value(bottom),
    "pow": _power,
    "neg": lambda term: -_value(term),
    "root": _root,
    "call": _call,
    "fact": _factorial,
    "deg": lambda of: _value(of) * sympy.pi / 180,
    "binom": _binomial,
}
_SCALARS = _BUILDERS.keys()
