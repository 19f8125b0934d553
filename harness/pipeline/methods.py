"""Training methods held against each other: same base, same questions, same number of sampled completions.

    comparison = compare_methods(["rl-runs/tiny-arithmetic-0-...", "rl-runs/tiny-arithmetic-sft-0-...", ...])
    print("\\n".join(comparison.lines()))

It reads finished run directories and nothing else. A row is a recipe with all its seeds, a pair two recipes on the same
questions. A recipe that was overridden (``--rl-set train.method="dpo"``) is one of its own, under its runs' name. With
one seed questions are the unit, and a row speaks of these checkpoints; with more, seeds are, and it speaks of the
recipes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from harness.gate.power import share_alpha
from harness.gate.statistics import accuracy_interval, difference_interval, t_interval
from harness.gate.verdicts import FEWEST_SEEDS, judge_improvement, judge_recipe
from harness.store.errors import HarnessError
from harness.store.files import JsonFile
from harness.store.methods import METHODS, Comparison, Pair, Row, Unit
from harness.store.records import SUMMARY, Interval, question_means, summed_records
from harness.store.run_files import ENVIRONMENT, IDENTITY, NAME, QUESTIONS, TRAINED, Verdict
from harness.store.siblings import differences, recipe_leaves, worded
from harness.store.stages import SIDES
from harness.store.words import percent

T = TypeVar("T")


@dataclass(frozen=True)
class Finished:
    """What a finished run directory says: ``before`` and ``after`` are shares correct by question id. ``seconds`` are
    those of sampling and training, without evaluation."""

    directory: Path
    recipe: str
    method: str
    seed: int
    order: tuple[str, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    completions: int
    sampled_tokens: int
    seconds: float | None
    sameness: Mapping[str, Any]

    @property
    def asked(self) -> list[str]:
        """The questions that were scored before and after, in their order."""
        return [question for question in self.order if question in self.before and question in self.after]

    @property
    def gain(self) -> dict[str, float]:
        """After less before, by question."""
        return {question: self.after[question] - self.before[question] for question in self.asked}


def read_finished(directory: Path) -> Finished:
    """One finished run.

    Raises:
        HarnessError: a stage is missing, or answers of one.
    """

    def there(file: JsonFile[T], stage: str = "") -> T:
        if (found := file.read(directory / stage)) is None:
            name = Path(stage, file.name)
            raise HarnessError(f"{directory}: not a finished run, {name} is missing; run its recipe to the end")
        return found

    def means(stage: str) -> dict[str, float]:
        return question_means(summed_records(directory / stage, there(SUMMARY, stage)))

    environment, identity, trained = there(ENVIRONMENT), there(IDENTITY), there(TRAINED, "train")
    before, after = map(means, SIDES)
    generation, training = identity["generation"], identity["training"]
    seconds = trained.seconds_per_step * trained.steps  # of all steps, also where the job was resumed
    sampling = trained.sampling_seconds
    return Finished(
        directory=directory,
        recipe=environment.recipe,
        method=training["method"],
        seed=environment.seed,
        order=tuple(question.id for question in QUESTIONS.read(directory)),
        before=before,
        after=after,
        completions=trained.completions,
        sampled_tokens=trained.sampled_tokens,
        seconds=None if sampling is None else seconds + sampling,
        sameness={
            "base model": generation["model"],
            "test questions": [generation["questions"], generation["prompts"]],
            "decoding": generation["decoding"],
            "graders": identity["grading"],
            "training questions": training["questions"],
        },
    )


def compare_methods(directories: Sequence[Path | str], *, alpha: float = 0.05, margin: float = 0.05) -> Comparison:
    """Hold the recipes of finished runs against each other; all pairs together share ``alpha``.

    Raises:
        HarnessError: a run is not finished, there are fewer than two recipes, two runs are of one recipe and seed, or
            the runs were asked other questions or another base model.
    """
    kept = _named([read_finished(Path(directory)) for directory in directories])
    recipes: dict[str, list[Finished]] = {}
    for each in kept:
        recipes.setdefault(each.recipe, []).append(each)
    for name, runs in recipes.items():
        by_seed: dict[int, Path] = {}
        for each in runs:
            if (known := by_seed.setdefault(each.seed, each.directory)) != each.directory:
                raise HarnessError(
                    f"{known.name} and {each.directory.name} are both of recipe {name} with seed {each.seed}: "
                    "a seed is one observation; name the one that is meant"
                )
    if len(recipes) < 2:
        raise HarnessError(f"a comparison takes runs of two recipes or more, and these are of {', '.join(recipes)}")
    for each in kept:
        if other := [name for name, value in each.sameness.items() if value != kept[0].sameness[name]]:
            raise HarnessError(
                f"{each.directory.name} and {kept[0].directory.name} differ in {' and '.join(other)}: "
                "methods are compared from one base on the same questions"
            )
    differing = ("number of sampled completions",) if len({each.completions for each in kept}) > 1 else ()
    names = list(combinations(recipes, 2))
    shared = share_alpha(alpha, len(names))
    pairs = tuple(_pair(recipes[a], recipes[b], shared, margin) for a, b in names)
    return Comparison(tuple(_row(runs) for runs in recipes.values()), pairs, alpha, differing)


def _named(runs: Sequence[Finished]) -> list[Finished]:
    """The runs, each with the name of its recipe as it was overridden; where two recipes of one name say something else
    (the file was edited), with what tells them apart."""
    said = [(run.recipe, tuple(sorted(_keys_of(run.directory)))) for run in runs]
    firsts = {key: run.directory for key, run in reversed(list(zip(said, runs, strict=True)))}
    apart = dict(zip(firsts, differences(list(firsts.values())), strict=True))
    names = {key: _variant(directory) for key, directory in firsts.items()}
    shared = {name for name, times in Counter(names.values()).items() if times > 1}
    for key, name in names.items():
        names[key] = " ".join([name, *map(str, apart[key])]) if name in shared else name
    return [replace(run, recipe=names[key]) for run, key in zip(runs, said, strict=True)]


def _variant(directory: Path) -> str:
    named, environment = NAME.fit(directory), ENVIRONMENT.fit(directory)
    return named.variant if named else environment.recipe if environment else directory.name


def _keys_of(directory: Path) -> Iterator[tuple[str, str]]:
    """The keys of a run's recipe, but for those that only ask."""
    for key, value in recipe_leaves(directory).items():
        if key not in ("description", "requires", "seeds") and not key.startswith("gate."):
            yield key, worded(value)


def write_methods(comparison: Comparison, directories: Sequence[Path]) -> None:
    """``methods.json`` in every run directory that took part."""
    for directory in directories:
        METHODS.write(directory, comparison)


def _row(runs: Sequence[Finished]) -> Row:
    several = len(runs) > 1
    gains = [_mean(list(run.gain.values())) for run in runs]
    accuracies = [_mean([run.after[question] for question in run.asked]) for run in runs]
    if several:
        spread = _t_interval(accuracies) or accuracy_interval(_over(runs, [run.after for run in runs]))
        gained = _t_interval(gains) or difference_interval(_over(runs, [run.gain for run in runs]))
    else:
        (run,) = runs
        spread = accuracy_interval([run.after[question] for question in run.asked])
        gained = difference_interval(list(run.gain.values()))
    spread = max(0.0, spread[0]), min(1.0, spread[1])
    thousands = [run.sampled_tokens / 1000 for run in runs]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    by_tokens = _ratio(gains, gained, thousands, several)
    by_seconds = _ratio(gains, gained, seconds, several)
    return Row(
        recipe=runs[0].recipe,
        method=runs[0].method,
        seeds=tuple(run.seed for run in runs),
        runs=tuple(run.directory.name for run in runs),
        unit="seeds" if several else "questions",
        before=_mean([_mean([run.before[question] for question in run.asked]) for run in runs]),
        accuracy=_mean(accuracies),
        accuracy_interval=spread,
        gain=_mean(gains),
        gain_interval=gained,
        completions=_mean([run.completions for run in runs]),
        sampled_tokens=_mean([run.sampled_tokens for run in runs]),
        seconds=_mean(seconds) if len(seconds) == len(runs) else None,
        per_thousand_tokens=by_tokens[0],
        per_thousand_tokens_interval=by_tokens[1],
        per_second=by_seconds[0],
        per_second_interval=by_seconds[1],
    )


def _ratio(
    gains: Sequence[float], interval: Interval, spent: Sequence[float], several: bool
) -> tuple[float | None, Interval | None]:
    """Gain by what was spent: what one run spent is a fact, that of several seeds varies with them."""
    if len(spent) < len(gains) or not all(spent):
        return None, None
    ratios = [gain / cost for gain, cost in zip(gains, spent, strict=True)]
    if several:
        return _mean(ratios), _t_interval(ratios)
    low, high = interval
    return ratios[0], (low / spent[0], high / spent[0])


def _pair(first: Sequence[Finished], second: Sequence[Finished], alpha: float, margin: float) -> Pair:
    """By common seeds where there are enough to speak of recipes, and else by question, over the common seeds."""
    by_seed = {run.seed: run for run in first}
    matched = [(by_seed[run.seed], run) for run in second if run.seed in by_seed] or [(first[0], second[0])]
    a, b = ([pair[side].after for pair in matched] for side in (0, 1))
    order = [question for question in first[0].order if all(question in after for after in (*a, *b))]
    means = [{question: _mean([after[question] for after in side]) for question in order} for side in (a, b)]
    differences = [means[1][question] - means[0][question] for question in order]
    unit: Unit = "seeds" if len(matched) >= FEWEST_SEEDS else "questions"
    either_way = alpha / 2  # the gates spend theirs on one direction, and a pair has two
    if unit == "seeds":
        each = [_mean([y[q] for q in order]) - _mean([x[q] for q in order]) for x, y in zip(a, b, strict=True)]
        verdict = judge_recipe(each, margin=margin, alpha=either_way)
        interval = _t_interval(each, 1 - alpha) or difference_interval(differences, 1 - alpha)
    else:
        verdict = judge_improvement(
            means[0], means[1], order, min_improvement=None, margin=margin, alpha=either_way, samples=len(matched)
        )
        interval = difference_interval(differences, 1 - alpha)
    names = first[0].recipe, second[0].recipe
    better = {"IMPROVED": names[1], "REGRESSED": names[0]}.get(verdict.verdict)
    difference = _mean(differences)
    return Pair(
        a=names[0],
        b=names[1],
        unit=unit,
        difference=difference,
        interval=interval,
        alpha=alpha,
        verdict=verdict.verdict,
        better=better,
        sentence=_sentence(names[1], difference, interval, alpha, unit, len(matched), better, verdict),
    )


def _sentence(
    b: str,
    difference: float,
    interval: Interval,
    alpha: float,
    unit: Unit,
    seeds: int,
    better: str | None,
    verdict: Verdict,
) -> str:
    found = (
        f"{b} {100 * difference:+.1f} points, {percent(1 - alpha)} interval "
        f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"
    )
    over = f"over {seeds} seeds" if unit == "seeds" else f"over questions, {seeds} seed{'s' if seeds > 1 else ''}"
    unsure = "the difference may be luck" if difference else "no difference was seen"
    said = f"{better} is better" if better else "no worse" if verdict.verdict == "OK" else unsure
    return f"{found} ({over}): {said}"


def _over(runs: Sequence[Finished], by_question: Sequence[Mapping[str, float]]) -> list[float]:
    """Means over seeds, by question."""
    asked = [question for question in runs[0].order if all(question in each for each in by_question)]
    return [_mean([each[question] for each in by_question]) for question in asked]


def _t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Student's t over seeds; ``None`` where they do not differ at all, as at 100 %: an interval of no width would
    claim a certainty that no one has."""
    return None if max(values) - min(values) < 1e-12 else t_interval(values, confidence)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
