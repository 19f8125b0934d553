"""What a training job learns from: questions to sample answers to in GRPO, examples in SFT, pairs in DPO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.pipeline.evaluate import Evaluation
from harness.recipe.schema import given_file
from harness.store.errors import TaskError, TrainingError
from harness.store.run_files import Sampled
from harness.training.examples import correct_examples, preference_pairs, read_examples

if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.tasks import Question, Questions


@dataclass(frozen=True)
class Dataset:
    """The rows of a job's dataset, and what they cost to make: completions, tokens and seconds of sampling."""

    rows: list[dict[str, Any]]
    sampled: Sampled = field(default_factory=Sampled)


def dataset_of(recipe: Recipe, seed: int, questions: Questions, samples: Callable[[], Evaluation]) -> Dataset:
    """The rows that a run trains on. ``samples`` asks the base policy the training questions, where SFT or DPO learns
    from its own answers.

    Raises:
        TrainingError: there is nothing to learn from; the text has the counts and what to do.
        TaskError: a given file cannot be read, with file, line and key.
    """
    data = recipe.data
    if data is None:
        return Dataset(rows_of(questions.train))
    if (given := given_file(recipe)) is not None:
        return Dataset(read_examples(given, recipe.train.method))
    if data.source == "completions":
        asked = samples()
        make = correct_examples if recipe.train.method == "sft" else preference_pairs
        rows = make(asked.records, data.per_question, seed)
        if not rows:
            raise TrainingError(_nothing(recipe, asked))
        return Dataset(rows, _cost(asked))
    rows = [
        {
            "question_id": each.id,
            "prompt": [dict(turn) for turn in each.prompt],
            "completion": [{"role": "assistant", "content": each.solution}],
        }
        for each in questions.train
        if each.solution
    ]
    if not rows:
        raise TaskError(
            f"task {recipe.task.name!r} has no worked solutions to learn from; name the field that holds them, "
            '[task] fields = { solution = "..." }, or write source = "completions" under [data]'
        )
    return Dataset(rows)


def rows_of(questions: Iterable[Question]) -> list[dict[str, Any]]:
    """Dataset rows of a job: a chat ``prompt``, and what rewards see, the columns of the question's row in one."""
    return [
        {
            "prompt": [dict(turn) for turn in each.prompt],
            "question_id": each.id,
            "question": each.text,
            "ground_truth": each.ground_truth,
            **({"columns": dict(each.columns)} if each.columns else {}),
        }
        for each in questions
    ]


def _cost(samples: Evaluation) -> Sampled:
    summary = samples.summary
    # What all of them took, also where they were found in another run; there it may not be known.
    seconds = ((summary.seconds or 0.0) + summary.reused_seconds) or None
    return Sampled(sum(summary.counts.values()), summary.completion_tokens, seconds)


def _nothing(recipe: Recipe, samples: Evaluation) -> str:
    statuses = Counter(record.status for record in samples.records)
    cut = sum(record.finish_reason == "length" for record in samples.records)
    counts = ", ".join(f"{statuses[status]} {status}" for status in ("correct", "wrong", "no_answer", "unscored"))
    found = f"{len(samples.records)} sampled answers: {counts}; {cut} cut off at max_new_tokens"
    if recipe.train.method == "sft":
        return (
            f"nothing to learn from: no correct and complete one among {found}. Ask easier questions, show worked ones "
            'by [task] few_shot, raise [data] samples_per_question, or write source = "solutions" under [data]'
        )
    return (
        f"nothing to learn from: no question has a correct and complete answer and a wrong one, among {found}. Raise "
        "[data] samples_per_question or temperature, or ask questions that the policy sometimes gets right"
    )
