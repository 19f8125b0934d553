r"""pass@k, majority@k and mean@k of K sampled answers a question.

>>> round(pass_at_k(n=4, correct=1, k=2), 3)
0.5
>>> majority_at_k(["7", "7.0", "8"], [True, True, False], k=3)
1.0

Every question gives one value, and a metric is the mean over questions with the project's interval over question
values (``accuracy_interval``: Student's t, or Wilson's where all values are 0 or 1): the questions are the sample,
whatever was drawn from each.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

from harness.gate.statistics import accuracy_interval, anytime_interval
from harness.rewards import parse_number
from harness.store.records import AtK, Record
from harness.store.words import percent

SUBSETS = 200  # groups of k among n that a majority is taken over; all of them where there are no more


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that one of k answers is right, from n of which ``correct`` are: 1 - C(n - c, k) / C(n, k).

    Unbiased for every k <= n (Chen et al. 2021, arXiv:2107.03374, equation 1); raises ``ValueError`` beyond.
    """
    if not 0 < k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass@{k} needs 1 <= k <= n and 0 <= correct <= n, not n = {n}, correct = {correct}")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def majority_at_k(answers: Sequence[str | None], correct: Sequence[bool], k: int) -> float:
    """The chance that the most frequent of k answers is right (self-consistency, Wang et al. 2022, arXiv:2203.11171).

    Answers are one where the graders take them for one number, or else for the same text. ``None`` has no vote. A tie
    is broken by chance: it counts the share of the tied answers that are right. The mean is over all groups of k among
    the n answers, or over :data:`SUBSETS` drawn with one seed where there are more.
    """
    if not 0 < k <= len(answers) == len(correct):
        raise ValueError(f"majority@{k} needs at least {k} answers and as many grades, not {len(answers)}")
    pairs = zip(answers, correct, strict=True)
    votes = [None if answer is None else (_canonical(answer), right) for answer, right in pairs]
    if math.comb(len(votes), k) <= SUBSETS:
        groups = list(itertools.combinations(votes, k))
    else:
        stream = random.Random(0)
        groups = [tuple(stream.sample(votes, k)) for _ in range(SUBSETS)]
    return math.fsum(map(_elected, groups)) / len(groups)


def at_k(records: Iterable[Record], samples: int, *, in_looks: bool = False, order: Sequence[str] = ()) -> AtK | None:
    """``at_k`` of ``summary.json``: ``{"samples", "pass", "majority", "mean"}``; ``None`` for one answer a question.

    Each metric maps k (as text; powers of two and ``samples``) to ``value``, its 95 % ``interval`` and the number of
    ``questions``. Answers that no grader could decide are left out, and a question with fewer than k others too.
    ``in_looks`` says that the number of questions may depend on their outcome; their ``order`` then matters, and is
    that of the records unless given. Records are taken one at a time, and their texts are not held.
    """
    if samples < 2:
        return None
    by_question: dict[str, list[tuple[int, str | None, bool]]] = {question: [] for question in order}
    for record in records:
        if record.status != "unscored":
            marks = by_question.setdefault(record.question_id, [])
            marks.append((record.sample, record.extracted, record.status == "correct"))
    for marks in by_question.values():
        marks.sort(key=lambda mark: mark[0])
    ks = sorted({1 << power for power in range(samples.bit_length()) if 1 << power <= samples} | {samples})
    found: AtK = {"samples": samples, "pass": {}, "majority": {}, "mean": {}}
    for k in ks:
        asked = [each for each in by_question.values() if len(each) >= k]
        right = [[correct for _, _, correct in each] for each in asked]
        answers = [[extracted for _, extracted, _ in each] for each in asked]
        values = {
            "pass": [pass_at_k(len(each), sum(each), k) for each in right],
            "majority": [majority_at_k(*pair, k=k) for pair in zip(answers, right, strict=True)],
            "mean": [sum(each) / len(each) for each in right],
        }
        for name, each_value in values.items():
            found[name][str(k)] = {  # type: ignore[literal-required]
                "value": sum(each_value) / len(each_value) if each_value else None,
                "interval": (anytime_interval if in_looks else accuracy_interval)(each_value),
                "questions": len(each_value),
            }
    return found


def at_k_line(found: AtK | None) -> str | None:
    """``pass@8 71.2 % (95 %: 66.1 to 76.3), majority@8 ..., mean@8 ...`` for a terminal."""
    if not found:
        return None
    k, parts = found["samples"], []
    for name in ("pass", "majority", "mean"):
        entry = found[name][str(k)]
        if entry["value"] is None:
            return None
        low, high = entry["interval"]
        parts.append(f"{name}@{k} {percent(entry['value'])} (95 %: {100 * low:.1f} to {100 * high:.1f})")
    return ", ".join(parts)


def _canonical(answer: str) -> Any:
    number = parse_number(answer)
    return " ".join(answer.split()) if number is None else number


def _elected(votes: Sequence[tuple[Any, bool] | None]) -> float:
    ballots: dict[Any, list[bool]] = {}
    for vote in votes:
        if vote is not None:
            ballots.setdefault(vote[0], []).append(vote[1])
    most = max(map(len, ballots.values()), default=0)
    tied = [sum(each) / len(each) for each in ballots.values() if len(each) == most]
    return sum(tied) / len(tied) if tied else 0.0
