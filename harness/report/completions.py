"""``train/completions.jsonl`` without holding its texts: one light row a completion, and the texts of a step on demand.

A training of 100,000 completions is hundreds of megabytes of JSON. The file is read once for what numbers need, and a
second time, a few steps at a time, for what a page shows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.loose import number, string, whole
from harness.report.read import parsed
from harness.report.views import turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Row(NamedTuple):
    """One sampled completion in numbers. ``group`` counts groups from 0 in order of sight; ``offset`` and ``length``
    are the bytes of its line."""

    step: int
    group: int
    question: int
    reward: float | None
    cut: bool
    offset: int
    length: int


class Asked(NamedTuple):
    """A training question: its id, its last chat turn, its ground truth."""

    id: str
    text: str
    ground_truth: str


class Sample(NamedTuple):
    """One sampled completion as GRPO saw it. ``rewards`` are in the order of :attr:`Sampled.functions`,
    and ``status`` is a record's, ``""`` where the line has none."""

    completion: str
    rewards: tuple[float | None, ...]
    reward: float | None
    advantage: float | None
    tokens: int | None
    finish_reason: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was sampled during training: light rows by step in order, every question met, the reward functions."""

    path: Path
    steps: dict[int, list[Row]]
    questions: tuple[Asked, ...]
    functions: tuple[str, ...]
    torn: int

    @property
    def completions(self) -> int:
        """How many completions there are."""
        return sum(map(len, self.steps.values()))


def scan(path: Path) -> Sampled | None:
    """Read the file once. ``None`` where there is none; lines that are no completion are counted as torn."""
    steps: dict[int, list[Row]] = defaultdict(list)
    questions: dict[str, int] = {}
    asked: list[Asked] = []
    groups: dict[tuple[int, str], int] = {}
    functions: dict[str, None] = {}
    torn = 0
    for offset, line in _lines(path):
        row = _parsed(line)
        step = whole(row.get("step")) if row else None
        if row is None or step is None:
            torn += 1
            continue
        name = string(row.get("question_id"))
        if name not in questions:
            questions[name] = len(questions)
            prompt = turns(row.get("prompt"))
            asked.append(Asked(name, prompt[-1].content if prompt else "", string(row.get("ground_truth"))))
        group = groups.setdefault((step, string(row.get("group")) or name), len(groups))
        rewards = row.get("rewards")
        functions |= dict.fromkeys(map(str, rewards)) if isinstance(rewards, dict) else {}
        cut = row.get("finish_reason") == "length"
        steps[step].append(Row(step, group, questions[name], number(row.get("reward")), cut, offset, len(line)))
    if not steps and not torn:
        return None
    return Sampled(path, {step: steps[step] for step in sorted(steps)}, tuple(asked), tuple(functions), torn)


def groups_of(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of one step, a list a group, in the order in which the groups were met."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.group].append(row)
    return list(found.values())


def samples_of(sampled: Sampled, step: int) -> list[tuple[int, list[Sample]]]:
    """``(question, samples)`` of each group of a step, its lines read again. A file that has changed gives nothing."""
    found = []
    try:
        with sampled.path.open("rb") as file:
            for group in groups_of(sampled.steps[step]):
                samples = []
                for row in group:
                    file.seek(row.offset)
                    parsed = _parsed(file.read(row.length))
                    if parsed is not None:
                        samples.append(_sample(parsed, sampled.functions))
                if samples:
                    found.append((group[0].question, samples))
    except OSError:
        return []
    return found


def _sample(row: dict[str, Any], functions: Sequence[str]) -> Sample:
    rewards = row.get("rewards")
    rewards = rewards if isinstance(rewards, dict) else {}
    return Sample(
        completion=string(row.get("completion")),
        rewards=tuple(number(rewards.get(function)) for function in functions),
        reward=number(row.get("reward")),
        advantage=number(row.get("advantage")),
        tokens=whole(row.get("completion_tokens")),
        finish_reason=string(row.get("finish_reason")) or "unknown",
        status=string(row.get("status")),
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """``(byte offset, line)``; nothing for a file that is not there or cannot be read."""
    try:
        with path.open("rb") as file:
            offset = 0
            for line in file:
                if line.strip():
                    yield offset, line
                offset += len(line)
    except OSError:
        return


def _parsed(line: bytes) -> dict[str, Any] | None:
    row = parsed(line)
    return row if isinstance(row, dict) else None
