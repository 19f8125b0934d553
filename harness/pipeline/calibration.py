"""How hard the arithmetic task is for a policy: accuracy by operation and by size of the numbers, from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.gate.intervals import accuracy_interval
from harness.gate.wording import percent
from harness.store.records import Record, question_means
from harness.tasks import Question
from harness.tasks.arithmetic import OPERATIONS, operands

BUCKETS = 4  # of sizes, each as wide as the others


@dataclass(frozen=True, slots=True)
class Cell:
    """``operation`` or ``size`` is ``None`` where the cell is over all; ``accuracy`` where there is no question."""

    operation: str | None
    size: tuple[int, int] | None
    questions: int
    accuracy: float | None
    interval: tuple[float, float]


def calibrate(questions: Sequence[Question], records: Sequence[Record], *, largest: int) -> list[Cell]:
    """Cells by operation, by size (the larger operand), by both, and one over all, in that order.

    Every question counts once, with the share of its answers that are right.

    Raises:
        TaskError: a question is not of the arithmetic task.
    """
    means = question_means(records)
    asked = [(*_kind(question, largest), means[question.id]) for question in questions if question.id in means]
    sizes = [_bounds(bucket, largest) for bucket in range(BUCKETS)]
    sizes = [(low, high) for low, high in sizes if low <= high]
    known = [name for name in OPERATIONS if any(operation == name for operation, _, _ in asked)]
    wanted: list[tuple[str | None, tuple[int, int] | None]] = [
        *((name, None) for name in known),
        *((None, size) for size in sizes),
        *((name, size) for name in known for size in sizes),
        (None, None),
    ]
    return [_cell(operation, size, asked) for operation, size in wanted]


def table(cells: Sequence[Cell]) -> list[str]:
    """A line a cell, for a terminal."""
    lines = []
    for cell in cells:
        if cell.accuracy is None:
            continue
        size = "all sizes" if cell.size is None else f"{cell.size[0]} to {cell.size[1]}"
        low, high = cell.interval
        lines.append(
            f"{cell.operation or 'all':<9} {size:<10} {percent(cell.accuracy):>8}  "
            f"(95 %: {100 * low:.1f} to {100 * high:.1f})  {cell.questions} questions"
        )
    return lines


def to_json(cells: Sequence[Cell]) -> list[Mapping[str, object]]:
    """``calibration.json``."""
    return [{name: getattr(cell, name) for name in Cell.__dataclass_fields__} for cell in cells]


def _kind(question: Question, largest: int) -> tuple[str, tuple[int, int]]:
    operation, a, b = operands(question)
    bucket = next(number for number in range(BUCKETS) if max(a, b) <= _bounds(number, largest)[1])
    return operation, _bounds(bucket, largest)


def _bounds(bucket: int, largest: int) -> tuple[int, int]:
    return largest * bucket // BUCKETS + 1, largest * (bucket + 1) // BUCKETS


def _cell(
    operation: str | None, size: tuple[int, int] | None, asked: Sequence[tuple[str, tuple[int, int], float]]
) -> Cell:
    values = [mean for name, found, mean in asked if operation in (None, name) and size in (None, found)]
    accuracy = sum(values) / len(values) if values else None
    return Cell(operation, size, len(values), accuracy, accuracy_interval(values))
