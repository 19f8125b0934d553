"""Grade answers as they are graded in training, and sum an evaluation up."""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.gate.statistics import accuracy_interval, anytime_interval
from harness.rewards import RewardCalls, Rewards, behind_thought, functions_of, score_all
from harness.rewards.at_k import at_k
from harness.rewards.runner import UNDECIDED
from harness.rewards.score import FLEXIBLE, STRICT, Scored, strict_and_flexible
from harness.store.errors import TaskError, TrainingError
from harness.store.records import Doubt, Generation, Grade, Record, Summary
from harness.tasks import Question

GRADED_AT_ONCE = 64  # kept answers are graded in batches, since a time limit holds for a batch


def grade(
    generations: Sequence[Generation],
    questions: Mapping[str, Question],
    rewards: Mapping[str, float],
    calls: RewardCalls | None = None,
) -> list[Record]:
    """Grade answers with the recipe's reward functions and with the strict and the flexible grader.

    ``calls`` are those functions, where they are called batch after batch: it counts their faults. They never see an
    answer that could not be had.
    """
    for generation in generations:
        if generation.question_id not in questions:
            name = repr(generation.question_id)
            raise TaskError(f"an answer belongs to question {name}, which is not among the questions")
    answers = [each for each in generations if each.error is None]
    asked = [questions[each.question_id] for each in answers]
    scored = iter(
        score_all(
            [[dict(message) for message in question.prompt] for question in asked],
            [[{"role": "assistant", "content": each.completion}] for each in answers],  # as TRL gives them
            {**columns(asked), "completion_tokens": [each.completion_tokens for each in answers]},
            rewards,
            calls,
        )
        if answers
        else ()
    )
    graders = strict_and_flexible(functions_of(rewards))
    none = Scored(dict.fromkeys(rewards), None, dict.fromkeys(graders, UNDECIDED), None, "unscored")
    return [
        _record(each, questions[each.question_id], next(scored) if each.error is None else none) for each in generations
    ]


def _record(generation: Generation, question: Question, scored: Scored) -> Record:
    return Record(
        **{name: getattr(generation, name) for name in Generation.__dataclass_fields__},
        ground_truth=question.ground_truth,
        extracted=scored.extracted,
        status=scored.status,
        reward=scored.reward,
        rewards=dict(scored.rewards),
        grades={name: Grade(each.extracted, each.correct) for name, each in scored.grades.items()},
    )


def grade_kept(
    answers: Iterable[Generation], questions: Mapping[str, Question], calls: RewardCalls
) -> Iterator[Record]:
    """Kept answers with the grades that a recipe's reward functions give them now, in batches as they are taken."""
    left = iter(answers)
    while batch := list(itertools.islice(left, GRADED_AT_ONCE)):
        yield from grade(batch, questions, calls.rewards, calls)


def try_rewards(rewards: Rewards, question: Question) -> None:
    """Call every reward function, as evaluation will, before anything is spent on training.

    Raises:
        TrainingError: one is missing, or fails from its first call on.
    """
    calls = RewardCalls(rewards)
    tried = [Generation(question.id, sample, 0, question.prompt, "", "stop", 0, 0) for sample in range(2)]
    grade(tried, {question.id: question}, rewards, calls)
    for name in calls.faults.reasons:
        if calls.faults.share(name) >= 1:
            (reason, *_) = calls.faults.reasons[name]
            raise TrainingError(f'reward function "{name}" {reason}')


def columns(questions: Sequence[Question]) -> dict[str, list[Any]]:
    """The dataset columns that every reward function sees, in training as in evaluation; one value a completion."""
    return by_column([question.columns for question in questions]) | {
        "question_id": [question.id for question in questions],
        "question": [question.text for question in questions],
        "ground_truth": [question.ground_truth for question in questions],
    }


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The columns of rows, of which each has a value for each."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def summarise(
    records: Iterable[Record], order: Sequence[str], samples_per_question: int, *, in_looks: bool = False
) -> Summary:
    """The numbers of an evaluation; see ``Summary``.

    Records are taken one at a time, in any order, and what is kept of each does not hold its texts. ``order`` is that
    of the questions. ``in_looks`` says that their number may depend on their outcome: the interval is then
    anytime-valid.
    """
    tally = _Tally()
    passing = tally.seen(records)
    found = at_k(passing, samples_per_question, in_looks=in_looks, order=order)
    for _ in passing:  # for one answer a question at_k takes none
        pass
    means = [each for question in order if (each := tally.mean(question)) is not None]
    return Summary(
        questions=len(order),
        samples_per_question=samples_per_question,
        accuracy=_mean(means) or 0.0,
        interval=(anytime_interval if in_looks else accuracy_interval)(means),
        interval_kind="anytime" if in_looks else "fixed",
        strict_accuracy=_mean(tally.strict),
        flexible_accuracy=_mean(tally.flexible),
        counts={status: tally.statuses[status] for status in ("correct", "wrong", "no_answer", "unscored")},
        truncated=tally.truncated,
        mean_reward=_mean(tally.total),
        rewards={name: _mean(values) for name, values in tally.rewards.items()},
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        at_k=found,
        unanswered=tally.unanswered(),
        unfinished=tally.unfinished(),
    )


class _Tally:
    """What is counted of records that pass by: a few bytes of each."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.truncated = self.prompt_tokens = self.completion_tokens = 0
        self._unfinished = 0
        self.total = array("d")
        self.rewards: dict[str, array[float]] = {}
        self.strict, self.flexible = array("d"), array("d")
        self._scored: dict[str, tuple[int, int]] = {}  # right and all, by question
        self._reasons: Counter[str] = Counter()  # why an engine could not have an answer

    def seen(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self._add(record)
            yield record

    def mean(self, question: str) -> float | None:
        """The share correct of a question; ``None`` where no answer to it was scored."""
        right, asked = self._scored.get(question, (0, 0))
        return right / asked if asked else None

    def unanswered(self) -> Doubt | None:
        """Answers that an engine could not have; ``None`` where it had them all."""
        if not self._reasons:
            return None
        reasons, of = self._reasons, self.statuses.total()
        missing = reasons.total()
        told = ", ".join(f"{reason} ({answers})" for reason, answers in reasons.most_common(3))
        rest = f", and {len(reasons) - 3} other reasons" if len(reasons) > 3 else ""
        which = f"{missing} of {of} answers could not be had: {told}{rest}"
        sentence = f"{which}; they are unscored, and the next run asks for them again"
        return Doubt(missing, of, sentence, dict(reasons.most_common(20)))

    def unfinished(self) -> Doubt | None:
        """Answers that were cut off before anything stood there to grade; ``None`` where there are none."""
        if not self._unfinished:
            return None
        of = self.statuses.total()
        sentence = (
            f"{self._unfinished} of {of} answers were cut off in the middle of a thought, or without any text, and "
            "count as no answer: raise [evaluate] max_new_tokens, or ask without thoughts where the chat template can "
            "([model] chat_template_kwargs)"
        )
        return Doubt(self._unfinished, of, sentence)

    def _add(self, record: Record) -> None:
        self.statuses[record.status] += 1
        self.truncated += record.finish_reason == "length"
        self._unfinished += record.finish_reason == "length" and not behind_thought(record.completion).strip()
        self.prompt_tokens += record.prompt_tokens
        self.completion_tokens += record.completion_tokens
        if record.error is not None:
            self._reasons[record.error] += 1
        if record.status != "unscored":
            right, asked = self._scored.get(record.question_id, (0, 0))
            self._scored[record.question_id] = right + (record.status == "correct"), asked + 1
        if record.reward is not None:
            self.total.append(record.reward)
        for name, value in record.rewards.items():
            values = self.rewards.setdefault(name, array("d"))
            if value is not None:
                values.append(value)
        for name, grade in record.grades.items():
            if grade.correct is not None and name in (*STRICT, *FLEXIBLE):
                (self.strict if name in STRICT else self.flexible).append(grade.correct)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None  # the same in any order
