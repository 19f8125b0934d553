r"""Reads a mathematical answer whole, LaTeX or plain notation, or not at all.

>>> read(r"\frac13") == read("1/3"), read("x**2") == read("x^2"), read("√2") == read(r"\sqrt{2}")
(True, True, True)
>>> read(r"42\foo{3}"), read("42?"), read(r"42\\43"), read("3 4")
(None, None, None, None)

A number with a part that was passed over is another number, so every mark must be one that this grammar knows, in a
place where it means one thing. What may mean two things is not read: digits that follow one another (``3 4``), a
product without a sign behind a slash (``1/2x``), ``x^2^3``. Where notations differ:

- ``e``, ``i`` and ``\pi`` are constants, upright or not; ``\log`` without a base is to base 10, ``\ln`` to base e;
- ``2\frac12`` and ``2½`` are mixed numbers; ``0.1\overline{6}``, ``0.1\dot6`` and ``0.1(6)`` repeat;
- ``52_8`` is a number in another base, and equal to no other notation of its value; ``x_1`` is a variable;
- a run of letters inside a formula is a product of variables if it has two or three small ones, and one variable if
  it has a capital; letters alone are a word and no formula;
- ``1,200`` is a number outside brackets and two inside; commas, semicolons, "and" and "or" separate several values;
- ``\pm`` stands for two values.

The result is a tree of lists, the head of each a word: ``["add", ["num", "1/2"], ["sym", "x"]]``.
"""

# ruff: noqa: RUF001 (it names marks that look like others)
from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from itertools import groupby
from typing import Any

from harness.rewards.parse import NAMED_BLANK, SIGNS, SIZING, plain_digits, unwrap
from harness.rewards.units import FUNCTIONS, GREEK, NUMBER_WORDS

Tree = list[Any]
"""A head and its parts, which are trees, text, or lists of trees."""

# A model that writes more is not answering. Each level costs about ten frames of Python's thousand.
_MAX_CHARACTERS = 2_000
_MAX_DEPTH = 30
_MAX_DIGITS = 600

_OTHER_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_CONSTANTS = {"e": "e", "i": "i", "pi": "pi", "oo": "oo", "infty": "oo", "infinity": "oo", "inf": "oo"}
_GREEK = GREEK | frozenset(
    ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell"]
)
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", r"\in": "in", r"\lt": "<", r"\gt": ">",
    r"\le": "<=", r"\leq": "<=", r"\leqslant": "<=", r"\ge": ">=", r"\geq": ">=", r"\geqslant": ">=", r"\ne": "!=",
    r"\neq": "!=", r"\approx": "~",
}  # fmt: skip
_SAME_COMMANDS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\dbinom": r"\binom", r"\tbinom": r"\binom",
    r"\cdot": "*", r"\times": "*", r"\ast": "*", r"\div": "/", "**": "^", r"\lvert": "|", r"\rvert": "|", r"\vert": "|",
    r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\lparen": "(", r"\rparen": ")",
    r"\varnothing": r"\emptyset", r"\degree": r"\circ",
}  # fmt: skip
_MARKS: dict[str, str] = {
    **SIGNS,
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
    "×": "*", "·": "*", "⋅": "*", "∗": "*", "∙": "*", "÷": "/", "⁄": "/", "∕": "/",
    "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "∪": r"\cup ", "∈": r"\in ",
    "≈": r"\approx ",
    "±": r"\pm ", "∓": r"\mp ", "∅": r"\emptyset ", "°": r"^{\circ}", "ⅇ": "e", "ⅈ": "i", "√": r"\root ",
    "∛": r"\rootthree ", "ℝ": r"\mathbb{R}", "ϕ": r"\phi ", "π": r"\pi ",
}  # fmt: skip
_UNICODE = str.maketrans(_MARKS)
_RAISED = {"<super>": "^", "<sub>": "_"}
_DROPPED = re.compile(rf"{SIZING}|\\(?:[bB]igg?[lr]?|limits|rm|it|bf)(?![A-Za-z])|\\!\s*|\\text\s*\{{\s*\}}")
_BLANK = re.compile(rf"{NAMED_BLANK}|\\[,;: ]|~|\s")
_GROUPS = re.compile(r"(?<![0-9.,}])([1-9][0-9]{0,2})((\{,\}|\\,)[0-9]{3}(?:\3[0-9]{3})*)(?![0-9])")  # thousands
_COMMAS = re.compile(r"(?<![0-9.,])([1-9][0-9]{0,2})((?:,[0-9]{3})+)(?![0-9]|,[0-9])")
_REPEATS = re.compile(
    r"(?P<whole>[0-9]*)\.(?P<fixed>[0-9]*)"
    r"(?:\\(?:overline|bar|dot)\s*(?:\{\s*(?P<a>[0-9]+)\s*\}|(?P<b>[0-9])(?![0-9]))|\((?P<c>[0-9]+)\)"
    r"|\\dot\s*\{?(?P<first>[0-9])\}?(?P<middle>[0-9]*)\\dot\s*\{?(?P<last>[0-9])\}?)(?![0-9.]|\\dot)"
)
_STYLED = re.compile(
    r"\\(?P<style>text|textrm|textit|textbf|textnormal|mathrm|mathit|mathbf|mathsf|mbox|operatorname|mathbb|mathcal"
    r"|mathfrak)(?:\s*\{(?P<content>[^{}]*)\}|\s+(?P<letter>[A-Za-z0-9])(?![A-Za-z0-9]))"
)
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+|\\[A-Za-z]+|\\[^A-Za-z]|[A-Za-z]+|\*\*|<=|>=|!=|==|:=|.", re.DOTALL)
_IN_BASE = re.compile("[A-F]+_1[1-6]")  # the end of 1A_{16}
# Short words that are no products, wherever they stand.
_SHORT_WORDS = """
    on no to is if in of at as or and not mod per the but yes max min gcd lcm det cm mm km kg mg ml ft oz lb lbs hr hrs
    sec am pm mph yd mi
"""
_WORDS = frozenset(_SHORT_WORDS.split())
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{(?:[pb]?matrix|array)\}(?:(?<=begin\{array\})\s*\{[lcr]+\})?")
_WORDS_ONLY = re.compile(r"[A-Za-z\s,;()]*")
_BASES = {NUMBER_WORDS[base]: str(base) for base in range(2, 17)}


class _UnreadError(Exception):
    """The text is no formula that this grammar knows."""


def read(text: str) -> Tree | None:
    """The formula that all of ``text`` is, or ``None``. Never raises; it takes time in proportion to the length."""
    if len(text) > _MAX_CHARACTERS:
        return None
    try:
        source = _prepared(text)
        found = [_Parser(source, sign).parse() for sign in (1, -1)[: 1 + (r"\pm" in source or r"\mp" in source)]]
    except (_UnreadError, RecursionError):
        return None
    if len(found) == 1:
        return found[0]
    values = [value for tree in found for value in (tree[1] if tree[0] == "list" else [tree])]
    return ["list", [value for place, value in enumerate(values) if value not in values[:place]]]


def is_words(text: str) -> bool:
    """Whether ``text`` is only letters, or words, or a list of them, and no constant's name."""
    text = unwrap(text)
    return len(text) <= _MAX_CHARACTERS and bool(_WORDS_ONLY.fullmatch(text)) and text not in _CONSTANTS


def _prepared(text: str) -> str:
    """``text`` in ASCII, without what only sets it, its numbers without thousands separators."""
    text = unwrap(text)
    text = "".join(_ascii(mark) for mark in plain_digits(re.sub("(?:[0-9]\u0305)+", _overlined, text)))
    text = _raised_runs(text).translate(_UNICODE)
    text = unwrap(_DROPPED.sub("", text))
    if text.endswith(".") and not text.endswith(".."):
        text = unwrap(text[:-1])
    if not text or text.startswith("~") or len(text) > _MAX_CHARACTERS:
        raise _UnreadError
    text = _GROUPS.sub(lambda match: match[1] + match[2].replace(match[3], ""), text)
    return _COMMAS.sub(lambda match: match[0] if _in_brackets(text, match.start()) else match[0].replace(",", ""), text)


def _overlined(match: re.Match[str]) -> str:
    return r"\overline{" + match[0].replace("\u0305", "") + "}"


def _ascii(mark: str) -> str:
    """A vulgar fraction and a Greek letter as LaTeX; other marks as they are."""
    if mark.isascii():
        return mark
    if unicodedata.decomposition(mark).startswith("<fraction>"):
        top, _, bottom = unicodedata.normalize("NFKC", mark).partition("⁄")
        return rf"\frac{{{top}}}{{{bottom}}}"
    name = unicodedata.name(mark, "").split()
    if len(name) == 4 and name[:1] == ["GREEK"] and name[2] == "LETTER":
        letter = name[3].replace("LAMDA", "LAMBDA").lower()
        return f"\\{letter if name[1] == 'SMALL' else letter.capitalize()} "
    return mark


def _raised_runs(text: str) -> str:
    """Superscripts and subscripts of Unicode as ``^{..}`` and ``_{..}``."""
    runs = groupby(text, lambda mark: _RAISED.get(unicodedata.decomposition(mark).partition(" ")[0]))
    parts = ((sign, "".join(run)) for sign, run in runs)
    return "".join(run if sign is None else f"{sign}{{{unicodedata.normalize('NFKC', run)}}}" for sign, run in parts)


def _in_brackets(text: str, place: int) -> bool:
    before = text[:place]
    return any(
        before.count(a) > before.count(b) for a, b in (("(", ")"), ("[", "]"), (r"\{", r"\}"), (r"\langle", r"\rangle"))
    )


def _repeating(match: re.Match[str]) -> str:
    """The repeating decimal as a fraction."""
    cycle = match["a"] or match["b"] or match["c"] or match["first"] + match["middle"] + match["last"]
    fixed = match["fixed"]
    value = Fraction(int(match["whole"] + fixed or "0"), 10 ** len(fixed))
    value += Fraction(int(cycle), 10 ** len(fixed) * (10 ** len(cycle) - 1))
    return f"{value.numerator}/{value.denominator}"


def _tokens(text: str) -> list[tuple[str, str, bool]]:
    """(kind, value, whether a blank stands before). Kinds: ``num``, ``name`` (letters), ``mark`` (all else)."""
    tokens: list[tuple[str, str, bool]] = []
    position, blank = 0, False
    while position < len(text):
        if space := _BLANK.match(text, position):
            position, blank = space.end(), True
            continue
        if (repeat := _REPEATS.match(text, position)) and len(repeat[0]) < _MAX_DIGITS:
            tokens.append(("num", _repeating(repeat), blank))
            position = repeat.end()
        elif environment := _ENVIRONMENT.match(text, position):
            tokens.append(("mark", environment[1], blank))
            position = environment.end()
        elif styled := _STYLED.match(text, position):
            tokens.append(_styled(styled, blank))
            position = styled.end()
        else:
            token = _TOKEN.match(text, position)
            assert token is not None
            value = token[0]
            if value[0] in "0123456789" or (value[0] == "." and len(value) > 1):
                if len(value) > _MAX_DIGITS:
                    raise _UnreadError
                tokens.append(("num", value, blank))
            elif value.isalpha() and value.isascii():
                tokens.append(("name", value, blank))
            elif value[0] == "\\" and value[1:] in _GREEK | FUNCTIONS | {"pi", "infty"}:
                tokens.append(("name", value[1:], blank))
            else:
                tokens.append(("mark", _SAME_COMMANDS.get(value, value), blank))
            position = token.end()
        blank = False
    return tokens


def _styled(match: re.Match[str], blank: bool) -> tuple[str, str, bool]:
    r"""``\text{and}``, ``\mathrm{e}``, ``\operatorname{arctan}``, ``\mathbb{R}``: a name, if it is one."""
    content = match["letter"] or match["content"].strip(" ,~").removeprefix("\\")
    if match["style"] in ("mathbb", "mathcal", "mathfrak") and len(content) == 1:
        return "name", f"{match['style']}-{content}", blank
    if (len(content) == 1 and content.isalpha()) or content in {"and", "or", *FUNCTIONS, *_CONSTANTS, *_GREEK}:
        return "name", content, blank
    if content.isdigit() or content.lower() in _BASES:  # a base, and nothing else
        return "base", _BASES.get(content.lower(), content), blank
    raise _UnreadError


_JOINING = {r"\land": "and", r"\lor": "or"}
_OPENING = r"( [ { \{ | \langle \lfloor \lceil \frac \sqrt \root \rootthree \binom"
_OPENERS = frozenset(_OPENING.split())
_SCALARS = frozenset({"num", "sym", "const", "add", "mul", "div", "pow", "neg", "call", "root", "fact", "deg", "binom"})


class _Parser:
    """Recursive descent over the tokens; every method reads what it is called for, or raises :class:`_UnreadError`."""

    def __init__(self, source: str, sign: int) -> None:
        self._tokens = _tokens(source)
        self._place = 0
        self._plus = sign > 0
        self._depth = 0
        self._bars = 0

    def parse(self) -> Tree:
        items, used = self._items()
        if len(items) == 1 and self._take(r"\over"):
            items = [_divided(_scalar(items[0]), _scalar(self._sum()))]
        if self._place != len(self._tokens):
            raise _UnreadError
        return items[0] if len(items) == 1 else ["list", items, *sorted(used & {"and", "or"})]

    # What follows

    def _peek(self, ahead: int = 0) -> tuple[str, str, bool]:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else ("end", "", False)

    def _at(self, *values: str) -> bool:
        kind, value, _ = self._peek()
        return kind == "mark" and value in values

    def _after(self, mark: str) -> bool:
        return self._tokens[self._place - 1][:2] == ("mark", mark)

    def _take(self, *values: str) -> str | None:
        if self._at(*values):
            self._place += 1
            return self._tokens[self._place - 1][1]
        return None

    def _need(self, *values: str) -> str:
        found = self._take(*values)
        if found is None:
            raise _UnreadError
        return found

    # From the outside in

    def _items(self) -> tuple[list[Tree], set[str]]:
        """Elements between separators, and the separators and words used. Commas and semicolons do not mix."""
        items, used = [self._element()], set[str]()
        while True:
            separator = self._take(",", ";")
            joined = self._take(r"\land", r"\lor")
            if joined is None and self._peek()[0] == "name" and self._peek()[1] in ("and", "or"):
                joined = self._peek()[1]
                self._place += 1
            if separator is None and joined is None:
                break
            used |= {separator or ",", *([] if joined is None else [_JOINING.get(joined, joined)])}
            items.append(self._element())
        if {",", ";"} <= used:
            raise _UnreadError
        return items, used

    def _element(self) -> Tree:
        start = self._place
        parts, signs = [self._union()], []
        while self._peek()[0] == "mark" and self._peek()[1] in _RELATIONS:
            side = [token[:2] for token in self._tokens[start : self._place]]
            signs.append(_RELATIONS[self._take(self._peek()[1]) or ""])
            start = self._place
            parts.append(self._union())
            if side == [token[:2] for token in self._tokens[start : self._place]]:  # 42 = 42
                raise _UnreadError
        if not {*signs} <= {"=", "!=", "in"}:
            parts = [_scalar(part) for part in parts]
        return ["rel", signs, parts] if signs else parts[0]

    def _union(self) -> Tree:
        parts = [self._sum()]
        while self._take(r"\cup"):
            parts.append(self._sum())
        if len(parts) > 1 and any(part[0] not in ("span", "set") for part in parts):
            raise _UnreadError
        return ["union", parts] if len(parts) > 1 else parts[0]

    def _sum(self) -> Tree:
        terms = [self._signed(self._take("+", "-", r"\pm", r"\mp"))]
        while sign := self._take("+", "-", r"\pm", r"\mp"):
            terms.append(self._signed(sign))
        return terms[0] if len(terms) == 1 else ["add", *map(_scalar, terms)]

    def _signed(self, sign: str | None) -> Tree:
        """A term with the sign before it, and one more, as in ``x+-1``."""
        second = self._take("+", "-") if sign else None
        term = self._term()
        negative = sign == "-" or (sign == r"\pm" and not self._plus) or (sign == r"\mp" and self._plus)
        negative = negative != (second == "-")
        if sign:
            _scalar(term)
        if negative and term[0] == "num":
            return ["num", term[1].removeprefix("-") if term[1].startswith("-") else f"-{term[1]}"]
        return ["neg", term] if negative else term

    def _term(self) -> Tree:
        first = self._peek()[0] == "num"
        result = self._power()
        slashed = False
        while True:
            if operator := self._take("*", "/"):
                negative = self._take("-")
                factor = _scalar(self._power())
                if _whole(factor) and self._at(r"\frac"):  # 2 * 3\frac12
                    raise _UnreadError
                factor = ["neg", factor] if negative else factor
                result = _divided(result, factor) if operator == "/" else _times(result, factor)
                slashed, first = operator == "/", False
            elif self._starts_factor() or (self._peek()[0] == "num" and self._after("!")):  # 3!7!
                if slashed and not self._peek()[2]:  # 1/2x
                    raise _UnreadError
                factor = self._power()
                if first and factor[0] == "sym" and _IN_BASE.fullmatch(factor[1]):
                    raise _UnreadError
                if factor[0] == "num" and _whole(result):
                    if not first or not 0 < Fraction(factor[1]) < 1:
                        raise _UnreadError
                    result = ["num", str(Fraction(result[1]) + Fraction(factor[1]))]
                else:
                    result = _times(result, factor)
                first = False
            else:
                return result

    def _starts_factor(self) -> bool:
        kind, value, _ = self._peek()
        if kind == "name":
            return value not in ("and", "or")
        return kind == "mark" and value in _OPENERS and not (value == "|" and self._bars)

    def _power(self) -> Tree:
        base = self._primary()
        raised = False
        while True:
            if self._take("!"):
                if raised or base[0] == "fact" or self._at("!"):
                    raise _UnreadError
                base = ["fact", _scalar(base)]
            elif self._at("^"):
                self._place += 1
                if self._take_circle():
                    if base[0] == "deg":
                        raise _UnreadError
                    base = ["deg", _scalar(base)]
                    continue
                if raised:
                    raise _UnreadError
                base, raised = ["pow", _scalar(base), self._script()], True
            else:
                return base

    def _take_circle(self) -> bool:
        place = self._place
        braced = self._take("{")
        if self._take(r"\circ") and (not braced or self._take("}")):
            return True
        self._place = place
        return False

    def _script(self) -> Tree:
        """An exponent, or the argument of a root: a group, or one sign, number or name."""
        negative = self._take("-")
        if not negative:
            self._take("+")
        kind, value, _ = self._peek()
        if kind == "name" and len(value) > 1 and value not in _CONSTANTS and value not in _GREEK:
            raise _UnreadError
        tree = _scalar(self._primary())
        return ["neg", tree] if negative else tree

    def _primary(self) -> Tree:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _UnreadError
        kind, value, _ = self._peek()
        self._place += 1
        if kind == "num":
            tree = self._number(value)
        elif kind == "name":
            tree = self._name(value)
        elif kind == "mark":
            tree = self._bracketed(value)
        else:
            raise _UnreadError
        self._depth -= 1
        return tree

    def _number(self, digits: str) -> Tree:
        if self._at("_"):
            return self._in_base(digits)
        return ["num", str(Fraction(digits))]

    def _in_base(self, digits: str) -> Tree:
        self._need("_")
        opened = [mark for mark in ("{", "(") if self._take(mark)]
        kind, base, _ = self._peek()
        self._place += 1
        for mark in reversed(opened):
            self._need({"{": "}", "(": ")"}[mark])
        base = _BASES.get(base, base)
        if (
            kind not in ("num", "base", "name")
            or not base.isdigit()
            or not digits.isdigit()
            or not 2 <= int(base[:9]) <= 36
        ):
            raise _UnreadError
        if any(int(digit) >= int(base) for digit in digits):
            raise _UnreadError
        return ["based", digits.lstrip("0") or "0", base]

    def _name(self, name: str) -> Tree:
        if name in FUNCTIONS:
            return self._call(_OTHER_NAMES.get(name, name))
        if name == "sqrt":
            return ["root", self._script(), ["num", "2"]]
        if name in _GREEK or "-" in name:
            return self._symbol(name)
        if name in _CONSTANTS:
            return ["const", _CONSTANTS[name]]
        if len(name) == 1 or not name.islower():
            if len(name) > 1 and name.capitalize() == name:  # a word such as "Or"
                raise _UnreadError
            return self._symbol(name)
        if len(name) > 3 or name in _WORDS:
            raise _UnreadError
        # a product: what follows belongs to its last letter
        letters = [["const", letter] if letter in "ei" else ["sym", letter] for letter in name[:-1]]
        last = self._name(name[-1])
        if self._at("^"):
            last = self._rest_of_power(last)
        return ["mul", *letters, last]

    def _rest_of_power(self, base: Tree) -> Tree:
        self._need("^")
        if self._at("{") and self._peek(1)[1] == r"\circ":
            raise _UnreadError
        tree = ["pow", base, self._script()]
        if self._at("^"):
            raise _UnreadError
        return tree

    def _symbol(self, name: str) -> Tree:
        if self._take("_"):
            name += "_" + self._subscript()
        if name in ("f", "g", "h", "F", "G", "P") and self._at("(") and not self._peek()[2]:
            self._place += 1
            items, _ = self._items()
            self._need(")")
            return ["call", f"{name}()", *map(_scalar, items)]
        return ["sym", name]

    def _subscript(self) -> str:
        if not self._take("{"):
            kind, value, _ = self._peek()
            self._place += 1
            if kind not in ("num", "name", "base") or (kind == "name" and len(value) > 1 and value not in _GREEK):
                raise _UnreadError
            return value
        parts: list[str] = []
        while not self._take("}"):
            kind, value, _ = self._peek()
            if kind == "end" or value in ("{", "^", "_"):
                raise _UnreadError
            parts.append(value)
            self._place += 1
        return " ".join(parts)

    def _call(self, name: str) -> Tree:
        base: Tree = ["const", "e"] if name == "ln" else ["num", "10"]
        if name == "log" and self._take("_"):
            base = self._script()
        power = self._script() if self._take("^") else None
        if power is not None and (power[0] == "neg" or (power[0] == "num" and power[1].startswith("-"))):
            if power not in (["num", "-1"], ["neg", ["num", "1"]]) or name not in ("sin", "cos", "tan"):
                raise _UnreadError
            name, power = f"arc{name}", None
        if self._at("("):
            self._place += 1
            argument = _scalar(self._union())
            self._need(")")
            if self._at("^", "!"):  # \sin(x)^2: of which?
                raise _UnreadError
        else:
            argument = self._argument()
        tree: Tree
        if name in ("ln", "log", "lg"):
            tree = ["call", "log", argument, base]
        elif name == "exp":
            tree = ["pow", ["const", "e"], argument]
        else:
            tree = ["call", name, argument]
        return tree if power is None else ["pow", tree, power]

    def _argument(self) -> Tree:
        r"""``2x`` of ``\sin 2x``: factors that follow one another without a sign, up to a function or a bracket."""
        tree = _scalar(self._power())
        while self._starts_factor() and self._peek()[1] not in FUNCTIONS and not self._at("("):
            tree = _times(tree, self._power())
        return tree

    def _bracketed(self, value: str) -> Tree:
        match value:
            case "{":
                tree = self._sum()
                if self._take(r"\over"):
                    tree = _divided(_scalar(tree), _scalar(self._sum()))
                self._need("}")
                return tree
            case "(" | "[" | r"\langle":
                return self._round(value)
            case r"\{":
                if self._take(r"\}"):
                    return ["set", []]
                condition = self._set_of()
                items = [] if condition else self._items()[0]
                self._need(r"\}")
                return condition or ["set", items]
            case r"\emptyset":
                return ["set", []]
            case "|":
                if self._bars:
                    raise _UnreadError
                self._bars += 1
                tree = _scalar(self._sum())
                self._need("|")
                self._bars -= 1
                return ["call", "abs", tree]
            case r"\lfloor" | r"\lceil":
                tree = _scalar(self._sum())
                self._need({r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}[value])
                return ["call", "floor" if value == r"\lfloor" else "ceil", tree]
            case r"\frac":
                top, bottom = self._tex_argument(), self._tex_argument()
                return _divided(top, bottom)
            case r"\binom":
                return ["binom", self._tex_argument(), self._tex_argument()]
            case r"\sqrt":
                index: Tree = ["num", "2"]
                if self._take("["):
                    index = _scalar(self._sum())
                    self._need("]")
                return ["root", self._script() if self._at("(") else self._tex_argument(), index]
            case r"\root" | r"\rootthree":
                return ["root", self._script(), ["num", "2" if value == r"\root" else "3"]]
            case "begin":
                return self._matrix()
            case _:
                raise _UnreadError

    def _set_of(self) -> Tree | None:
        r"""``1 < x < 4`` of ``\{x \mid 1 < x < 4\}``, where that bounds a real variable."""
        reals = 2 * (self._peek(1)[1] == r"\in" and self._peek(2)[1] == "mathbb-R")
        if self._peek()[0] != "name" or self._peek(1 + reals)[1] not in ("|", r"\mid", ":"):
            return None
        self._place += 2 + reals
        condition = self._element()
        if condition[0] != "rel" or not {*condition[1]} <= {"<", "<=", ">", ">="}:
            raise _UnreadError
        return condition

    def _tex_argument(self) -> Tree:
        r"""A group, or as in TeX one digit or letter: ``\frac12`` is a half, and the rest stays."""
        kind, value, blank = self._peek()
        if kind == "mark" and value == "{":
            return _scalar(self._primary())
        if kind == "num" and value.isdigit() and len(value) > 1:
            self._tokens[self._place : self._place + 1] = [("num", value[0], blank), ("num", value[1:], False)]
        elif kind == "name" and len(value) > 1 and value not in _GREEK | _CONSTANTS.keys():
            self._tokens[self._place : self._place + 1] = [("name", value[0], blank), ("name", value[1:], False)]
        elif kind not in ("num", "name"):
            raise _UnreadError
        return _scalar(self._primary())

    def _round(self, opener: str) -> Tree:
        items, used = self._items()
        closer = self._need(")", "]", r"\rangle")
        if len(items) == 1 and not used:
            if opener + closer != "()" and (opener + closer != "[]" or items[0][0] != "matrix"):
                raise _UnreadError
            if self._at("_"):
                number = items[0]
                if number[0] != "num":
                    raise _UnreadError
                return self._in_base(number[1])
            return items[0]
        if (opener == r"\langle") != (closer == r"\rangle") or (
            opener + closer != "()" and len(items) != 2 and opener != "["
        ):
            raise _UnreadError
        return ["span", opener, closer, items]

    def _matrix(self) -> Tree:
        rows: list[list[Tree]] = [[]]
        while True:
            rows[-1].append(_scalar(self._sum()))
            if self._take("&"):
                continue
            if self._take("end"):
                break
            self._need("\\\\")
            if self._take("end"):
                break
            rows.append([])
        if len({len(row) for row in rows}) != 1:
            raise _UnreadError
        return ["matrix", rows]


def _scalar(tree: Tree) -> Tree:
    """``tree``, if it can be added and multiplied."""
    if tree[0] not in _SCALARS:
        raise _UnreadError
    return tree


def _whole(tree: Tree) -> bool:
    return bool(tree[0] == "num" and tree[1].isdigit())


def _times(one: Tree, other: Tree) -> Tree:
    """The product, without a level for each factor."""
    return ["mul", *(_scalar(one)[1:] if one[0] == "mul" else [_scalar(one)]), _scalar(other)]


def _divided(top: Tree, bottom: Tree) -> Tree:
    if top[0] == bottom[0] == "num":
        if not Fraction(bottom[1]):
            raise _UnreadError
        return ["num", str(Fraction(top[1]) / Fraction(bottom[1]))]
    return _times(top, ["div", ["num", "1"], _scalar(bottom)])
