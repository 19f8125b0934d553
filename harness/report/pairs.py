"""Both evaluations laid side by side: which questions were lost, which gained, and each side in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.report.loose import number, string
from harness.report.once import Once
from harness.report.views import FLIPS, Answer, Evaluation, Flip, Question, Turn, turns

Answers = Mapping[str, Sequence[Answer]]
"""The answers of one evaluation by question id."""


def share_correct(answers: Sequence[Answer]) -> float | None:
    """Share of correct among the scored answers; ``None`` where none was scored."""
    scored = [answer.status == "correct" for answer in answers if answer.status != "unscored"]
    return sum(scored) / len(scored) if scored else None


def is_right(answers: Sequence[Answer]) -> bool | None:
    """Whether more than half of the scored answers are correct; ``None`` where none was scored."""
    share = share_correct(answers)
    return None if share is None else share > 0.5


def flip_of(before: Sequence[Answer], after: Sequence[Answer], two_sided: bool) -> Flip:
    """The class of one question. With one evaluation only, it is that one's word."""
    if (not before and not after) or (two_sided and not (before and after)):
        return "unasked"
    first, last = is_right(before or after), is_right(after or before)
    if first is None or last is None:
        return "unscored"
    if first == last:
        return "right" if first else "wrong"
    return "gained" if last else "lost"


def pair(
    rows: Iterable[Mapping[str, Any]], before: Answers, after: Answers, once: Once | None = None
) -> tuple[Question, ...]:
    """Every question with its answers, flips first, then in the fixed order of ``questions.jsonl``.

    A question that was answered but is not listed (the list is missing or torn) comes after the listed ones. ``once``
    holds what the answers share with the questions.
    """
    once = once or Once()
    listed: dict[str, tuple[str, str, tuple[Turn, ...]]] = {}
    for row in rows:
        truth = row.get("ground_truth")
        prompt = once.prompt(turns(row.get("prompt")))
        asked = _last_user(prompt)
        text = str(row.get("text") or asked)
        listed[once(str(row.get("id", "")))] = (asked if text == asked else text, once(string(truth)), prompt)
    for question, answers in (*before.items(), *after.items()):
        if question not in listed:
            prompt = answers[0].prompt
            listed[question] = (_last_user(prompt), answers[0].ground_truth, prompt)
    two_sided = bool(before and after)
    questions = []
    for place, (identity, (text, truth, prompt)) in enumerate(listed.items(), 1):
        first, last = tuple(before.get(identity, ())), tuple(after.get(identity, ()))
        flip = flip_of(first, last, two_sided)
        questions.append(Question(place, identity, text, truth, prompt, first, last, flip))
    return tuple(sorted(questions, key=lambda question: (FLIPS.index(question.flip), question.number)))


def _last_user(prompt: Sequence[Turn]) -> str:
    return next((turn.content for turn in reversed(prompt) if turn.role == "user"), "")


def share_common(prompts: Sequence[tuple[Turn, ...]]) -> tuple[Turn, ...]:
    """The turns with which all prompts begin."""
    shortest = min(prompts, key=len)
    same = 0
    while same < len(shortest) and all(prompt[same] == shortest[same] for prompt in prompts):
        same += 1
    return shortest[:same]


def evaluation(name: str, answers: Answers, summary: Mapping[str, Any]) -> Evaluation | None:
    """One evaluation in numbers: accuracy and interval from its summary, the counts from its records, or from the
    summary where no record is left. ``None`` where there is neither."""
    every = [answer for samples in answers.values() for answer in samples]
    if not every and not summary:
        return None
    shares = [share for share in map(share_correct, answers.values()) if share is not None]
    accuracy = number(summary.get("accuracy"))
    if accuracy is None and shares:
        accuracy = sum(shares) / len(shares)
    return Evaluation(
        name=name,
        answers=len(every) or sum(_counts(summary).values()),
        questions=len(answers) or int(number(summary.get("questions")) or 0),
        accuracy=accuracy,
        interval=_interval(summary.get("interval")),
        counts=Counter(answer.status for answer in every) if every else _counts(summary),
        truncated=sum(answer.finish_reason == "length" for answer in every)
        or int(number(summary.get("truncated")) or 0),
        prompt_tokens=sum(a.prompt_tokens or 0 for a in every) or int(number(summary.get("prompt_tokens")) or 0),
        completion_tokens=sum(a.completion_tokens or 0 for a in every)
        or int(number(summary.get("completion_tokens")) or 0),
        rewards={function: _mean(a.rewards.get(function) for a in every) for function in _functions(every)},
        mean_reward=_mean(answer.reward for answer in every),
        summary=summary,
    )


def _functions(answers: Sequence[Answer]) -> list[str]:
    return list(dict.fromkeys(function for answer in answers for function in answer.rewards))


def _mean(values: Any) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _counts(summary: Mapping[str, Any]) -> dict[str, int]:
    counts = summary.get("counts")
    return {str(k): int(v) for k, v in counts.items() if isinstance(v, int)} if isinstance(counts, dict) else {}


def _interval(value: Any) -> tuple[float, float] | None:
    if isinstance(value, list) and len(value) == 2:
        low, high = number(value[0]), number(value[1])
        if low is not None and high is not None:
            return low, high
    return None
