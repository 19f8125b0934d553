"""What was run, for the page: the recipe held against its baseline's and its file's, and what each stage cost."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.present import count, leaves, number, percent, plain, plural
from harness.report.views import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.report.views import Evaluation, Run, Training
    from harness.store.run_files import Changed, HeldAgainst

NOT_SET = "not set"
"""A value that a side has none of."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage cost; ``None`` where it is not known. ``tokens_in`` of a training counts both ways."""

    name: str
    tokens_in: float | None
    tokens_out: float | None
    seconds: float | None
    rate: float | None
    memory: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Ran:
    """``changes`` is ``None`` where the baseline (if any) carries no recipe, ``overrides`` where no file is known."""

    baseline: str
    changes: tuple[Change, ...] | None
    file: str
    overrides: tuple[Change, ...] | None
    stages: tuple[Stage, ...]
    versions: tuple[Change, ...]


def ran(run: Run) -> Ran:
    """All of it."""
    held, overrides = run.baseline, run.overrides
    recipe = _toml(held.recipe_toml) if held and held.recipe_toml else None
    here = run.environment.packages if run.environment else {}
    return Ran(
        baseline=held_against(held),
        changes=None if recipe is None else differences(recipe, run.recipe),
        file=overrides.file if overrides else "",
        overrides=None if overrides is None else tuple(map(_override, overrides.changed)),
        stages=_stages(run),
        versions=versions_apart(held.versions if held else {}, here),
    )


def held_against(held: HeldAgainst | None) -> str:
    """The baseline in one line: file, accuracy, commit, date; ``""`` where there is none."""
    if held is None:
        return ""
    right = [] if held.accuracy is None else [f"{percent(held.accuracy)} of {held.questions} questions"]
    commit = held.commit if held.commit == "no commit" else f"commit {held.commit[:10]}"
    return ", ".join([held.path, *right, commit, held.date, f"model {held.model}"])


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Change, ...]:
    """The keys of two recipes that differ, in the order of the recipe."""
    one, two = _flat(first), _flat(second)
    keys = [key for key in dict.fromkeys((*two, *one)) if one.get(key) != two.get(key)]
    return tuple(Change(key, one.get(key, NOT_SET), two.get(key, NOT_SET)) for key in keys)


def _flat(recipe: Mapping[str, Any]) -> dict[str, str]:
    # An empty table says nothing that a missing one does not, nor does an empty text.
    return {key: value for key, value in leaves(recipe) if value != ""}


def _override(changed: Changed) -> Change:
    first, second = (NOT_SET if value is None else plain(value) for value in (changed.file, changed.run))
    return Change(changed.key, first, second)


def _toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def versions_apart(there: Mapping[str, str | None], here: Mapping[str, str | None]) -> tuple[Change, ...]:
    """Packages whose version is another here than there."""
    both = [name for name in there if name in here and there[name] != here[name]]
    return tuple(Change(name, plain(there[name]), plain(here[name])) for name in both)


def _stages(run: Run) -> tuple[Stage, ...]:
    stages = [_asked("before", run.before)] if run.before is not None else []
    if run.training is not None and (run.training.summary or run.training.steps):
        stages.append(_trained(run.training))
    if run.after is not None:
        stages.append(_asked("after", run.after))
    return tuple(stages)


def _asked(name: str, side: Evaluation) -> Stage:
    summary = side.summary
    seconds = summary.seconds if summary else None
    reused = summary.reused if summary else {}
    return Stage(
        name,
        tokens_in=side.prompt_tokens,
        tokens_out=side.completion_tokens,
        seconds=seconds,
        rate=None if reused else _rate(side.completion_tokens, seconds),
        memory=summary.peak_memory_bytes if summary else None,
        note="; ".join(filter(None, (_reused(reused, side.answers), _slow(summary.slow if summary else None)))),
    )


def _slow(why: str | None) -> str:
    return f"by model.generate, which is slower: {why}" if why else ""


def _reused(runs: Mapping[str, int], answers: int) -> str:
    """What was found in other runs instead of being asked for."""
    if not runs:
        return ""
    first, *others = runs
    where = first + (f" and {plural(len(others), 'more run')}" if others else "")
    found = sum(runs.values())
    some = "answers" if found >= answers else f"{count(found)} of {plural(answers, 'answer')}"
    return f"{some} found in {where}"


def _trained(training: Training) -> Stage:
    summary, steps = training.summary, training.steps
    tokens = next((found for step in reversed(steps) if (found := number(step.get("num_tokens"))) is not None), None)
    if summary is None:
        return Stage("training", tokens, None, None, None, None, "")
    source, resumed = summary.source, summary.resumed_from
    notes = (
        f"trained in {source}, which trains the same" if source else "",
        f"time since step {resumed}, where it was resumed" if resumed else "",
        _slow(summary.slow),
    )
    rate = None if resumed else _rate(tokens, summary.seconds)
    memory = summary.peak_memory_bytes
    return Stage("training", tokens, None, summary.seconds, rate, memory, "; ".join(filter(None, notes)))


def _rate(tokens: float | None, seconds: float | None) -> float | None:
    return tokens / seconds if tokens and seconds and seconds > 0 else None
