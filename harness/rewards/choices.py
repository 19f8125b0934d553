r"""Multiple choice: which option an answer names, by letter or by text.

    >>> cities = ["London", "Paris", "New York", "York"]
    >>> [option_named(text, options_of(cities)) for text in ("B", "(b)", "B. Paris", "paris.", "D. New York", "A or B")]
    ['B', 'B', 'B', 'B', None, None]

An answer is read whole or not at all: a letter, alone, in brackets or with more behind a separator ("B. Paris",
"B, because ..."), or the text of one option. More must not name another option. Where the options are not known,
letters are A to J, and what stands behind one is not looked at but for other letters.

What an answer says is found where it is marked: in a box, in ``<answer>`` tags, behind ``####``, "Answer:", "the answer
is" or "the correct option is". All that is marked must name one option, and behind it no letter of another may stand:
who names two has not chosen. Where nothing is marked, the first or last line is the answer, and no letter of another
may stand anywhere. A letter is one before it is a text, where an option is called "B".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from string import ascii_uppercase
from typing import Any, NamedTuple

from harness.rewards.grader import Grade, Grader, configurable
from harness.rewards.parse import normalize, undress, unwrap
from harness.store.errors import RewardError
from harness.store.redact import safe_line
from harness.tasks.forms import stated_answers

_UNKNOWN = ascii_uppercase[:10]
_MOST_CHARACTERS = 1_000  # more is no answer to a choice
_SEPARATED = re.compile(r"\s*[).\]:,;\u2013\u2014-](?!\w)|\s+(?:because|since|as|is (?:the )?(?:correct|right))\b")
_HEDGED = re.compile(r"(?i)\W*(?:or|maybe|perhaps|possibly|probably|not sure|i (?:guess|think))\b|\W*\?")
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
    fits = listed and isinstance(labels, Sequence) and len(set(map(str, labels))) == len(labels) == len(texts)
    if not fits:
        raise RewardError(
            "choice: the options of a question are a list of at most 26 texts, or "
            f'{{ text = [...], label = ["A", ...] }}, not {safe_line(repr(choices), 80)}'
        )
    names = tuple(str(label).strip() for label in labels)
    return Options(names, tuple((name, normalize(str(text))) for name, text in zip(names, texts, strict=True)))


def option_named(text: str, options: Options) -> str | None:
    """The label of the option that a text names, and nothing but it; ``None`` where it names none, or more than one."""
    if len(text) > _MOST_CHARACTERS:
        return None
    text = unwrap(undress(text.strip(" \t*_`")))
    same = [label for label, words in options.texts if words and words == normalize(text)]
    found = _patterns(options.labels)[0].match(text)
    if found is None:
        return same[0] if len(same) == 1 else None
    label = _label(found[found.lastindex or 0], options.labels)
    more = text[found.end() :]
    if not more.strip(" .)]:"):
        return label
    if len(same) == 1:  # an option that begins as if with a letter
        return same[0]
    others = (_labels_in(more, options.labels) | _mentioned(more, options)) - {label}
    separated = found[3] is None or _SEPARATED.match(more)
    return label if separated and not others and not _HEDGED.match(more) else None


@lru_cache(maxsize=1_000)
def _patterns(labels: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds a label at the start of a text, and any that stands alone in it."""
    one = "|".join(map(re.escape, labels))
    start = rf"(?i)(?:(?:option|choice|letter)\s+)?(?:\(\s*({one})\s*\)|\[\s*({one})\s*\]|({one})(?!\w))"
    return re.compile(start), re.compile(rf"(?<![\w'\u2019.-])({one})(?![\w'\u2019-])|\(((?i:{one}))\)")


def _labels_in(text: str, labels: tuple[str, ...]) -> set[str]:
    """The labels that stand alone in a text, capitals or in parentheses."""
    marks = _patterns(labels)[1].finditer(text)
    found = {mark[1] or mark[2] for mark in marks if mark[2] or not _ARTICLE.match(text, mark.start())}
    return {_label(each, labels) for each in found}


def _label(written: str, labels: tuple[str, ...]) -> str:
    return written if written in labels else next(each for each in labels if each.casefold() == written.casefold())


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
    behind = stated[-1][1] if stated else 0
    if not stated:
        lines = [(*line.span(), line[0]) for line in re.finditer(r"\S.*", completion)]
        stated = [each for each in dict.fromkeys((*lines[:1], *lines[-1:])) if option_named(each[2], options)]
    named = [option_named(said, options) for _, _, said in stated]
    if not stated or named[-1] is None or {*named} - {None, named[-1]}:
        return unread, None
    others = _labels_in(completion[behind:], options.labels) - {named[-1]}
    return stated[-1][2], None if others else named[-1]


@partial(configurable, form="letter")
def choice(*, options: Sequence[str] | None = None) -> Grader:
    """Multiple choice: the letter of the right option, or its text where the options are known: by ``options``, the
    same for all questions, or by the column ``choices`` of a question's row. The ground truth is the letter, the text,
    or the place in ``choices`` counted from 0; undecided where it is none of these."""
    known = None if options is None else options_of(options)

    def grade(completion: str, ground_truth: str, choices: Any = None) -> Grade:
        own = known or options_of(choices)
        right = _right(ground_truth, own)
        if right is None:
            return Grade(extracted=None, correct=None)
        if right not in own.labels:
            own = Options((*own.labels, right))
        said, label = chosen(completion, own)
        if label is None and right != ground_truth and (said or completion).strip() == ground_truth:
            label = right  # as the task writes it
        return Grade(extracted=said if label is None else label, correct=label == right)

    return grade


def _right(truth: str, options: Options) -> str | None:
    if (label := option_named(truth, options)) is not None:
        return label
    if options.texts:
        place = int(truth) if truth.isascii() and truth.isdigit() and len(truth) < 3 else len(options.labels)
        return options.labels[place] if place < len(options.labels) else None
    return truth.strip() if truth.strip() in ascii_uppercase and len(truth.strip()) == 1 else None
