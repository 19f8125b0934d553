"""What was run, for the page: the recipe held against its baseline's and its file's, and what each stage cost."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.loose import dicts, number, string
from harness.report.present import count, leaves, percent, plain, plural
from harness.report.views import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.report.views import Evaluation, Run

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
    """All of it. Never raises for what a file holds."""
    held, text = run.baseline, run.baseline.get("recipe_toml")
    recipe = _toml(text) if isinstance(text, str) else None
    overrides = run.overrides.get("changed")
    return Ran(
        baseline=held_against(held),
        changes=None if recipe is None else differences(recipe, run.recipe),
        file=string(run.overrides.get("file")),
        overrides=None if overrides is None else tuple(_override(row) for row in dicts(overrides)),
        stages=_stages(run),
        versions=versions_apart(held.get("versions"), run.environment.get("packages")),
    )


def held_against(held: Mapping[str, Any]) -> str:
    """The baseline in one line: file, accuracy, commit, date; ``""`` where there is none."""
    if not held:
        return ""
    words = [string(held.get("path")) or "a baseline"]
    accuracy, questions = number(held.get("accuracy")), number(held.get("questions"))
    if accuracy is not None:
        words.append(percent(accuracy) + (f" of {questions:.0f} questions" if questions is not None else " right"))
    if commit := string(held.get("commit")):
        words.append(f"commit {commit[:10]}" if commit != "no commit" else commit)
    if date := string(held.get("date")):
        words.append(date)
    if model := string(held.get("model")):
        words.append(f"model {model}")
    return ", ".join(words)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Change, ...]:
    """The keys of two recipes that differ, in the order of the recipe."""
    one, two = _flat(first), _flat(second)
    keys = [key for key in dict.fromkeys((*two, *one)) if one.get(key) != two.get(key)]
    return tuple(Change(key, one.get(key, NOT_SET), two.get(key, NOT_SET)) for key in keys)


def _flat(recipe: Mapping[str, Any]) -> dict[str, str]:
    # An empty table says nothing that a missing one does not, nor does an empty text.
    return {key: value for key, value in leaves(recipe) if value != ""}


def _override(row: Mapping[str, Any]) -> Change:
    values = [plain(row[side]) if side in row else NOT_SET for side in ("file", "run")]
    return Change(string(row.get("key")), *values)


def _toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def versions_apart(baseline: Any, here: Any) -> tuple[Change, ...]:
    """Packages whose version is another here than there."""
    if not isinstance(baseline, dict) or not isinstance(here, dict):
        return ()
    both = [name for name in baseline if name in here and baseline[name] != here[name]]
    return tuple(Change(string(name), plain(baseline[name]), plain(here[name])) for name in both)


def _stages(run: Run) -> tuple[Stage, ...]:
    stages = [_asked("before", run.before)] if run.before is not None else []
    if run.training is not None and (run.training.summary or run.training.steps):
        stages.append(_trained(run))
    if run.after is not None:
        stages.append(_asked("after", run.after))
    return tuple(stages)


def _asked(name: str, side: Evaluation) -> Stage:
    seconds, summary = number(side.summary.get("seconds")), side.summary
    reused = summary.get("reused")
    return Stage(
        name,
        tokens_in=side.prompt_tokens,
        tokens_out=side.completion_tokens,
        seconds=seconds,
        rate=None if reused else _rate(side.completion_tokens, seconds),
        memory=number(summary.get("peak_memory_bytes")),
        note="; ".join(filter(None, (_reused(reused, side.answers), _slow(summary.get("slow"))))),
    )


def _slow(why: Any) -> str:
    return f"by model.generate, which is slower: {string(why)}" if why else ""


def _reused(runs: Any, answers: int) -> str:
    """What was found in other runs instead of being asked for."""
    if not isinstance(runs, dict) or not runs:
        return ""
    first, *others = map(string, runs)
    where = first + (f" and {plural(len(others), 'more run')}" if others else "")
    found = sum(number(each) or 0 for each in runs.values())
    some = "answers" if found >= answers else f"{count(found)} of {plural(answers, 'answer')}"
    return f"{some} found in {where}"


def _trained(run: Run) -> Stage:
    assert run.training is not None
    summary, steps = run.training.summary, run.training.steps
    seconds = number(summary.get("seconds"))
    tokens = next((found for step in reversed(steps) if (found := number(step.get("num_tokens"))) is not None), None)
    resumed = number(summary.get("resumed_from"))
    return Stage(
        "training",
        tokens_in=tokens,
        tokens_out=None,
        seconds=seconds,
        rate=None if resumed else _rate(tokens, seconds),
        memory=number(summary.get("peak_memory_bytes")),
        note="; ".join(
            note
            for note in (
                f"trained in {string(summary.get('source'))}, which trains the same" if summary.get("source") else "",
                f"time since step {resumed:.0f}, where it was resumed" if resumed else "",
                _slow(summary.get("slow")),
            )
            if note
        ),
    )


def _rate(tokens: float | None, seconds: float | None) -> float | None:
    return tokens / seconds if tokens and seconds and seconds > 0 else None
