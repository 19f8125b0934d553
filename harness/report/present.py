r"""How a page says things: numbers and units, marks and words, and untrusted text made safe to look at.

>>> percent(0.9950), points(0.032), count(13300), seconds(125.0)
('99.5\xa0%', '+3.2', '13,300', '2 min 5 s')
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup, escape

from harness.store.outcome import outcome
from harness.store.redact import CONTROL_NAMES, INVISIBLE, RANGES, symbol_of
from harness.store.stages import SIDES
from harness.store.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness.report.views import Evaluation, Flip, Run
    from harness.store.records import Record
    from harness.store.run_files import Verdict

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
MARKS: Mapping[str, str] = {"correct": "✓", "wrong": "✗", "no_answer": "∅", "unscored": "?"}
KINDS: Mapping[str, str] = {"correct": "good", "wrong": "bad", "no_answer": "bad"}
STATUSES: Mapping[str, str] = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no answer",
    "unscored": "not scored",
}
FINISHES: Mapping[str, str] = {
    "stop": "ended by itself",
    "length": "cut off at the token limit",
    "error": "could not be had",
}
GRADERS: Mapping[str, str] = {
    "boxed_exact": "strict grader",
    "boxed_numeric": "flexible grader",
    "tags_exact": "strict grader",
    "answer_in_tags": "flexible grader",
}
RULES: Mapping[str, str] = {
    "boxed_exact": "the strict grader reads the first \\boxed{} and wants the ground truth character for character",
    "boxed_numeric": "the flexible grader reads the last \\boxed{} and compares numbers, so 18.0 is 18",
    "tags_exact": "the strict grader reads the last <answer> and wants the ground truth character for character",
    "math_equivalent": "math_equivalent reads the last \\boxed{} and takes any expression of equal value",
    "answer_in_tags": "the flexible grader reads the last <answer> and compares numbers, so 18.0 is 18",
    "exact": "exact takes the words of the ground truth, without case, punctuation and articles",
    "f1": "f1 counts the words that the answer shares with the ground truth",
    "regex": "regex takes what the pattern has, from start to end unless it says search",
    "json_schema": "json_schema takes JSON that the schema admits, as the whole answer or in one fenced block",
    "choice": "choice takes the letter of an option or its text, and nothing that names two",
}
"""What a grader accepts, in one line."""

CLIP_AT = 400
"""Characters of an extracted answer that a report holds: one that is longer is not an answer."""
FOLD_AT = 20_000
"""Characters of one text that are shown; the rest is left out of the middle."""


# Numbers


def number(value: Any) -> float | None:
    """A finite number of sane size; ``None`` for everything else, booleans included."""
    given = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if given else None


def percent(value: float | None) -> str:
    """A share in per cent, to a tenth that is told only where there is one: ``12.5 %``, ``100 %``."""
    return NONE if value is None else f"{_tenth(100 * value)}\u00a0%"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, signed: ``+12.5``."""
    return NONE if value is None else _sign(round(value, 3)) + _tenth(abs(100 * value))


def within(interval: Sequence[float] | None) -> str:
    """An interval of shares in per cent: ``[98.1, 100]``; ``""`` where there is none."""
    return "" if interval is None else f"[{', '.join(_tenth(100 * end) for end in interval)}]".replace("-", MINUS)


def count(value: float | None) -> str:
    """A whole number: ``13,300``."""
    return NONE if value is None else f"{round(value):,}".replace("-", MINUS)


def plural(number: int, noun: str) -> str:
    """``1 turn``, ``2 turns``."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def signed(value: float | None) -> str:
    """A difference of other numbers, in three digits: ``+2.47``."""
    return NONE if value is None else _sign(value) + f"{abs(value):.3g}"


def brief(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}".replace("-", MINUS)


def plain(value: Any) -> str:
    """Any value in few characters: floats with four digits, whole ones with all of theirs, the rest as it is.

    >>> plain(0.123456), plain(13300.0), plain(1e20)
    ('0.1235', '13300', '1e+20')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value)) or NONE
    if isinstance(value, dict):
        return "; ".join(f"{key}: {plain(each)}" for key, each in value.items()) or NONE
    return str(value)


def seconds(value: float | None) -> str:
    """A duration: ``0.5 s``, ``21 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if value is None:
        return NONE
    if value < 10:
        return f"{_tenth(value)} s"
    return duration(value)


def size(value: float | None) -> str:
    """Bytes in binary units."""
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def moment(value: str) -> str:
    """An ISO time to the minute: ``2001-02-03 04:05 UTC``; anything else as it is."""
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return value
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def _tenth(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0").replace("-", MINUS)


def _sign(value: float) -> str:
    return MINUS if value < 0 else "+" if value else ""


# Words


def typed(command: str) -> str:
    """A command as one would type it: ``python -m pytest`` where it began with the file that ``-m`` ran.

    >>> typed("__main__.py suites/ -q"), typed("pytest suites/")
    ('python -m pytest suites/ -q', 'pytest suites/')
    """
    first, _, rest = command.partition(" ")
    return f"python -m pytest {rest}".rstrip() if first.rsplit("/", 1)[-1] == "__main__.py" else command


_WORDS: Mapping[tuple[str, str], str] = {
    ("improvement", "IMPROVED"): "Better than before, beyond luck",
    ("improvement", "REGRESSED"): "Worse than before, beyond luck",
    ("improvement", "NOT_IMPROVED"): "No gain of the size that is asked for",
    ("improvement", "INCONCLUSIVE"): "May be luck: these questions cannot tell whether it got better",
    ("baseline", "IMPROVED"): "Better than the baseline, beyond luck",
    ("baseline", "OK"): "No worse than the baseline",
    ("baseline", "REGRESSED"): "Worse than the baseline, beyond luck",
    ("baseline", "INCONCLUSIVE"): "These questions cannot tell whether it is worse than the baseline",
    ("baseline", "INCOMPARABLE"): "Cannot be compared with the baseline",
    ("baseline", "NO_BASELINE"): "No baseline yet",
    ("accuracy", "OK"): "As accurate as asked for",
    ("accuracy", "TOO_LOW"): "Less accurate than asked for",
    ("accuracy", "INCONCLUSIVE"): "These questions cannot tell whether it is as accurate as asked for",
    ("training", "OK"): "Training was sound",
    ("training", "UNSOUND"): "Training was not sound",
    ("recipe", "IMPROVED"): "The recipe is better, over several trained models",
    ("recipe", "OK"): "The recipe is no worse, over several trained models",
    ("recipe", "REGRESSED"): "The recipe is worse, over several trained models",
    ("recipe", "INCONCLUSIVE"): "Too few trained models to speak of the recipe",
    ("B against A", "IMPROVED"): "B is better than A, beyond luck",
    ("B against A", "OK"): "B is no worse than A",
    ("B against A", "REGRESSED"): "B is worse than A, beyond luck",
    ("B against A", "INCONCLUSIVE"): "These questions cannot tell A and B apart",
    ("B against A", "INCOMPARABLE"): "A and B cannot be compared",
}


class Told(NamedTuple):
    """An outcome as a mark, a word or a line, and a css class."""

    mark: str
    word: str
    kind: str


def verdict_told(verdict: Verdict) -> Told:
    """A verdict as one line in plain words; a test's own is told with the test's name."""
    gate, _, test = verdict.gate.partition(" (")
    words = _WORDS.get((verdict.gate, verdict.verdict)) or _WORDS.get((gate, verdict.verdict))
    if verdict.code == "recorded":
        words = "The baseline was recorded"
    words = words or f"{gate}: {verdict.verdict.replace('_', ' ').lower()}"
    mark, kind = {True: ("✓", "good"), False: ("✗", "bad"), None: ("!", "warn")}[verdict.passed]
    return Told(mark, f"{words} ({test}" if test else words, kind)


def verdict_figures(verdict: Verdict) -> str:
    """The numbers of a verdict that a reader wants first; ``""`` where it has none of them."""
    n = verdict.numbers
    shares = {key: percent(found) for key in (*SIDES, "baseline", "now") if (found := number(n.get(key))) is not None}
    told = []
    if set(SIDES) <= shares.keys():
        told.append(f"{shares['before']} → {shares['after']}")
    elif {"baseline", "now"} <= shares.keys():
        told.append(f"{shares['baseline']} → {shares['now']}")
    elif (reached := number(n.get("accuracy"))) is not None:
        ends = (number(n.get("low")), number(n.get("high")))
        told.append(f"{percent(reached)} {within((ends[0], ends[1])) if None not in ends else ''}".strip())  # type: ignore[arg-type]
    # Of other verdicts these count only as many questions as it took.
    flips = [f"{count(found)} {key}" for key in ("gained", "lost") if (found := number(n.get(key))) is not None]
    if verdict.gate == "improvement" and flips:
        told.append(" · ".join(flips))
    least = number(n.get("min_accuracy"))
    if least is not None:
        told.append(f"{percent(least)} asked for")
    first, last = number(n.get("first_reward")), number(n.get("last_reward"))
    if first is not None and last is not None:
        told.append(f"reward {brief(first)} → {brief(last)}")
    return ", ".join(told)


def _of_points(value: float) -> str:
    return f"{_tenth(abs(100 * value))} points"


_STATISTICS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "gain": ("gain in points", points),
    "interval": ("its 95\u00a0% interval", points),
    "min_improvement": ("gain asked for", _of_points),
    "mean": ("difference in points, mean", points),
    "differences": ("of each trained model", points),
    "pairs": ("questions compared", count),
    "asked": ("questions asked", count),
    "questions": ("questions in all", count),
    "samples": ("answers a question", count),
    "certain_after": ("questions until it was clear", count),
    "margin": ("smallest change that matters", _of_points),
    "smallest_seen": ("smallest change that these questions show", _of_points),
    "needed": ("questions that would show what is asked for", count),
    "planned_power": ("chance to see a drop that matters", percent),
    "alpha": ("chance that luck passes for a change (alpha)", percent),
    "beta": ("chance that a change is ruled out (beta)", percent),
    "steps": ("training steps", count),
    "logged_steps": ("steps with a log line", count),
    "zero_std_share": ("groups without signal", percent),
    "preferred_share": ("chosen answers preferred at the end", percent),
}
"""The numbers behind a verdict in words; what its line or its sentence says already is not among them."""


def verdict_statistics(verdict: Verdict) -> list[tuple[str, str]]:
    """The numbers behind a verdict as ``(what it is, how much)``."""
    told, n = [], verdict.numbers
    said_once = {key for key in ("pairs", "asked") if n.get(key) == n.get("questions")}
    for key, (words, shape) in _STATISTICS.items():
        value = None if key in said_once else n.get(key)
        values = [number(each) for each in (value if isinstance(value, list) else [value])]
        if values and None not in values:
            told.append((words, ", ".join(shape(each) for each in values if each is not None)))
    return told


FAILURES = ("training failed", "regressed", "unsound", "incomparable", "too low", "not improved")
"""What fails a run, the worst first."""


def outcome_told(
    verdicts: Sequence[Verdict], *, failed: bool = False, running: bool = False, shortfall: str | None = None
) -> Told:
    """A run in a word: what failed it (``failed`` is its training), else what was left open or fell short
    (:mod:`harness.store.outcome`), else the best that was said of it."""
    said = {_word(verdict) for verdict in verdicts} | ({FAILURES[0]} if failed else set())
    if worst := next((word for word in FAILURES if word in said), None):
        return Told("✗", worst, "bad")
    if running:
        return Told("…", "running", "open")
    if not said:
        return Told(NONE, "not judged", "open")
    if outcome(verdicts, shortfall) is None:
        return Told("!", shortfall if shortfall and outcome(verdicts, None) else "undecided", "warn")
    return Told("✓", "improved" if "improved" in said else "passed", "good")


def _word(verdict: Verdict) -> str:
    return verdict.verdict.replace("_", " ").lower()


def session_told(told: Sequence[Told]) -> list[Told]:
    """All runs of a session, the worst first: ``1 regressed``, ``2 improved``."""
    kinds = ("bad", "open", "warn", "good")
    counts = Counter(sorted(told, key=lambda each: (kinds.index(each.kind), _rank(each.word))))
    if len(told) == 1:
        return [told[0]._replace(word=told[0].word.capitalize())]
    found = [each._replace(word=f"{times} {each.word}") for each, times in counts.items()]
    return found or [Told(NONE, "No runs", "open")]


def worst_first(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts in order of what fails a run most."""
    return sorted(verdicts, key=lambda verdict: _rank(_word(verdict)))


def _rank(word: str) -> int:
    return FAILURES.index(word) if word in FAILURES else len(FAILURES)


def flip_words(flip: Flip, two_sided: bool) -> str:
    """The name of a class of questions."""
    both = "both " if two_sided else ""
    names = {"lost": "lost", "gained": "gained", "unscored": "not scored", "unasked": "not asked"}
    return names.get(flip) or both + flip


class Form(NamedTuple):
    """The form in which a grader looks for an answer: what begins it (``token``), a few words (``missing``) and a
    sentence (``absent``) for a text that has no such beginning, and one for a text that has it and still holds no
    answer (``empty``)."""

    missing: str
    token: str
    absent: str
    empty: str


_BOX = Form(
    "no \\boxed{}",
    "\\boxed",
    "no \\boxed{} in the text, so nothing to grade",
    "no closed \\boxed{} with something in it, so nothing to grade",
)
_TAGS = Form(
    "no <answer>",
    "<answer>",
    "no <answer> in the text, so nothing to grade",
    "no closed <answer> with something in it, so nothing to grade",
)
_OTHER = Form("", "", "", "nothing that the grader could take for an answer")
_FORMS: Mapping[str, Form] = {
    "boxed_exact": _BOX,
    "boxed_numeric": _BOX,
    "math_equivalent": _BOX,
    "answer_in_tags": _TAGS,
}


def form_of(functions: Iterable[str]) -> Form:
    """The form that the first grader among a recipe's reward functions looks for."""
    return next((_FORMS[function] for function in functions if function in _FORMS), _OTHER)


Row = tuple[str, list[str], str]
"""The name of a number, one cell per evaluation, and the change."""


def comparison(run: Run) -> list[Row]:
    """How good the answers are, what became of them, and what they cost."""
    sides = [evaluation for evaluation in (run.before, run.after) if evaluation is not None]
    rows: list[tuple[str, list[float | None], Any, Any]] = [("accuracy", [s.accuracy for s in sides], percent, points)]
    for key, name in (("strict_accuracy", "by the strict grader"), ("flexible_accuracy", "by the flexible grader")):
        rows.append((name, [getattr(s.summary, key, None) for s in sides], percent, points))
    rows.append(("reward, mean", [s.mean_reward for s in sides], plain, signed))
    functions = dict.fromkeys(function for s in sides for function in s.rewards)
    if len(functions) > 1:
        rows += [(function, [s.rewards.get(function) for s in sides], plain, signed) for function in functions]
    rows.append(("questions", [s.questions for s in sides], count, None))
    rows.append(("answers", [s.answers for s in sides], count, None))
    for status in dict.fromkeys([*STATUSES, *(status for s in sides for status in s.counts)]):
        values: list[float | None] = [s.counts.get(status, 0) for s in sides]
        if any(values):
            rows.append((STATUSES.get(status, status), values, count, _more))
    rows.append(("cut off at the token limit", [s.truncated for s in sides], count, _more))
    rows.append(("tokens in the prompts", [s.prompt_tokens for s in sides], count, None))
    rows.append(("tokens in the answers", [s.completion_tokens for s in sides], count, _more))
    return [
        (name, [shape(v) for v in values], _change(values, differ))
        for name, values, shape, differ in rows
        if any(value is not None for value in values)
    ]


def _change(values: Sequence[float | None], differ: Any) -> str:
    if differ is None or len(values) < 2 or values[0] is None or values[1] is None:
        return ""
    return str(differ(values[1] - values[0])) if values[0] != values[1] else "="


def _more(value: float) -> str:
    return _sign(value) + count(abs(value))


# Untrusted text


def _name(code: int) -> str:
    return "surrogate" if 0xD800 <= code <= 0xDFFF else unicodedata.name(chr(code), "control character").lower()


def _marked(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f'<span class="ctl" title="U+{code:04X} {_name(code)}">{symbol_of(match[0])}</span>'


def rules() -> dict[str, Any]:
    """What a page's script needs to show texts as :func:`shown` does."""
    names = {code: _name(code) for low, high in RANGES for code in range(low, high + 1) if not 0xD800 <= code <= 0xDFFF}
    return {
        "ranges": RANGES,
        "symbols": {str(code): symbol for code, symbol in CONTROL_NAMES.items()},
        "names": {str(code): name for code, name in names.items() if name != "control character"},
        "fold": FOLD_AT,
    }


def shown(text: object) -> Markup:
    """The body-text form of :func:`visible`: escaped, each symbol in a span that tells its name. Not for attributes."""
    return str.__new__(Markup, INVISIBLE.sub(_marked, str.__str__(escape(str(text)))))


def fold(text: str, limit: int = FOLD_AT) -> tuple[str, str, int]:
    """``(head, tail, characters left out between them)``; ``(text, "", 0)`` where it is short enough.

    >>> fold("abcdefghij", limit=4)
    ('abc', 'j', 6)
    """
    if len(text) <= limit:
        return text, "", 0
    tail = limit // 3
    return text[: limit - tail], text[-tail:], len(text) - limit


def folded(text: str, limit: int = FOLD_AT) -> Markup:
    """:func:`shown` of at most ``limit`` characters, with a note of how many are left out."""
    head, tail, left_out = fold(text, limit)
    if not left_out:
        return shown(text)
    note = Markup('<span class="fold">… {} characters left out here …</span>').format(count(left_out))
    return shown(head) + note + shown(tail)


def clip(text: str, limit: int = CLIP_AT) -> str:
    """``text`` of at most ``limit`` characters, and how many more there are.

    >>> clip("abcdef", 4)
    'abcd… (2 more characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({plural(len(text) - limit, 'more character')})"


def shorten(text: str, limit: int = 160) -> str:
    """One line of at most ``limit`` characters."""
    line = " ".join(text[: limit * 8].split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1].rstrip() + "…"


def said(answers: Sequence[Record], form: Form) -> Told:
    """A side of a question: its mark (of several answers, how many are right) and the answer given most often, or that
    the ``form`` of one is missing."""
    if not answers:
        return Told(NONE, "not asked", "open")
    extracted = Counter(answer.extracted for answer in answers if answer.extracted).most_common(1)
    words = extracted[0][0] if extracted else ""
    if len(answers) == 1:
        (answer,) = answers
        absent = answer.status == "no_answer" and form.token not in answer.completion
        words = words or (form.missing if absent else STATUSES.get(answer.status, answer.status))
        return Told(MARKS.get(answer.status, "?"), words, KINDS.get(answer.status, "open"))
    right = sum(answer.status == "correct" for answer in answers)
    scored = sum(answer.status != "unscored" for answer in answers)
    return Told(f"{right}/{len(answers)}", words, "open" if not scored else "good" if right / scored > 0.5 else "bad")


def interval_told(evaluation: Evaluation) -> str:
    """``95 % interval [9.6, 16.1]``, or why there is none."""
    if evaluation.interval is None:
        return "the evaluation did not finish" if evaluation.summary is None else "no interval"
    return f"95\u00a0% interval {within(evaluation.interval)}"
