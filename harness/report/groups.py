"""Groups of completions as GRPO saw them: the steps in numbers, and the texts packed in blocks that open on demand."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from markupsafe import Markup

from harness.report.completions import Asked, Row, Sampled, groups_of, samples_of
from harness.report.pack import pack
from harness.report.present import KINDS, MARKS, STATUS_WORDS
from harness.report.text import fold
from harness.store.redact import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.store.run_files import Completion

T = TypeVar("T")

BUDGET = 9_000_000
"""Characters of packed data that a page may carry for groups; beyond it, evenly spaced steps are left out."""

BLOCK = 400_000
"""Characters of JSON in a block, about: what a browser unpacks at once when a step is opened."""

FOLD_AT = 6_000
"""Characters of one completion that are shown; the rest is left out of the middle."""

TABLE = 400
"""Rows of the table of steps; of more steps, evenly spaced ones are listed."""

PLAIN_GROUPS = 8
"""Groups of the first and of the last step that stand in the page for readers without JavaScript."""

_TIE = 1e-8


@dataclass(frozen=True, slots=True)
class Step:
    """One training step in numbers. ``signal`` counts groups whose rewards differ: the others teach nothing."""

    step: int
    groups: int
    completions: int
    reward: float | None
    signal: int
    cut: int


@dataclass(frozen=True, slots=True)
class Group:
    """The completions to one question in one step. ``std`` has Bessel's correction, as TRL computes it."""

    asked: Asked
    samples: tuple[Completion, ...]
    mean: float | None
    std: float | None
    signal: bool


@dataclass(frozen=True, slots=True)
class GroupsPage:
    """What the groups' section needs. ``packed_steps`` is smaller than the steps where not all of them are in the page.

    ``reach`` is the largest advantage of any, whichever its sign: all bars have one scale.

    ``index`` and ``blocks`` are packed (:mod:`harness.report.pack`). The index holds ``functions``, ``questions`` as
    ``[id, text, ground truth]``, ``steps`` as
    ``[step, block, place in the block, questions of its groups, groups with signal]``; a
    block is a list of steps, a step a list of groups.
    """

    steps: tuple[Step, ...]
    listed: tuple[Step, ...]
    first: tuple[Group, ...]
    last: tuple[Group, ...]
    functions: tuple[str, ...]
    questions: int
    packed_steps: int
    reach: float
    index: Markup
    blocks: tuple[Markup, ...]


def groups_page(sampled: Sampled, budget: int = BUDGET) -> GroupsPage | None:
    """The groups of a training, ``None`` where no completion was kept."""
    if not sampled.steps:
        return None
    steps = tuple(step_facts(step, rows) for step, rows in sampled.steps.items())
    numbers = [step.step for step in steps]
    chosen = thinned(numbers, _affordable(sampled, numbers, budget))
    blocks, places, reach = _blocks(sampled, chosen)
    questions = [[visible(asked.id), _short(asked.text), _short(asked.ground_truth)] for asked in sampled.questions]
    functions = [visible(function) for function in sampled.functions]
    return GroupsPage(
        steps=steps,
        listed=tuple(thinned(steps, TABLE)),
        first=plain_groups(sampled, numbers[0]),
        last=plain_groups(sampled, numbers[-1]) if len(numbers) > 1 else (),
        functions=sampled.functions,
        questions=len(sampled.questions),
        packed_steps=len(chosen),
        reach=reach,
        index=Markup(
            pack({"functions": functions, "questions": questions, "steps": places, "marks": _marks(), "reach": reach})
        ),
        blocks=tuple(map(Markup, blocks)),
    )


def step_facts(step: int, rows: Sequence[Row]) -> Step:
    """One step in numbers."""
    groups = groups_of(rows)
    rewards = [row.reward for row in rows if row.reward is not None]
    return Step(
        step=step,
        groups=len(groups),
        completions=len(rows),
        reward=sum(rewards) / len(rewards) if rewards else None,
        signal=sum(differ([row.reward for row in group]) for group in groups),
        cut=sum(row.cut for row in rows),
    )


def group_of(asked: Asked, samples: Sequence[Completion]) -> Group:
    """A group with its mean and standard deviation."""
    rewards = [sample.reward for sample in samples if sample.reward is not None]
    return Group(
        asked=asked,
        samples=tuple(samples),
        mean=sum(rewards) / len(rewards) if rewards else None,
        std=statistics.stdev(rewards) if len(rewards) > 1 else 0.0 if rewards else None,
        signal=differ(rewards),
    )


def differ(rewards: Sequence[float | None]) -> bool:
    """Whether a group's rewards are not all the same: only then is there an advantage to learn from."""
    known = [reward for reward in rewards if reward is not None]
    return bool(known) and max(known) - min(known) > _TIE


def plain_groups(sampled: Sampled, step: int) -> tuple[Group, ...]:
    """The first groups of a step, for a reader without JavaScript."""
    found = samples_of(sampled, step)[:PLAIN_GROUPS]
    return tuple(group_of(sampled.questions[question], samples) for question, samples in found)


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


def _blocks(sampled: Sampled, numbers: Sequence[int]) -> tuple[list[str], list[list[Any]], float]:
    """The packed blocks, for each step where it lies and which questions it asked, and the largest advantage."""
    blocks: list[str] = []
    places: list[list[Any]] = []
    reach = 0.0
    for block in _gathered(sampled, numbers):
        for place, (step, groups) in enumerate(block):
            with_signal = sum(differ(group["totals"]) for group in groups)
            places.append([step, len(blocks), place, [group["question"] for group in groups], with_signal])
            reach = max([reach, *(abs(a) for group in groups for a in group["advantages"] if a is not None)])
        blocks.append(pack([groups for _, groups in block]))
    return blocks, places, reach


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
            "statuses": [visible(sample.status) for sample in samples],
            "cut": [sample.finish_reason == "length" for sample in samples],
        }
        for question, samples in groups
    ]


def _marks() -> dict[str, list[str]]:
    """Status to its css class, mark and words."""
    return {status: [KINDS.get(status, "open"), MARKS[status], STATUS_WORDS.get(status, status)] for status in MARKS}


def _text(completion: str) -> str | list[Any]:
    """What is invisible made visible; a long text as ``[head, characters left out, tail]``."""
    head, tail, left_out = fold(completion, FOLD_AT)
    return [visible(head), left_out, visible(tail)] if left_out else visible(head)


def _short(text: str) -> str:
    head, tail, left_out = fold(text, FOLD_AT)
    return visible(f"{head} … {tail}" if left_out else head)
