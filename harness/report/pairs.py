"""Both evaluations laid side by side: which questions were lost, which gained, and each side in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.report.views import FLIPS, Evaluation, Flip, Prompt, Question
from harness.store.records import Record, Summary

if TYPE_CHECKING:
    from harness.store.question import Question as Asked

Answers = Mapping[str, Sequence[Record]]
"""The answers of one evaluation by question id."""


def share_correct(answers: Sequence[Record]) -> float | None:
    """Share of correct among the scored answers; ``None`` where none was scored."""
    scored = [answer.status == "correct" for answer in answers if answer.status != "unscored"]
    return sum(scored) / len(scored) if scored else None


def is_right(answers: Sequence[Record]) -> bool | None:
    """Whether more than half of the scored answers are correct; ``None`` where none was scored."""
    share = share_correct(answers)
    return None if share is None else share > 0.5


def flip_of(before: Sequence[Record], after: Sequence[Record], two_sided: bool) -> Flip:
    """The class of one question. With one evaluation only, it is that one's word."""
    if (not before and not after) or (two_sided and not (before and after)):
        return "unasked"
    first, last = is_right(before or after), is_right(after or before)
    if first is None or last is None:
        return "unscored"
    if first == last:
        return "right" if first else "wrong"
    return "gained" if last else "lost"


def pair(listed: Iterable[Asked], before: Answers, after: Answers) -> tuple[Question, ...]:
    """Every question with its answers, flips first, then in the fixed order of ``questions.jsonl``.

    A question that was answered but is not listed (the list is missing) comes after the listed ones.
    """
    questions = {each.id: (each.text or _last_user(each.prompt), each.ground_truth, each.prompt) for each in listed}
    for question, (first, *_) in (*before.items(), *after.items()):
        questions.setdefault(question, (_last_user(first.prompt), first.ground_truth, first.prompt))
    two_sided = bool(before and after)
    paired = []
    for place, (identity, (text, truth, prompt)) in enumerate(questions.items(), 1):
        was, is_now = tuple(before.get(identity, ())), tuple(after.get(identity, ()))
        flip = flip_of(was, is_now, two_sided)
        paired.append(Question(place, identity, text, truth, prompt, was, is_now, flip))
    return tuple(sorted(paired, key=lambda question: (FLIPS.index(question.flip), question.number)))


def _last_user(prompt: Prompt) -> str:
    return next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")


def share_common(prompts: Sequence[Prompt]) -> Prompt:
    """The turns with which all prompts begin."""
    shortest = min(prompts, key=len)
    same = 0
    while same < len(shortest) and all(prompt[same] == shortest[same] for prompt in prompts):
        same += 1
    return shortest[:same]


def evaluation(name: str, answers: Answers, summary: Summary | None) -> Evaluation | None:
    """One evaluation in numbers: accuracy and interval from its summary, the counts from its records, or from the
    summary where no record is left. ``None`` where there is neither."""
    every = [answer for samples in answers.values() for answer in samples]
    if not every and summary is None:
        return None
    shares = [share for share in map(share_correct, answers.values()) if share is not None]
    functions = dict.fromkeys(function for answer in every for function in answer.rewards)
    counted: dict[str, Any] = {
        "answers": len(every),
        "questions": len(answers),
        "counts": Counter(answer.status for answer in every),
        "truncated": sum(answer.finish_reason == "length" for answer in every),
        "prompt_tokens": sum(answer.prompt_tokens for answer in every),
        "completion_tokens": sum(answer.completion_tokens for answer in every),
    }
    if not every and summary is not None:
        counted = {key: getattr(summary, key) for key in counted if key != "answers"}
        counted["answers"] = sum(summary.counts.values())
    return Evaluation(
        name=name,
        accuracy=summary.accuracy if summary else sum(shares) / len(shares) if shares else None,
        interval=summary.interval if summary else None,
        rewards={function: _mean(a.rewards.get(function) for a in every) for function in functions},
        mean_reward=_mean(answer.reward for answer in every),
        summary=summary,
        **counted,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
