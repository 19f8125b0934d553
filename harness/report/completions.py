"""``train/completions.jsonl`` without holding its texts: one light row a completion, and the texts of a step on demand.

A training of 100,000 completions is hundreds of megabytes of JSON. The file is read once for what numbers need, and a
second time, a few steps at a time, for what a page shows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.store.files import RecordError
from harness.store.run_files import COMPLETIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.store.run_files import Completion


class Row(NamedTuple):
    """One sampled completion in numbers. ``group`` counts groups from 0 in order of sight; ``offset`` and ``length``
    are the bytes of its line, ``number`` is the line's."""

    step: int
    group: int
    question: int
    reward: float | None
    cut: bool
    offset: int
    length: int
    number: int


class Asked(NamedTuple):
    """A training question: its id, its last chat turn, its ground truth."""

    id: str
    text: str
    ground_truth: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was sampled during training: light rows by step in order, every question met, the reward functions."""

    train: Path
    steps: dict[int, list[Row]]
    questions: tuple[Asked, ...]
    functions: tuple[str, ...]

    @property
    def completions(self) -> int:
        """How many completions there are."""
        return sum(map(len, self.steps.values()))


def scan(train: Path) -> Sampled | None:
    """Read the file in ``train/`` once. ``None`` where there is none.

    Raises:
        RecordError: a line does not fit.
    """
    steps: dict[int, list[Row]] = defaultdict(list)
    questions: dict[str, int] = {}
    asked: list[Asked] = []
    groups: dict[tuple[int, str], int] = {}
    functions: dict[str, None] = {}
    for number, offset, line in COMPLETIONS.lines(train):
        row = COMPLETIONS.parse(train, number, line, hide=True)
        if row.question_id not in questions:
            questions[row.question_id] = len(questions)
            asked.append(Asked(row.question_id, row.prompt[-1]["content"] if row.prompt else "", row.ground_truth))
        group = groups.setdefault((row.step, row.group), len(groups))
        functions |= dict.fromkeys(row.rewards)
        place = questions[row.question_id], row.reward, row.finish_reason == "length", offset, len(line), number
        steps[row.step].append(Row(row.step, group, *place))
    if not steps:
        return None
    return Sampled(train, {step: steps[step] for step in sorted(steps)}, tuple(asked), tuple(functions))


def groups_of(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of one step, a list a group, in the order in which the groups were met."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.group].append(row)
    return list(found.values())


def samples_of(sampled: Sampled, step: int) -> list[tuple[int, list[Completion]]]:
    """``(question, completions)`` of each group of a step, its lines read again."""
    found = []
    try:
        with COMPLETIONS.path(sampled.train).open("rb") as file:
            for group in groups_of(sampled.steps[step]):
                samples = []
                for row in group:
                    file.seek(row.offset)
                    samples.append(COMPLETIONS.parse(sampled.train, row.number, file.read(row.length), hide=True))
                found.append((group[0].question, samples))
    except (OSError, RecordError):  # changed since it was scanned
        return []
    return found
