r"""Judges completions for the record: every reward, the weighted total, and what the graders found.

>>> scored, = score_all(
...     prompts=["6 * 7?"],
...     completions=[r"It is \boxed{42.0}."],
...     columns={"ground_truth": ["42"]},
...     rewards={"boxed_numeric": 1.0, "format_boxed": 0.1},
... )
>>> scored.status, scored.extracted, scored.reward, scored.grades["boxed_exact"].correct
('correct', '42.0', 1.1, False)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.rewards.functions import answer_in_tags, boxed_exact, boxed_numeric, tags_exact
from harness.rewards.grader import Grade, Grader, RewardFunction, completion_text, form_of, ground_truths
from harness.rewards.registry import Rewards, functions_of, reward_version
from harness.rewards.runner import UNDECIDED, RewardCalls
from harness.store.errors import RewardError

if TYPE_CHECKING:
    from harness.store.records import Status

_BOX: Mapping[str, Grader] = {"boxed_exact": boxed_exact.grade, "boxed_numeric": boxed_numeric.grade}
_TAGS: Mapping[str, Grader] = {"tags_exact": tags_exact.grade, "answer_in_tags": answer_in_tags.grade}

STRICT, FLEXIBLE = ("boxed_exact", "tags_exact"), ("boxed_numeric", "answer_in_tags")
"""The names under which records keep the strict and the flexible grade: by form."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion, judged; the fields are those of :class:`harness.store.records.Record`.

    ``rewards``: each function's value before weighting, by the name in the recipe. ``reward``: their weighted sum, over
    those that are not ``None``; ``None`` where all are. ``grades``: the strict and the flexible grade. ``extracted``
    and ``status``: from the primary grader.
    """

    rewards: Mapping[str, float | None]
    reward: float | None
    grades: Mapping[str, Grade]
    extracted: str | None
    status: Status


def score_all(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    rewards: Mapping[str, float],
    calls: RewardCalls | None = None,
) -> list[Scored]:
    """Scores completions with a recipe's ``rewards`` (name to weight), one result per completion and in their order.

    ``columns`` are the dataset's further columns, one value per completion; ``ground_truth`` must be among them.
    Where a function fails, its value is ``None`` and ``calls.faults`` counts it; without ``calls``, a warning says it.
    Raises ``RewardError`` where a function is not found or the columns do not fit.
    """
    for column, values in {"prompts": prompts, **columns}.items():
        if len(values) != len(completions):
            raise RewardError(f"column {column} has {len(values)} values for {len(completions)} completions")
    told = calls is not None
    calls = calls or RewardCalls(rewards)
    values_by_name = calls(prompts, completions, columns)
    primary_name, primary = primary_grader(calls.functions)
    truths = ground_truths(primary_name, completions, columns)
    graders = strict_and_flexible(calls.functions)
    results = []
    for row, (completion, truth) in enumerate(zip(completions, truths, strict=True)):
        text = completion_text(completion)
        grades = {name: _grade(grader, text, truth) for name, grader in graders.items()}
        grade = grades.get(primary_name)
        if grade is None:
            grade = UNDECIDED if truth is None else calls.grade(primary_name, primary, text, truth, row, columns)
        parts = {name: values[row] for name, values in values_by_name.items()}
        results.append(
            Scored(
                rewards=parts,
                reward=weighted_total(parts, rewards),
                grades=grades,
                extracted=grade.extracted,
                status=grade.status,
            )
        )
    if not told:
        for sentence in calls.faults.sentences():
            warnings.warn(sentence, RuntimeWarning, stacklevel=2)
    return results


def primary_grader(functions: Mapping[str, RewardFunction]) -> tuple[str, Grader]:
    """Name and grader of the first function that carries ``.grade``, ``boxed_numeric``'s where none does."""
    for name, function in functions.items():
        grader = getattr(function, "grade", None)
        if callable(grader):
            return name, grader
    return "boxed_numeric", boxed_numeric.grade


def strict_and_flexible(functions: Mapping[str, RewardFunction]) -> Mapping[str, Grader]:
    """The two graders that judge every completion, whatever the recipe trains on: those of the form that its reward
    functions read, strict first. None where a grader of the user's says no form, or one that has no such pair; boxes'
    where none grades."""
    form = form_of(functions) or ("box" if primary_grader(functions)[0] not in functions else None)
    return {"box": _BOX, "tags": _TAGS, "thought": _TAGS}.get(str(form), {})


def grader_versions(rewards: Iterable[str]) -> dict[str, str]:
    """:func:`reward_version` by name, of a recipe's reward functions and of all that grades its answers beside them."""
    functions, folder = functions_of(rewards), rewards.folder if isinstance(rewards, Rewards) else None
    names = (*functions, primary_grader(functions)[0], *strict_and_flexible(functions))
    return {name: reward_version(name, folder) for name in names}


def weighted_total(values: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """Sum of value times weight without the ``None`` parts, as TRL sums them; ``None`` where every part is."""
    parts = [value * weights[name] for name, value in values.items() if value is not None]
    return math.fsum(parts) if parts else None


def _grade(grader: Grader, text: str, ground_truth: str | None) -> Grade:
    return UNDECIDED if ground_truth is None else grader(text, ground_truth)
