"""A run's kept answers under today's graders; nothing is generated."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from harness.pipeline.evaluate import rewrite
from harness.recipe.messages import refuser
from harness.recipe.needs import look_beside_recipe_of
from harness.rewards import RewardCalls, Rewards
from harness.rewards.grading import grade_kept
from harness.store.errors import HarnessError
from harness.store.question import Question
from harness.store.records import SUMMARY, Record, read_records, summed_records
from harness.store.run_directory import locked
from harness.store.run_files import QUESTIONS, VERDICTS
from harness.store.secrets import HIDDEN
from harness.store.stages import SIDES


@dataclass(frozen=True)
class Regraded:
    """A stage with so many ``answers``: those whose grades ``changed``, old and new, the share correct ``before`` and
    ``after``, and sentences about graders that failed."""

    stage: str
    answers: int
    changed: Sequence[tuple[Record, Record]]
    before: float
    after: float
    faults: Sequence[str]


def regraded(directory: Path, *, write: bool = False) -> Iterator[Regraded]:
    """Stage by stage; ``write`` keeps the new grades, while nobody else writes there.

    Raises:
        HarnessError: the recipe cannot be read, or a reward of it is not there.
    """
    rewards = _rewards_of(directory / "recipe.toml", look_beside_recipe_of(directory))
    questions = {question.id: question for question in QUESTIONS.read(directory)}
    _check_hidden(directory, rewards, questions.values())
    for stage in SIDES:
        with locked(directory / ".locks" / stage) if write else nullcontext():
            summary = SUMMARY.read(directory / stage)
            records = list(summed_records(directory / stage, summary)) if summary else read_records(directory / stage)
            if not records:
                continue
            calls = RewardCalls(rewards)
            again = list(grade_kept(records, questions, calls))
            if write:
                rewrite(directory / stage, again, list(questions), calls.faults)
                _outdate(directory)
        changed = [(old, new) for old, new in zip(records, again, strict=True) if old != new]
        before, after = (sum(each.status == "correct" for each in side) / len(side) for side in (records, again))
        yield Regraded(stage, len(records), changed, before, after, calls.faults.sentences())


def _check_hidden(directory: Path, rewards: Rewards, questions: Iterable[Question]) -> None:
    """Refuse to grade by what was hidden on its way into the run directory: it is not what was asked."""
    if HIDDEN in repr(rewards.parameters):
        raise HarnessError(
            f"{directory / 'recipe.toml'}: hides what looks like a secret in [rewards]; run again instead"
        )
    for question in questions:
        if HIDDEN in repr((question.ground_truth, question.columns)):
            raise HarnessError(
                f"{QUESTIONS.path(directory)}: question {question.id!r} hides what looks like a secret in its truth or "
                "columns, so that its answers cannot be graded from here; run again instead"
            )


def _outdate(directory: Path) -> None:
    """Take out verdicts on the grades of before; that on the training is about none of them."""
    if said := VERDICTS.fit(directory):
        left = tuple(verdict for verdict in said.verdicts if verdict.gate == "training")
        VERDICTS.write(directory, replace(said, verdicts=left))


def _rewards_of(path: Path, folder: str | None) -> Rewards:
    """``[rewards]`` of a run's recipe, and no more: another recipe that it starts from may lie elsewhere."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("rewards")
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessError(f"{path}: cannot be read ({error})") from None
    return Rewards.from_table(table, refuser(path), folder)
