"""Groups of completions as GRPO saw them: ``train/completions.jsonl`` in numbers, and its texts packed by step.

A training of 100,000 completions is hundreds of megabytes of JSON. The file is read once for what numbers need, and a
second time, a few steps at a time, for what a page shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from harness.report.pack import Blocks, pack
from harness.report.present import KINDS, MARKS, STATUSES, fold
from harness.store.files import RecordError
from harness.store.run_files import COMPLETIONS

if TYPE_CHECKING:
    from pathlib import Path

    from harness.store.run_files import Completion

T = TypeVar("T")

BUDGET = 9_000_000
"""Characters of packed data that a page may carry for groups; beyond it, evenly spaced steps are left out."""
BLOCK = 400_000
"""Characters of text in a block, about: what a browser unpacks at once when a step is opened."""
FOLD_AT = 6_000
"""Characters of one completion that are shown; the rest is left out of the middle."""
_TIE = 1e-8


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


@dataclass(frozen=True, slots=True)
class GroupsPage:
    """``packed_steps`` is smaller than ``steps`` where not all of them are in the page.

    The first of ``blocks`` is an index: ``functions``, ``questions`` as ``[id, text, ground truth]``, the largest
    advantage of any as ``reach``, and ``steps`` as ``[step, block, place in the block, questions of its groups, groups
    with signal, mean reward]``. A block is a list of steps, a step a list of groups.
    """

    steps: int
    questions: int
    completions: int
    packed_steps: int
    blocks: Blocks


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


def expected_zero_std(rows: Sequence[Row]) -> float | None:
    """The share of a step's groups in which all rewards would agree if every completion drew its reward from the
    step's own mix of rewards, whatever its question. In [0, 1]; ``None`` where no completion has a reward.

    Questions differ in difficulty, so it is a floor: the share that is seen lies above it by as much as they differ.
    """
    rewards = [row.reward for row in rows if row.reward is not None]
    if not rewards:
        return None
    shares = [count / len(rewards) for count in Counter(round(reward, 6) for reward in rewards).values()]
    groups = groups_of(rows)
    return sum(agreement(shares, len(group)) for group in groups) / len(groups)


def agreement(shares: Sequence[float], draws: int) -> float:
    """The chance that ``draws`` independent draws all fall into one class, of classes with these shares.

    Of two classes it is the p^G + (1 - p)^G of a binary reward.

    >>> agreement([0.5, 0.5], draws=3)
    0.25
    """
    return min(1.0, sum(share**draws for share in shares))


def expected_by_step(sampled: Sampled | None) -> dict[int, float]:
    """:func:`expected_zero_std` of every step that sampled."""
    found = {step: expected_zero_std(rows) for step, rows in sampled.steps.items()} if sampled else {}
    return {step: share for step, share in found.items() if share is not None}


def groups_page(sampled: Sampled, budget: int = BUDGET) -> GroupsPage:
    """The groups of a training."""
    numbers = list(sampled.steps)
    chosen = thinned(numbers, _affordable(sampled, numbers, budget))
    blocks: Blocks = []
    places: list[list[Any]] = []
    reach = 0.0
    for block in _gathered(sampled, chosen):
        for place, (step, groups) in enumerate(block):
            with_signal = sum(differ(group["totals"]) for group in groups)
            rewards = [row.reward for row in sampled.steps[step] if row.reward is not None]
            mean = round(sum(rewards) / len(rewards), 4) if rewards else None
            places.append([step, len(blocks), place, [group["question"] for group in groups], with_signal, mean])
            reach = max([reach, *(abs(a) for group in groups for a in group["advantages"] if a is not None)])
        blocks.append((f"groups-{len(blocks)}", pack([groups for _, groups in block])))
    index = {
        "functions": sampled.functions,
        "questions": [[asked.id, _short(asked.text), _short(asked.ground_truth)] for asked in sampled.questions],
        "steps": places,
        "reach": reach,
        "marks": {each: [KINDS.get(each, "open"), MARKS[each], STATUSES[each]] for each in MARKS},
    }
    packed = [("groups", pack(index)), *blocks]
    return GroupsPage(len(numbers), len(sampled.questions), sampled.completions, len(chosen), packed)


def differ(rewards: Sequence[float | None]) -> bool:
    """Whether a group's rewards are not all the same: only then is there an advantage to learn from."""
    known = [reward for reward in rewards if reward is not None]
    return bool(known) and max(known) - min(known) > _TIE


def thinned(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` items, evenly spaced, the first and the last among them (so two at least, if there are two)."""
    most = max(2, most)
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _affordable(sampled: Sampled, numbers: Sequence[int], budget: int) -> int:
    """How many steps the budget allows, measured on a few of them."""
    probe = thinned(numbers, 8)
    size = sum(len(pack([_packed(samples_of(sampled, step), sampled.functions)])) for step in probe)
    return len(probe) * budget // max(1, size)


def _gathered(sampled: Sampled, numbers: Sequence[int]) -> Iterator[list[tuple[int, list[dict[str, Any]]]]]:
    """Steps in stretches of about :data:`BLOCK` characters; only one stretch is in memory."""
    block: list[tuple[int, list[dict[str, Any]]]] = []
    size = 0
    for step in numbers:
        groups = _packed(samples_of(sampled, step), sampled.functions)
        size += sum(len(str(text)) for group in groups for text in group["texts"])
        block.append((step, groups))
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _packed(groups: Sequence[tuple[int, list[Completion]]], functions: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "question": question,
            "texts": [_text(sample.completion) for sample in samples],
            "rewards": [[sample.rewards.get(name) for name in functions] for sample in samples],
            "totals": [sample.reward for sample in samples],
            "advantages": [None if sample.advantage is None else round(sample.advantage, 4) for sample in samples],
            "tokens": [sample.completion_tokens for sample in samples],
            "statuses": [sample.status for sample in samples],
            "cut": [sample.finish_reason == "length" for sample in samples],
        }
        for question, samples in groups
    ]


def _text(completion: str) -> str | list[Any]:
    """A long text as ``[head, characters left out, tail]``."""
    head, tail, left_out = fold(completion, FOLD_AT)
    return [head, left_out, tail] if left_out else head


def _short(text: str) -> str:
    head, tail, left_out = fold(text, FOLD_AT)
    return f"{head} … {tail}" if left_out else head
