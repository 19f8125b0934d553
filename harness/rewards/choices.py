r"""Multiple choice: which option an answer names, by letter or by text.

    >>> cities = ["London", "Paris", "New York", "York"]
    >>> [option_named(text, options_of(cities)) for text in ("B", "(b)", "B. Paris", "paris.", "D. New York", "A or B")]
    ['B', 'B', 'B', 'B', None, None]

An answer is read whole or not at all: a letter, alone, in brackets, with its text or with more behind a separator
("B. Paris", "B, because ..."), or the text of one option. More must not name another option, nor deny it. Where the
options are not known, letters are A to J, and what stands behind one is not looked at but for other letters.

What an answer says is found where it is marked: in a box, in ``<answer>`` tags, behind ``####``, "Answer:", "the answer
is" or "the correct option is". All that is marked must name one option, and behind it no letter of another may stand,
in a list or at the end of a clause no small one either: who names two has not chosen. Where nothing is marked, the
first or last line is the answer, no line may name another option, and no letter of another may stand beside it. A
letter is one before it is a text, where an option is called "B".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple, get_args

from harness.rewards.grader import Grade, Grader, configurable
from harness.rewards.parse import normalize, undress, unwrap
from harness.rewards.words import bare
from harness.store.errors import RewardError
from harness.store.redact import safe_line
from harness.tasks.forms import stated_answers

_UNKNOWN = ascii_uppercase[:10]
_MOST_CHARACTERS = 1_000  # more is no answer to a choice
_SEPARATED = re.compile(r"\s*[).\]:,;\u2013\u2014-](?!\w)|\s+(?:because|since|as|is (?:the )?(?:correct|right))\b")
_HEDGED = re.compile(r"(?i)\W*(?:or|maybe|perhaps|possibly|probably|i (?:guess|think))\b|\W*\?")
# Of options that are not known one may say so: "B. No", "B. Not enough is said".
_REFUSED = re.compile(r"(?i)\W*(?:no(?! doubt)|not|nope|never|likely|wrong|incorrect|false|untrue)\b")
# Wherever it stands behind a letter: "B, which is wrong", "(B) is not the answer", "B, but I do not know".
_DENIED = re.compile(
    r"(?i)(?:^\W*|\b(?:which|that|this|it|answer)\s*)(?:is|was|['\u2019]s)"
    r"(?:(?:\s+not|n['\u2019]t)\s+(?:the\s+)?(?:right|correct|true|answer)|\s+(?:wrong|incorrect|false|untrue))\b"
    r"|(?:\bnot|n['\u2019]t)\s+(?:sure|certain|know)\b|\bunsure\b|\bjust kidding\b"
)
# Before what is said: "The wrong answer is B", "I doubt that the answer is B".
_DOUBTED = re.compile(
    r"(?i)(?:\b(?:wrong|incorrect|doubt|if|not|never|unlikely)|n['\u2019]t)\b"
    r"(?:(?!\b(?:so|thus|hence|therefore|but|then|and|because)\b)[^.:;,!?])*[\s:*_]*\Z"
)
_DRESSING = " \t*_`\"'\u201c\u201d\u2018\u2019"
# "A city" has an article, "A is wrong" does not.
_ARTICLE = re.compile(
    r"A (?!(?:is|was|or|and|nor|but|not|seems|looks|would|could|must|might|may|should)\b)[a-z]|I\b['\u2019 ]"
)


class Options(NamedTuple):
    """The labels of options, usually letters; their normalized texts by label, where these are known."""

    labels: tuple[str, ...]
    texts: tuple[tuple[str, str], ...] = ()


UNKNOWN = Options(tuple(_UNKNOWN))


def options_of(choices: object) -> Options:
    """A list of texts, or a table with the columns ``text`` and ``label`` or with a text for each label, as data sets
    have them. Raises ``RewardError`` for anything else."""
    if choices is None:
        return UNKNOWN
    labels: Any = None
    texts: Any = choices
    if isinstance(choices, Mapping) and "text" in choices:
        labels, texts = choices.get("label"), choices["text"]
    elif isinstance(choices, Mapping):
        labels, texts = list(choices), list(choices.values())
    listed = isinstance(texts, Sequence) and not isinstance(texts, str) and len(texts) > 0
    if listed and labels is None:
        labels = list(ascii_uppercase[: len(texts)])
    names = tuple(str(label).strip() for label in labels) if isinstance(labels, Sequence) else ()
    if not listed or not all(names) or not len(set(names)) == len(names) == len(texts):
        raise RewardError(
            "the options of a question are a list of at most 26 texts, or "
            f'{{ text = [...], label = ["A", ...] }} with different labels, not {safe_line(repr(choices), 80)}'
        )
    # A table of the texts by letter has None where a question has fewer options.
    known = ((name, "" if text is None else normalize(str(text))) for name, text in zip(names, texts, strict=True))
    return Options(names, tuple(known))


def option_named(text: str, options: Options) -> str | None:
    """The label of the option that a text names, and nothing but it; ``None`` where it names none, or more than one."""
    if len(text) > _MOST_CHARACTERS:
        return None
    text = unwrap(undress(bare(text)))
    as_texts = {normalize(text), normalize(text.strip(_DRESSING))}
    same = [label for label, words in options.texts if words and words in as_texts]
    text = text.strip(_DRESSING)
    found = _patterns(options.labels)[0].match(text)
    if found is None:
        return same[0] if len(same) == 1 else None
    label = _label(found[found.lastindex or 0], options.labels)
    more = text[found.end() :]
    said = normalize(more.strip(f"{_DRESSING}.)]:,;!=([\u2013\u2014-"))
    if not said or said == dict(options.texts).get(label or ""):
        return label
    if len(same) == 1:  # an option that begins as if with a letter
        return same[0]
    more = re.sub(r"^[*_`]+", "", more)
    others = (_labels_in(more, options.labels) | _mentioned(more, options)) - {label}
    denied = _HEDGED.match(more) or _DENIED.search(more) or (options.texts and _REFUSED.match(more))
    separated = found[3] is None or _SEPARATED.match(more)
    return label if separated and not others and not denied else None


@lru_cache(maxsize=1_000)
def _patterns(labels: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """What finds a label at the start of a text, any that stands alone in it, and small letters at the end of a line
    or of an item of a list."""
    one = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
    start = rf"(?i)(?:(?:option|choice|letter)\s+)?(?:\(\s*({one})\s*\)|\[\s*({one})\s*\]|({one})(?!\w))"
    alone = rf"(?<![\w'\u2019.-])({one})(?![\w'\u2019-])|\(((?i:{one}))\)"
    item = (
        rf"(?im)(?:^[ \t*_`+\u2022-]*|[\w,;:/|&(\[][ \t*_`]*)(?<![\w'\u2019.-])({one})"
        r"(?=[)\]*_`.:!?]*\s*(?:$|[,;/|&]|(?:or|and)\b))|^[ \t*_`+\u2022-]*"
        rf"({one})[)\].:](?!\w)"
    )
    return re.compile(start), re.compile(alone), re.compile(item)


def _labels_in(text: str, labels: tuple[str, ...]) -> set[str | None]:
    """The labels that stand alone in a text: capitals, in parentheses, or as items."""
    _, alone, item = _patterns(labels)
    marks = alone.finditer(text)
    found = {mark[1] or mark[2] for mark in marks if mark[2] or not _ARTICLE.match(text, mark.start())}
    found |= {mark[1] or mark[2] for mark in item.finditer(text)}
    return {_label(each, labels) for each in found} - {None}


def _label(written: str, labels: tuple[str, ...]) -> str | None:
    """``None`` where cases fold otherwise than a pattern that takes both has it, as for a dotless i."""
    if written in labels:
        return written
    return next((each for each in labels if each.casefold() == written.casefold()), None)


def _mentioned(text: str, options: Options) -> set[str]:
    """The options whose text stands in a text, the longer ones first: "New York" is no York."""
    text, found = normalize(text), set()
    for label, words in sorted(options.texts, key=lambda each: -len(each[1])):
        at = text.find(words) if words else -1
        while at >= 0:
            end = at + len(words)
            if not (text[:at][-1:].isalnum() or text[end:][:1].isalnum()):
                found.add(label)
                text = f"{text[:at]}\0{text[end:]}"
            at = text.find(words, at + 1)
    return found


def chosen(completion: str, options: Options) -> tuple[str | None, str | None]:
    """The answer that a completion gives, and the label of the option that it names, ``None`` where it names none or
    several."""
    stated = stated_answers(completion)
    unread = stated[-1][2] if stated else None
    beside = completion[stated[-1][1] :] if stated else ""
    if not stated:
        lines = [(*line.span(), line[0]) for line in re.finditer(r"\S.*", completion)]
        stated = [each for each in dict.fromkeys((*lines[:1], *lines[-1:])) if option_named(each[2], options)]
        if stated:
            start, end, _ = stated[-1]
            beside = f"{completion[:start]}\n{completion[end:]}"
            stated = [*((0, 0, line) for line in {each[2] for each in lines}), stated[-1]]
    named = [option_named(said, options) for _, _, said in stated]
    if not stated or named[-1] is None or {*named} - {None, named[-1]}:
        return unread, None
    start = stated[-1][0]
    doubted = _DOUBTED.search(completion[completion.rfind("\n", 0, start) + 1 : start][-_MOST_CHARACTERS:])
    others = _labels_in(beside, options.labels) - {named[-1]}
    return stated[-1][2], None if others or doubted or _DENIED.search(beside) else named[-1]


Reading = Literal["letter", "text", "place"]


@partial(configurable, form="letter")
def choice(*, options: Sequence[str] | None = None, truth: Reading | None = None) -> Grader:
    """Multiple choice: the letter of the right option, or its text where the options are known: by ``options``, the
    same for all questions, or by the column ``choices`` of a question's row. The ground truth is the letter, the text,
    or the place in ``choices`` counted from 0, as ``truth`` says; where that is left out, it is undecided where it is
    none of these, or a text and the place of another option."""
    if truth not in (None, *get_args(Reading)):
        raise RewardError(f"truth must be one of {', '.join(map(repr, get_args(Reading)))}, not {truth!r}")
    known = None if options is None else options_of(options)

    def right_of(ground_truth: str, choices: Any) -> tuple[Options, str | None]:
        try:
            own = known or options_of(choices)
        except RewardError:
            return UNKNOWN, None
        right = _right(ground_truth, own, truth)
        return own if right in (None, *own.labels) else Options(tuple(ascii_uppercase)), right

    def gold(ground_truth: str, choices: Any = None, **row: Any) -> str:
        return right_of(ground_truth, choices)[1] or ground_truth

    def grade(completion: str, ground_truth: str, choices: Any = None) -> Grade:
        own, right = right_of(ground_truth, choices)
        if right is None:
            return Grade(extracted=None, correct=None)
        said, label = chosen(completion, own)
        return Grade(extracted=said if label is None else label, correct=label == right)

    grade.gold = gold  # type: ignore[attr-defined]
    return grade


def _right(truth: str, options: Options, reading: Reading | None) -> str | None:
    labels, truth = options.labels, truth.strip()
    if not options.texts and reading in (None, "letter") and len(truth) == 1 and truth in ascii_uppercase:
        return truth
    place = int(truth) if options.texts and truth.isascii() and truth.isdigit() and len(truth) < 3 else len(labels)
    at = labels[place] if place < len(labels) else None
    if reading == "place":
        return at
    if reading == "letter":
        return option_named(truth, Options(labels))
    if reading == "text":
        same = [label for label, words in options.texts if words and words == normalize(truth)]
        return same[0] if len(same) == 1 else None
    named = option_named(truth, options)
    found = {named} if truth in labels else {named, at} - {None}
    return found.pop() if len(found) == 1 else None
