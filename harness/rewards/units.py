r"""Reads the unit behind a number, in one spelling for all, or says that what stands there is no unit.

>>> read_unit(r"\text{ centimeters}") == read_unit(" cm"), same_unit(read_unit(" AM"), read_unit(" p.m."))
(True, False)
>>> read_unit(""), read_unit(" million"), read_unit(" or six"), read_unit("x"), read_unit(r"\mathrm{i}"), read_unit("!")
((), None, None, None, None, None)

A unit is a sign (``%``, ``°``, a currency's), a word of :data:`_SPELLINGS`, or any other word of three letters or more
that changes no number: ``apples``, ``dollars per hour``. No unit, and so nothing that may be dropped, are words that
scale a number (``lakh``, ``dozen``, ``Millionen``), that bring another number or an operation (``or``, ``minus``),
functions, constants and Greek letters, letters of other scripts, and short runs of letters that are in no list, since
they may be variables: ``4\text{x}`` is not 4.
"""

from __future__ import annotations

import itertools
import re
import unicodedata

Unit = tuple[frozenset[str], ...]
"""One set of possible meanings for each word, in order: ``pound`` is a weight or a currency. Empty: no unit."""

# A name, and how else it is written. Case counts for what has one or two letters. Plurals are found by their endings.
_SPELLINGS = """
    nm nanometer nanometre, um μm micrometer micrometre micron, mm millimeter millimetre, cm centimeter centimetre,
    dm decimeter decimetre, m meter metre, km kilometer kilometre kms, in inch, ft foot feet, yd yard, mi mile,
    mcg μg microgram, mg milligram milligramme, g gram gramme gm gms, kg kilogram kilogramme kilo kgs, t ton tonne,
    oz ounce, lb pound lbs,
    gbp pound £ quid,
    ml mL milliliter millilitre, cl cL centiliter centilitre, dl dL deciliter decilitre, l L liter litre, gal gallon,
    qt quart, pt pint, tbsp tablespoon, tsp teaspoon,
    ms millisecond msec, s second sec, min minute, h hour hr, day, wk week, month mo, yr year, am, pm, bc bce, ad ce,
    ha hectare, acre,
    hz Hz hertz, khz kHz kilohertz, mhz MHz megahertz, ghz GHz gigahertz, n N newton, kn kN kilonewton, j J joule,
    kj kJ kilojoule, cal calorie, kcal kilocalorie, w W watt, kw kW kilowatt, mw MW megawatt, kwh kWh, v V volt,
    mv mV millivolt, kv kV kilovolt,
    amp A ampere, ma mA milliampere, ohm Ω, c C coulomb, f F farad,
    mol mole, pa Pa pascal, kpa kPa kilopascal, mpa MPa megapascal, atm atmosphere, db dB decibel,
    kb kB KB kilobyte, mb MB megabyte, gb GB gigabyte, tb TB terabyte,
    celsius C, fahrenheit F, kelvin, degree ° deg, radian rad,
    unit, % percent percentage pct,
    dollar $ US$ usd buck, cent ¢, eur € euro, yen ¥ jpy 円, yuan ¥ rmb cny 元, rupee ₹ rs inr,
    person people, man men, woman women, child children, sq square, cu cubic, tooth teeth, goose geese, mouse mice,
    penny pence pennies
"""
_MEANINGS: dict[str, frozenset[str]] = {}
for _entry in _SPELLINGS.split(","):
    _name, *_others = _entry.split()
    for _spelling in (_name, *_others):
        _MEANINGS[_spelling] = _MEANINGS.get(_spelling, frozenset()) | {_name}
DEGREE: Unit = (_MEANINGS["degree"],)
_MEASURES = frozenset().union(*_MEANINGS.values()) | {"per", "^2", "^3"}
_COMPOUNDS = {"mph": "mile per hour", "kph": "km per hour", "kmh": "km per hour", "kmph": "km per hour"}
# Names that are no spelling: no one writes "5 n" for five newtons, and it may be a variable.
_NAMES_ONLY = frozenset({"n", "j", "w", "v", "c", "f", "t", "kn", "ma", "mw", "pa", "db", "kb", "mb", "gb", "tb"})

# These scale the number, or make an ordinal or a power of it. A plural s is taken off before.
_SCALES = """
    k K M MM B T bn mn mil mill mio mln mrd bil tril trill thou hundred thousand grand lakh lac crore arab kharab gross
    myriad dozen doz score half halve halves third quarter fourth fifth sixth seventh eighth ninth tenth hundredth
    thousandth st nd rd th squared cubed factorial basis bps ppm ppb permille permil mille fold ten
    tausend hundert hunderd dutzend tsd tys mila mille mil milion duizend tusen tisic tysiac ribu juta nghin trieu
    milyon milyar douzaine dizaine vingtaine trentaine centaine millier ciento cien centena centinaia migliaia decena
    dezena decina hunderte hunderter tausende tausender dutzende honderd hundra hundre tusind docena dozzina ratus puluh
    elfu hazar hazaar tuhat tuhatta googol milli micro nano pico centi deci hecto mega giga tera peta exa zig twice
    thrice
"""
# Million, Milliarde, millones, milhões, miljard, miliony, trillion ... of the languages that say it so.
_SCALE_STEMS = re.compile(
    r"(?:[mb]|tr|quadr|quint|sext|sept|oct|non|dec|z|gaz|baj)i(?:ll?i|ll?|lh|lj)(?:on|oen|oon|oan|ar|ao|oe)\w*|\w*illion(?:th)?|\w*(?:tausend|hundert)(?:st)?e?"
)
# These bring a second number, or an operation on it, or take it back.
_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
NUMBER_WORDS = _NUMBERS.split()
_SECOND_VALUES = """
    thirty forty fifty sixty seventy eighty ninety and or to plus minus times over out divided
    multiplied by mod modulo remainder than not no non through between negative below nor und oder
    approximately approx roughly circa ish
"""
_FUNCTIONS = "sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh coth ln log lg exp abs"
FUNCTIONS = frozenset(_FUNCTIONS.split())
_GREEK = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau upsilon
    phi varphi chi psi omega
"""
GREEK = frozenset(_GREEK.split())
_MATHS = """
    pi omicron arccot arcsec arccsc sech csch arsinh arcosh artanh cis sqrt sgn gcd lcm max var cov hom ker const
    det dim lim sup inf arg adj ceil erf div grad mod infinity infty nan null none undefined abc xyz
"""
_NO_UNITS = frozenset((_SCALES + _SECOND_VALUES + _MATHS).split()) | {*NUMBER_WORDS} | FUNCTIONS - {"sec"} | GREEK
# These do so where they stand alone: "17 square" is 289, but there are 17 squares, and 17 wrong answers.
_ONLY_ALONE = """
    square cube cubic root double doubled triple tripled quadruple quadrupled reciprocal inverse binary ternary octal
    hex hexadecimal almost nearly wrong incorrect false
"""
_ALONE = frozenset(_ONLY_ALONE.split())
# Right behind a number, without a blank, and not upright, letters may be a product of variables; these are not.
_ADJACENT = "mm cm km mg kg ml mL lb lbs oz ft mph hr hrs min mins hours minutes dollars cents am pm AM PM"
_ADJACENT_WORDS = frozenset(_ADJACENT.split())
_DIGITS = frozenset("ACF")  # right behind a number, upright ones too: 6\\mathrm{C} is hexadecimal
_BARE_SECOND_LETTERS = frozenset("aCFhsmlLg")  # "5 dollars a day", "20° C", "9 m/s"
_RAISED = {"squared": "^2", "cubed": "^3"}
_PHRASE_WORDS = frozenset({"of", "in", "at", "an", "on", "as", "is"})

_TOKEN = re.compile(
    r"(?P<open>\\(?:text|textnormal|textrm|textbf|textit|mathrm|mathit|mathbf|mbox|rm|operatorname)\s*\{)"
    r"|(?P<close>\})"
    r"|(?P<degree>°|\^\s*\{?\s*\\circ\s*\}?|\\(?:circ|degree)(?![A-Za-z]))"
    r"|(?P<sign>US\$|[%$€£¥₹¢])"
    r"|(?P<power>\^(?:\{(?P<braced>[23])\}|(?P<caret>[23]))|(?P<raised>[²³]))"
    r"|(?P<word>[^\W\d_²³]+)"
    r"|(?P<slash>/)"
    r"|(?P<mark>[.\-](?=[^\W\d_]))"
)
_BLANKS = re.compile(r"[\s~]*")
_DOTTED = re.compile(r"(?<![^\W\d_])([AaPp])\.\s?([Mm])(?:\.|(?![^\W\d_]))|(?<=[^\W\d_])\.(?=[\s}]|$)")
_QUOTIENT = re.compile(
    r"^\s*\\[dt]?frac\s*\{\\(?:text|mathrm)\s*\{([A-Za-z. ]+)\}\}\s*\{\\(?:text|mathrm)\s*\{([A-Za-z. ]+)\}\}"
)
_PERCENT = re.compile(r"\bper\s+cent\b(?=\W|$)", re.IGNORECASE)


def read_unit(tail: str, *, upright: bool = False) -> Unit | None:
    """The unit that ``tail``, all that follows a number, names; empty for none, ``None`` where it is no unit.

    With ``upright``, letters count as if they were in ``\\text``, where they are rather a unit than variables.
    """
    if not tail:
        return ()
    tail = _DOTTED.sub(lambda match: (match[1] or "") + (match[2] or ""), tail.removesuffix("."))
    tail = _QUOTIENT.sub(r"\\text{ \1/\2}", _PERCENT.sub("percent", tail))
    words: list[frozenset[str]] = []
    position, depth, apart = 0, int(upright), upright
    while True:
        start = position
        position = _BLANKS.match(tail, start).end()  # type: ignore[union-attr]
        apart = apart or position > start
        if position == len(tail):
            break
        token = _TOKEN.match(tail, position)
        if token is None or (token["mark"] and not words):
            return None
        kind, end = token.lastgroup, token.end()
        if kind == "power":
            if not words:
                return None
            words.append(
                frozenset({"^" + (token["braced"] or token["caret"] or unicodedata.normalize("NFKD", token["raised"]))})
            )
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
            if depth < upright:
                return None
        elif kind == "slash":
            words.append(frozenset({"per"}))
        elif kind == "degree":
            words.append(_MEANINGS["degree"])
        elif kind == "sign":
            words.append(_MEANINGS[token["sign"]])
        elif kind == "word":
            if not words and not apart and token["word"] in _DIGITS:
                return None
            adjacent, last = position == start and not depth, not tail[end:].strip(" }")
            meanings = _word(token["word"], styled=depth > 0, first=not words, last=last, adjacent=adjacent)
            if meanings is None:
                return None
            words.extend(meanings)
        position = end
    twice = any(one == other for one, other in itertools.pairwise(words))
    return None if twice or depth > upright or (words and words[-1] == {"per"}) else _ordered(words)


def currency(sign: str | None) -> Unit:
    r"""The unit that a sign before a number names: ``$``, ``US$``, ``\pounds`` ..."""
    if not sign:
        return ()
    return (
        _MEANINGS[{r"\pounds": "£", r"\euro": "€"}.get(sign, sign if sign in _MEANINGS else sign.lower().rstrip("."))],
    )


def joined(before: Unit, behind: Unit) -> Unit:
    """The unit of a number with a currency before it and words behind: ``$5 dollars`` names one."""
    return behind if before and behind[:1] and before[0] & behind[0] else before + behind


def same_unit(one: Unit, other: Unit) -> bool:
    """Whether the two are one unit. Where either is missing, nothing contradicts the other."""
    if not one or not other:
        return True
    return len(one) == len(other) and all(a & b for a, b in zip(one, other, strict=True))


def is_measure(unit: Unit) -> bool:
    """Whether every word of a unit is one that measures something, and not any noun."""
    return all(word <= _MEASURES for word in unit)


def _word(word: str, *, styled: bool, first: bool, last: bool, adjacent: bool) -> list[frozenset[str]] | None:
    """What a word means, in a list since ``mph`` is three; ``None`` where it may be no unit."""
    if word in ("a", "an", "per", "each") and not first:
        return [frozenset({"per"})]
    if word in _RAISED and not first:
        return [frozenset({_RAISED[word]})]
    if first and last and word.lower() in _ALONE:
        return None
    if _changes_value(word) or not word.isalpha():
        return None
    if not styled and word.isascii():
        if len(word) == 1 and (first or word not in _BARE_SECOND_LETTERS):
            return None
        if first and adjacent and word not in _ADJACENT_WORDS:
            return None
    if word.lower() in _COMPOUNDS:
        return [_known(part) or frozenset({part}) for part in _COMPOUNDS[word.lower()].split()]
    known = _known(word)
    if known is not None:
        return [known]
    if word.lower() in _PHRASE_WORDS and not first:
        return [frozenset({word.lower()})]
    if len(word) < 3 or not _plain(word).isascii():
        return None
    if len(word) == 3 and not set(word.lower()) & set("aeiouy"):
        return None
    return [frozenset({_singular(_plain(word))})]


def _known(word: str) -> frozenset[str] | None:
    """What a word of the list means, in any number, and in any case where it is no symbol of one or two letters."""
    if word in _NAMES_ONLY:
        return None
    for spelling in (word, word.lower()) if len(word) > 1 else (word,):
        for form in (spelling, _singular(spelling)):
            if form in _MEANINGS and (len(form) > 1 or form == word) and form not in _NAMES_ONLY:
                return _MEANINGS[form]
    return None


def _changes_value(word: str) -> bool:
    if len(word) == 1:  # "M" is a million, "m" a metre
        return word in _NO_UNITS
    plain = _plain(word)
    return not _NO_UNITS.isdisjoint((word, plain, plain.removesuffix("s"), _singular(plain))) or bool(
        _SCALE_STEMS.fullmatch(plain)
    )


def _ordered(words: list[frozenset[str]]) -> Unit:
    """The words with ``square m`` as ``m ^2`` and ``° C`` as ``C``."""
    found: list[frozenset[str]] = []
    power: frozenset[str] | None = None
    for word in words:
        if word in (_MEANINGS["sq"], _MEANINGS["cu"]):
            power = frozenset({"^2" if word == _MEANINGS["sq"] else "^3"})
            continue
        if found and found[-1] == _MEANINGS["degree"] and word & {"celsius", "fahrenheit", "kelvin"}:
            found[-1] = word & {"celsius", "fahrenheit", "kelvin"}
            continue
        found.append(word)
        if power:
            found.append(power)
            power = None
    return (*found, power) if power else tuple(found)


def _plain(word: str) -> str:
    """In small letters and without accents."""
    return "".join(mark for mark in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(mark))


def _singular(word: str) -> str:
    lower = word.lower()
    if len(lower) > 4 and lower.endswith("ies"):
        return word[:-3] + "y"
    if len(lower) > 4 and lower.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if len(lower) > 2 and lower.endswith("s") and not lower.endswith("ss"):
        return word[:-1]
    return word
