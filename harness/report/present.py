"""Numbers and outcomes as a reader meets them: units, marks and words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from harness.report.pairs import share_correct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Evaluation, Flip, Run
    from harness.store.records import Grade, Record

NONE = "\N{EN DASH}"
MARKS: Mapping[str, str] = {"correct": "✓", "wrong": "✗", "no_answer": "∅", "unscored": "?"}
KINDS: Mapping[str, str] = {"correct": "good", "wrong": "bad", "no_answer": "bad"}
STATUS_WORDS: Mapping[str, str] = {"no_answer": "no answer", "unscored": "not scored"}
FINISH_WORDS: Mapping[str, str] = {
    "stop": "ended by itself",
    "length": "cut off at the token limit",
    "error": "could not be had",
}
GRADER_WORDS: Mapping[str, str] = {
    "boxed_exact": "strict grader",
    "boxed_numeric": "flexible grader",
    "tags_exact": "strict grader",
    "answer_in_tags": "flexible grader",
}
GRADED: Mapping[bool | None, tuple[str, str]] = {
    True: ("good", "✓ correct"),
    False: ("bad", "✗ wrong"),
    None: ("open", "? not scored"),
}
NO_ANSWER = ("bad", "∅ no answer")
CLIP_AT = 400
"""Characters of an extracted answer that a report holds: one that is longer is not an answer."""
STATUSES = ("correct", "wrong", "no_answer", "unscored")


def number(value: Any) -> float | None:
    """A finite number of sane size; ``None`` for everything else, booleans included."""
    given = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if given else None


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent: ``0.125`` is ``12.5 %``."""
    return NONE if value is None else f"{100 * value:.{digits}f}\u00a0%"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, signed."""
    return NONE if value is None else f"{100 * value:+.1f}\u00a0pp".replace("-", "\u2212")


def count(value: float | None) -> str:
    """A whole number with thin thousands."""
    return NONE if value is None else f"{round(value):,}".replace(",", "\u202f")


def plural(number: int, noun: str) -> str:
    """``1 turn``, ``2 turns``."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def clip(text: str, limit: int = CLIP_AT) -> str:
    """``text`` of at most ``limit`` characters, and how many more there are.

    >>> clip("abcdef", 4)
    'abcd… (2 more characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({plural(len(text) - limit, 'more character')})"


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
        return ", ".join(plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items())
    return str(value)


def leaves(tree: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    """A nested mapping as ``(dotted name, plain value)`` rows."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{path}.{key}" if path else str(key)
        rows += leaves(value, name) if isinstance(value, dict) and value else [(name, plain(value))]
    return rows


def brief(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}".replace("-", "\u2212")


def signed(value: float | None) -> str:
    """A number with its sign and two digits behind the point: ``+2.47``, ``\u22120.35``."""
    return NONE if value is None else f"{value:+.2f}".replace("-", "\u2212")


def typed(command: str) -> str:
    """A command as one would type it: ``python -m pytest`` where it began with the file that ``-m`` ran.

    >>> typed("__main__.py suites/ -q"), typed("pytest suites/")
    ('python -m pytest suites/ -q', 'pytest suites/')
    """
    first, _, rest = command.partition(" ")
    return f"python -m pytest {rest}".rstrip() if first.rsplit("/", 1)[-1] == "__main__.py" else command


def moment(value: str) -> str:
    """An ISO time to the minute: ``2001-02-03 04:05 UTC``; anything else as it is."""
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return value
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def seconds(value: float | None) -> str:
    """A duration: ``0.5 s``, ``21 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.1f}\u00a0s"
    whole = round(value)
    if whole < 60:
        return f"{whole}\u00a0s"
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60}\u00a0min"


def size(value: float | None) -> str:
    """Bytes in binary units."""
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f}\u00a0{unit}"
        value /= 1024
    return f"{value:.1f}\u00a0GiB"


def interval(evaluation: Evaluation) -> str:
    """``95 % interval 9.6 to 16.1 %``, or why there is none."""
    if evaluation.interval is None:
        return "no interval: the evaluation did not finish" if evaluation.summary is None else "no interval"
    low, high = evaluation.interval
    return f"95\u00a0% interval {100 * low:.1f} to {percent(high)}"


def graded(grade: Grade) -> tuple[str, str]:
    """``(css class, words)`` of what a grader said. Wrong is an answer; none is none."""
    return NO_ANSWER if grade.correct is False and grade.extracted is None else GRADED[grade.correct]


def outcome_words(run: Run) -> tuple[str, str, str]:
    """``(mark, word, css class)`` of a run."""
    if run.training is not None and run.training.error:
        return "✗", "training failed", "bad"
    if not run.verdicts:
        return NONE, "not judged", "open"
    return {True: ("✓", "passed", "good"), False: ("✗", "failed", "bad"), None: ("!", "undecided", "warn")}[run.outcome]


def headline(runs: Sequence[Run]) -> tuple[str, str, str]:
    """``(mark, sentence, css class)`` of the whole session."""
    if not runs:
        return NONE, "No runs", "open"
    words = [outcome_words(run) for run in runs]
    worst = next((word for kind in ("bad", "warn", "open", "good") for word in words if word[2] == kind), words[0])
    if len(runs) > 1:
        words.sort(key=lambda word: ("bad", "warn", "open", "good").index(word[2]))
        counts = [(sum(w[1] == word for w in words), word) for word in dict.fromkeys(w[1] for w in words)]
        return worst[0], f"{len(runs)} runs: " + ", ".join(f"{n} {word}" for n, word in counts), worst[2]
    verdicts = runs[0].judged
    if runs[0].versus is not None and verdicts:
        return worst[0], f"{verdicts[0].gate}: {verdicts[0].verdict.replace('_', ' ')}", worst[2]
    if not verdicts or worst[1] == "training failed":
        return worst[0], worst[1].capitalize(), worst[2]
    passed = sum(verdict.passed is True for verdict in verdicts)
    failed = sum(verdict.passed is False for verdict in verdicts)
    if failed:
        return worst[0], f"{failed} of {len(verdicts)} verdicts failed", worst[2]
    if passed == len(verdicts):
        return worst[0], "Passed" if passed == 1 else f"All {passed} verdicts passed", worst[2]
    undecided = f"{len(verdicts) - passed} undecided"
    return worst[0], f"{passed} passed, {undecided}" if passed else f"Nothing decided: {undecided}", worst[2]


def flip_words(flip: Flip, two_sided: bool) -> str:
    """The name of a class of questions."""
    both = "both " if two_sided else ""
    names = {"lost": "lost", "gained": "gained", "unscored": "not scored", "unasked": "not asked"}
    return names.get(flip) or both + flip


@dataclass(frozen=True, slots=True)
class Side:
    """One question on one side in a few characters; ``words`` says the mark to a screen reader, ``extracted`` is the
    answer given most often."""

    mark: str
    kind: str
    words: str
    extracted: str
    cut: bool


def side(answers: Sequence[Record]) -> Side:
    """The side's mark, or how many of several answers are right."""
    cut = any(answer.finish_reason == "length" for answer in answers)
    if not answers:
        return Side(NONE, "open", "not asked", "", cut)
    if len(answers) == 1:
        status = answers[0].status
        words = STATUS_WORDS.get(status, status)
        return Side(MARKS.get(status, "?"), KINDS.get(status, "open"), words, answers[0].extracted or "", cut)
    right = sum(answer.status == "correct" for answer in answers)
    share = share_correct(answers)
    kind = "open" if share is None else "good" if share > 0.5 else "bad"
    said = Counter(answer.extracted for answer in answers if answer.extracted).most_common(1)
    words = f"{right} of {len(answers)} correct"
    return Side(f"{right}/{len(answers)}", kind, words, said[0][0] or "" if said else "", cut)


Cost = tuple[str, str]
"""What it is, and how much."""


def cost(evaluation: Evaluation) -> list[Cost]:
    """What an evaluation cost: tokens, time and memory, those that are known."""
    time, memory = (getattr(evaluation.summary, key, None) for key in ("seconds", "peak_memory_bytes"))
    rows = [("completion tokens", count(evaluation.completion_tokens) if evaluation.answers else NONE)]
    rows += [("time, without loading", seconds(time))] if time is not None else []
    rows += [("peak memory", size(memory))] if memory else []
    return rows


Row = tuple[str, list[str], str]
"""The name of a number, one cell per evaluation, and the change."""


def comparison(run: Run) -> tuple[list[Row], list[Row]]:
    """The two tables of numbers: how good the answers are, and what became of them and what they cost."""
    sides = [evaluation for evaluation in (run.before, run.after) if evaluation is not None]
    good: list[tuple[str, list[float | None], Any, Any]] = [("accuracy", [s.accuracy for s in sides], percent, points)]
    for key, name in (("strict_accuracy", "by the strict grader"), ("flexible_accuracy", "by the flexible grader")):
        good.append((name, [getattr(s.summary, key, None) for s in sides], percent, points))
    good.append(("reward, mean", [s.mean_reward for s in sides], plain, _signed))
    functions = dict.fromkeys(function for s in sides for function in s.rewards)
    good += [(function, [s.rewards.get(function) for s in sides], plain, _signed) for function in functions]
    good += [("time, without loading", [getattr(s.summary, "seconds", None) for s in sides], seconds, None)]
    good += [("peak memory", [getattr(s.summary, "peak_memory_bytes", None) for s in sides], size, None)]
    counts: list[tuple[str, list[float | None], Any, Any]] = [
        ("questions", [s.questions for s in sides], count, None),
        ("completions", [s.answers for s in sides], count, None),
    ]
    for status in dict.fromkeys([*STATUSES, *(status for s in sides for status in s.counts)]):
        values: list[float | None] = [s.counts.get(status, 0) for s in sides]
        if any(values) or status in ("correct", "wrong", "no_answer"):
            counts.append((STATUS_WORDS.get(status, status), values, count, _more))
    counts.append(("truncated", [s.truncated for s in sides], count, _more))
    counts.append(("prompt tokens", [s.prompt_tokens for s in sides], count, None))
    counts.append(("completion tokens", [s.completion_tokens for s in sides], count, _more))
    return _rows(good), _rows(counts)


def _rows(rows: Sequence[tuple[str, list[float | None], Any, Any]]) -> list[Row]:
    return [
        (name, [shape(v) for v in values], _change(values, differ))
        for name, values, shape, differ in rows
        if any(value is not None for value in values)
    ]


def _change(values: Sequence[float | None], differ: Any) -> str:
    if differ is None or len(values) < 2 or values[0] is None or values[1] is None:
        return ""
    return str(differ(values[1] - values[0])) if values[0] != values[1] else "="


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\u2212")


def _more(value: float) -> str:
    return f"{round(value):+,}".replace(",", "\u202f").replace("-", "\u2212")
