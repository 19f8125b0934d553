"""Grade answers as they are graded in training, and sum an evaluation up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import TaskError
from harness.gate.confidence import anytime_interval
from harness.gate.intervals import accuracy_interval
from harness.metrics import at_k
from harness.records import Generation, Record, Summary, question_means
from harness.rewards import RewardCalls, score_all
from harness.tasks import Question

# Kept answers are graded in batches, since a time limit holds for a batch.
_GRADED_AT_ONCE = 64


def grade(
    generations: Sequence[Generation],
    questions: Mapping[str, Question],
    rewards: Mapping[str, float],
    calls: RewardCalls | None = None,
) -> list[Record]:
    """Grade answers with the recipe's reward functions and with the strict and the flexible grader.

    ``calls`` are those functions, where they are called batch after batch: it counts their faults.
    """
    try:
        asked = [questions[generation.question_id] for generation in generations]
    except KeyError as error:
        raise TaskError(f"an answer belongs to question {error}, which is not among the questions") from None
    scores = score_all(
        [[dict(message) for message in question.prompt] for question in asked],
        [[{"role": "assistant", "content": generation.completion}] for generation in generations],  # as TRL gives them
        {**columns(asked), "completion_tokens": [generation.completion_tokens for generation in generations]},
        rewards,
        calls,
    )
    return [
        Record(
            **{name: getattr(generation, name) for name in Generation.__dataclass_fields__},
            ground_truth=question.ground_truth,
            extracted=score.extracted,
            status=score.status,
            reward=score.reward,
            rewards=score.rewards,
            grades={
                name: {"extracted": each.extracted, "correct": each.correct} for name, each in score.grades.items()
            },
        )
        for generation, question, score in zip(generations, asked, scores, strict=True)
    ]


def grade_kept(records: Sequence[Record], questions: Mapping[str, Question], calls: RewardCalls) -> list[Record]:
    """Kept answers with the grades that a recipe's reward functions give them now."""
    starts = range(0, len(records), _GRADED_AT_ONCE)
    batches = (records[start : start + _GRADED_AT_ONCE] for start in starts)
    return [record for batch in batches for record in grade(batch, questions, calls.rewards, calls)]


def columns(questions: Sequence[Question]) -> dict[str, list[Any]]:
    """The dataset columns that every reward function sees, in training as in evaluation; one value a completion."""
    return {
        "question_id": [question.id for question in questions],
        "question": [question.text for question in questions],
        "ground_truth": [question.ground_truth for question in questions],
    }


def summarise(
    records: Sequence[Record], order: Sequence[str], samples_per_question: int, *, in_looks: bool = False
) -> Summary:
    """The numbers of an evaluation; see :class:`~harness.records.Summary`.

    ``in_looks`` says that the number of questions may depend on their outcome: the interval is then anytime-valid.
    """
    means = question_means(records)
    statuses = [record.status for record in records]
    names = list(records[0].rewards) if records else []
    return Summary(
        questions=len(order),
        samples_per_question=samples_per_question,
        accuracy=_mean(list(means.values())) or 0.0,
        interval=(anytime_interval if in_looks else accuracy_interval)(list(means.values())),
        interval_kind="anytime" if in_looks else "fixed",
        strict_accuracy=_grader_accuracy(records, "boxed_exact"),
        flexible_accuracy=_grader_accuracy(records, "boxed_numeric"),
        counts={status: statuses.count(status) for status in ("correct", "wrong", "no_answer", "unscored")},
        truncated=sum(record.finish_reason == "length" for record in records),
        mean_reward=_mean([record.reward for record in records]),
        rewards={name: _mean([record.rewards[name] for record in records]) for name in names},
        prompt_tokens=sum(record.prompt_tokens for record in records),
        completion_tokens=sum(record.completion_tokens for record in records),
        at_k=at_k(records, samples_per_question, in_looks=in_looks),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _grader_accuracy(records: Sequence[Record], grader: str) -> float:
    decided = [record.grades[grader]["correct"] for record in records]
    return _mean([None if correct is None else float(correct) for correct in decided]) or 0.0
