"""From the evaluations of a run to its verdicts, and from a recipe to what its gates can see.

``improvement`` holds the trained policy against its base, ``baseline`` against a committed evaluation, ``accuracy``
against a threshold, and ``training`` looks at the job itself. The statistics are in :mod:`harness.gate`; which stages a
gate needs is known to ``Run``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.gate.baseline import BaselineError
from harness.gate.power import Plan, discordance, expected_discordance, share_alpha
from harness.gate.sequential import stops
from harness.gate.statistics import anytime_interval, difference_interval
from harness.gate.verdicts import (
    FEWEST_SEEDS,
    judge_accuracy,
    judge_against_baseline,
    judge_improvement,
    judge_recipe,
    judge_training,
    with_faults,
    with_numbers,
)
from harness.pipeline.baselines import RecordedBaseline, find
from harness.pipeline.evaluate import EarlyStop, Evaluation
from harness.store.records import FAULTS
from harness.store.run_files import VERDICTS, TrainingSummary, Verdict, Verdicts

if TYPE_CHECKING:
    from harness.pipeline.train import Trained
    from harness.recipe import Recipe

GATES = ("improvement", "baseline", "accuracy", "training")
RECIPE = "recipe"  # the verdict about all seeds of a recipe together, kept with its last one


@dataclass(frozen=True)
class Judge:
    """What the gates of one run are held to: its recipe and seed, the test questions' ids in their ``order``, the
    ``commit`` that pairs answers with a baseline's, and how many ``gates`` of the session share alpha.

    Shares correct come by question id, and ``asked`` says how many questions they are of.
    """

    recipe: Recipe
    seed: int
    order: Sequence[str]
    commit: str
    gates: int

    def training(self, trained: Trained) -> Verdict:
        """Whether the job was sound, its reward functions included.

        Raises:
            RecordError: what training logged is not as it left it.
        """
        trained.check_logs()
        verdict = judge_training(trained.metrics, stopped=trained.summary.stopped)
        stages = (trained.directory.with_name("samples"), trained.directory)
        return with_faults(verdict, [FAULTS.read(stage) for stage in stages])

    def accuracy(self, after: Evaluation, least: float) -> Verdict:
        return judge_accuracy(list(after.means.values()), min_accuracy=least, interval=after.interval)

    def improvement(self, before: Mapping[str, float], after: Mapping[str, float], asked: int) -> Verdict:
        gate = self.recipe.gate
        return judge_improvement(
            before,
            after,
            self.order,
            min_improvement=gate.min_improvement,
            samples=self.recipe.evaluate.samples_per_question,
            asked=asked,
            **self._terms,
        )

    def with_interval(
        self, verdict: Verdict, before: Mapping[str, float], after: Mapping[str, float], asked: int
    ) -> Verdict:
        """The verdict of :meth:`improvement` with the 95 % interval of the gain, as ``numbers["interval"]``: valid at
        any time where the number of questions depended on the answers."""
        differences = [after[each] - before[each] for each in self.order[:asked] if each in before and each in after]
        if not differences:
            return verdict
        if asked == len(self.order):
            interval = difference_interval(differences)
        else:
            low, high = anytime_interval([(each + 1) / 2 for each in differences])
            interval = 2 * low - 1, 2 * high - 1
        return with_numbers(verdict, interval=list(interval))

    def baseline(self, kept: RecordedBaseline, now: Mapping[str, float], asked: int) -> Verdict:
        baseline = kept.baseline
        verdict = judge_against_baseline(
            baseline.correct,
            now,
            self.order,
            samples=baseline.samples,
            commit=self.commit,
            baseline_commit=baseline.commit,
            candidate_samples=self.recipe.evaluate.samples_per_question,
            asked=asked,
            **self._terms,
        )
        if baseline.seed == self.seed:
            return verdict
        return with_numbers(verdict, held_against_seed=baseline.seed)

    def over_seeds(self, by_seed: Sequence[float], against: str) -> Verdict:
        """``by_seed`` is each seed's difference to what it is held against."""
        terms = {key: value for key, value in self._terms.items() if key != "power"}
        return judge_recipe(by_seed, against=against, **terms)

    def early_stop(self, before: Mapping[str, float] | None, kept: RecordedBaseline | None) -> EarlyStop:
        """Where asking the trained policy may end: as soon as every sequential gate has its verdict, and where these
        pass, the threshold of the accuracy is clear of its interval. The gates are those with something to be held
        against: the base's answers, a baseline."""

        def decided(means: Mapping[str, float], asked: int) -> bool:
            verdicts = [] if before is None else [self.improvement(before, means, asked)]
            verdicts += [] if kept is None else [self.baseline(kept, means, asked)]
            if any(verdict.verdict == "INCONCLUSIVE" for verdict in verdicts):
                return False
            return not all(verdict.passed for verdict in verdicts) or self._accuracy_settled(means, asked)

        return EarlyStop(stops(len(self.order), margin=self.recipe.gate.margin), decided)

    def _accuracy_settled(self, means: Mapping[str, float], asked: int) -> bool:
        """Whether ``min_accuracy`` lies outside of the interval that an evaluation would have which ended here."""
        least = self.recipe.gate.min_accuracy
        if least is None:
            return True
        low, high = anytime_interval([means[each] for each in self.order[:asked] if each in means])
        return not low < least <= high

    @property
    def _terms(self) -> dict[str, Any]:
        gate = self.recipe.gate
        alpha = share_alpha(gate.alpha, self.gates)
        return {"margin": gate.margin, "alpha": alpha, "gates": self.gates, "power": gate.power}


def selected(verdict: Verdict, training: TrainingSummary | None) -> Verdict:
    """A checkpoint that was chosen among several is a selection, and every claim about it says so."""
    chosen = training and training.selected
    return with_numbers(verdict, selected=chosen.to_json()) if chosen else verdict


def write_verdicts(
    directory: Path, recipe: Recipe, seed: int, session: str, judged: Mapping[str, Verdict], *, outdated: bool = False
) -> None:
    """Put what was said of a run into its ``verdicts.json``, in place of what was said of the same gates earlier.

    A verdict that is not of :data:`GATES` is a test's own, and stays as long as sessions run that test. ``outdated``
    says that what earlier sessions judged is no more: of their verdicts none stays.
    """
    asked, known, shared = recipe.gate.model_dump(mode="json"), VERDICTS.fit(directory), (*GATES, RECIPE)
    # What was said when the gate asked for something else no longer holds.
    earlier = known.verdicts if known and known.asked == asked else ()
    stay = () if outdated else shared
    kept = {each.gate: each for each in earlier if each.gate in stay or each.session == session}
    kept |= {gate: replace(verdict, session=session) for gate, verdict in judged.items()}
    ordered = [kept[gate] for gate in (*shared, *sorted(kept.keys() - {*shared})) if gate in kept]
    VERDICTS.write(directory, Verdicts(recipe.name, seed, asked, tuple(ordered)))


def count_gates(recipe: Recipe, seed: int, baselines_dir: Path | None) -> int:
    """Gates of one run, which share alpha: improvement, baseline where there is one, and with the last of enough seeds
    the recipe's."""
    over_seeds = seed == recipe.seeds[-1] and len(recipe.seeds) >= FEWEST_SEEDS
    try:
        return 1 + over_seeds + (find(baselines_dir, recipe.name, seed) is not None)
    except BaselineError:
        return 1 + over_seeds


def plans(
    recipe: Recipe, seed: int, baselines_dir: Path | None, gates: int, *, to_come: bool = False
) -> dict[str, Plan]:
    """What each sequential gate that is asked for can see. ``gates`` of them share the recipe's alpha.

    The improvement gate is planned where the recipe sets ``min_improvement``, the baseline gate where there is a
    baseline, and ``to_come`` before: one more gate that shares alpha then.
    """
    asked, n = recipe.gate, recipe.task.test_questions
    alpha = share_alpha(asked.alpha, gates)
    made = {}
    if asked.min_improvement:
        expected = expected_discordance(0.0, asked.min_improvement)
        made["improvement"] = Plan(
            n,
            discordance=expected,
            margin=asked.min_improvement,
            alpha=alpha,
            power=asked.power,
            effect="gain",
        )
    try:
        kept = find(baselines_dir, recipe.name, seed)
    except BaselineError:
        kept = None
    if kept is not None:
        own = discordance(list(kept.baseline.correct.values()), kept.baseline.samples)
        made["baseline"] = Plan(
            min(n, len(kept.baseline.correct)),
            discordance=expected_discordance(own, asked.margin),
            margin=asked.margin,
            alpha=alpha,
            power=asked.power,
        )
    elif to_come:
        made["baseline"] = Plan(
            n,
            discordance=expected_discordance(0.0, asked.margin),
            margin=asked.margin,
            alpha=share_alpha(asked.alpha, gates + 1),
            power=asked.power,
        )
    return made
