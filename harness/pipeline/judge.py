"""From the evaluations of a run to its verdicts, and from a recipe to what its gates can see.

``improvement`` holds the trained policy against its base, ``baseline`` against a committed evaluation, ``accuracy``
against a threshold, and ``training`` looks at the job itself. The statistics are in :mod:`harness.gate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.gate.against_baseline import judge_against_baseline
from harness.gate.baseline import BaselineError, differences
from harness.gate.confidence import anytime_interval
from harness.gate.plan import Plan, discordance, expected_discordance, share_alpha
from harness.gate.plan import plan as plan_gate
from harness.gate.seeds import FEWEST, judge_recipe
from harness.gate.sequential import stops
from harness.gate.ungraded import with_faults, with_ungraded
from harness.gate.verdicts import Verdict, judge_accuracy, judge_improvement, judge_training
from harness.gate.wording import counted, percent
from harness.pipeline.baselines import RecordedBaseline, find, is_recorded, record, run_as_baseline
from harness.pipeline.evaluate import EarlyStop
from harness.pipeline.manifest import keep_held_against
from harness.store.errors import HarnessError, NoSignal, nearest
from harness.store.faults import FILE as FAULTS
from harness.store.run_directory import read_json, write_json

if TYPE_CHECKING:
    from harness.pipeline.run import Run
    from harness.recipe import Recipe

GATES = ("improvement", "baseline", "accuracy", "training")
RECIPE = "recipe"  # the verdict about all seeds of a recipe together, kept with its last one


def judge(run: Run, gate: str) -> Verdict | None:
    """The verdict of one of :data:`GATES`, after the stages it needs; ``None`` where nothing is asked of it.

    Raises:
        HarnessError: there is no such gate, or a stage that it needs cannot be made.
    """
    if gate not in GATES:
        raise HarnessError(f"there is no gate named {gate!r}; {nearest(gate, [*GATES, RECIPE])}")
    verdict = _selected(run, _judged(run, gate))
    if verdict is None or not verdict.passed or gate == "training":
        return verdict
    if gate == "improvement":
        verdict = with_ungraded(verdict, run.before().summary, " of the base model")
    return with_ungraded(verdict, run.after().summary)


def keep_verdicts(run: Run) -> None:
    """Put what was said of a run into its ``verdicts.json``, in place of what was said of the same gates earlier.

    A verdict that is not of :data:`GATES` is a test's own, and stays as long as sessions run that test.
    """
    path = run.directory / "verdicts.json"
    asked, known = run.recipe.gate.model_dump(), read_json(path) or {}
    # What was said when the gate asked for something else no longer holds.
    kept = {each["gate"]: each for each in known.get("verdicts", []) if known.get("asked") == asked}
    shared, session = (*GATES, RECIPE), run.settings.session
    kept = {gate: each for gate, each in kept.items() if gate in shared or each.get("session") == session}
    for gate, verdict in run.judged.items():
        kept[gate] = verdict.to_json() | ({} if gate in shared else {"session": session})
    ordered = [kept[gate] for gate in (*shared, *sorted(kept.keys() - {*shared})) if gate in kept]
    own = {"format": 1, "recipe": run.recipe.name, "seed": run.seed, "asked": asked}
    write_json(path, {**own, "verdicts": ordered})


def _selected(run: Run, verdict: Verdict | None) -> Verdict | None:
    """A checkpoint that was chosen among several is a selection, and every claim about it says so."""
    if verdict is None or not run.recipe.evaluate.keep_best:
        return verdict
    summary = read_json(run.directory / "train" / "summary.json") or {}
    selected = summary.get("selected")
    if selected is None:
        return verdict
    sentence = f"{verdict.sentence}; {selected['sentence']}"
    return Verdict(verdict.gate, verdict.verdict, sentence, {**verdict.numbers, "selected": selected})


def _judged(run: Run, gate: str) -> Verdict | None:
    if gate == "training":
        try:
            trained = run.trained()
        except NoSignal as refusal:
            return Verdict("training", "UNSOUND", str(refusal))
        verdict = judge_training(trained.metrics, stopped=trained.summary.get("stopped"))
        stages = (trained.directory.with_name("samples"), trained.directory)
        return with_faults(verdict, [read_json(stage / FAULTS) for stage in stages])
    if gate == "accuracy":
        asked = run.recipe.gate.min_accuracy
        if asked is None:
            return None
        after = run.after()
        return judge_accuracy(list(after.means.values()), min_accuracy=asked, interval=after.interval)
    if gate == "improvement":
        run.trained()
        run.before()
        after = run.after()
        return _improvement(run, after.means, int(after.summary["questions"]))
    # What was written just now is no bar for the run that it was written of.
    return run.recorded or _baseline(run)


def early_stop(run: Run) -> EarlyStop:
    """Where asking a run's trained policy may end: as soon as every sequential gate has its verdict, and where
    these pass, the threshold of the accuracy is clear of its interval. With a baseline to be held against, the
    improvement gate is among them once its base was asked; who asks for it later has more questions asked."""
    baseline = _usable_baseline(run)
    if not isinstance(baseline, RecordedBaseline):
        run.before()  # what the answers are held against is there before the first look
    return EarlyStop(
        stops(len(run.questions.test), margin=run.recipe.gate.margin),
        lambda means, asked: _decided(run, baseline, means, asked),
    )


def over_seeds(runs: Sequence[Run]) -> Verdict | None:
    """The recipe over its training seeds, each one observation; ``None`` for a single seed.

    Seeds are held against the baseline where all of them can be, and else against the base model.
    """
    if len(runs) < 2:
        return None
    sides = {"baseline": ("baseline", "now", "the baseline"), "improvement": ("before", "after", "the base model")}
    for gate, (first, second, against) in sides.items():
        verdicts = [run.verdict(gate) for run in runs]
        numbers = [verdict.numbers for verdict in verdicts if verdict is not None]
        if len(numbers) == len(runs) and all(second in each and each.get("pairs") for each in numbers):
            by_seed = [each[second] - each[first] for each in numbers]
            section, gates = runs[0].recipe.gate, runs[0].settings.gates
            alpha = share_alpha(section.alpha, gates)
            verdict = judge_recipe(by_seed, margin=section.margin, alpha=alpha, gates=gates, against=against)
            for run in runs:
                if gate == "improvement":
                    verdict = with_ungraded(verdict, run.before().summary, f" of the base model with seed {run.seed}")
                verdict = with_ungraded(verdict, run.after().summary, f" of seed {run.seed}")
            return verdict
    return Verdict("recipe", "INCONCLUSIVE", f"not all {len(runs)} seeds have a verdict to speak of")


def count_gates(recipe: Recipe, seed: int, baselines_dir: Path | None) -> int:
    """Gates of one run, which share alpha: improvement, baseline where there is one, and with the last of enough seeds
    the recipe's."""
    over_seeds = seed == recipe.seeds[-1] and len(recipe.seeds) >= FEWEST
    try:
        return 1 + over_seeds + (find(baselines_dir, recipe.name, seed) is not None)
    except BaselineError:
        return 1 + over_seeds


def plans(recipe: Recipe, seed: int, baselines_dir: Path | None, gates: int) -> dict[str, Plan]:
    """What each sequential gate that is asked for can see. ``gates`` of them share the recipe's alpha.

    The improvement gate is planned where the recipe sets ``min_improvement``, the baseline gate where there is a
    baseline.
    """
    asked, n = recipe.gate, recipe.task.test_questions
    alpha = share_alpha(asked.alpha, gates)
    made = {}
    if asked.min_improvement:
        expected = expected_discordance(0.0, asked.min_improvement)
        made["improvement"] = plan_gate(
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
        made["baseline"] = plan_gate(
            min(n, len(kept.baseline.correct)),
            discordance=expected_discordance(own, asked.margin),
            margin=asked.margin,
            alpha=alpha,
            power=asked.power,
        )
    return made


def _improvement(run: Run, means: Mapping[str, float], asked: int) -> Verdict:
    gate = run.recipe.gate
    return judge_improvement(
        run.before().means,
        means,
        [question.id for question in run.questions.test],
        min_improvement=gate.min_improvement,
        margin=gate.margin,
        alpha=share_alpha(gate.alpha, run.settings.gates),
        gates=run.settings.gates,
        asked=asked,
        samples=run.recipe.evaluate.samples_per_question,
        power=gate.power,
    )


def _decided(run: Run, baseline: RecordedBaseline | Verdict, means: Mapping[str, float], asked: int) -> bool:
    verdicts = [_improvement(run, means, asked)] if run.has_before else []
    if isinstance(baseline, RecordedBaseline):
        verdicts.append(_against(run, baseline, means, asked))
    if any(verdict.verdict == "INCONCLUSIVE" for verdict in verdicts):
        return False
    return not all(verdict.passed for verdict in verdicts) or _accuracy_settled(run, means, asked)


def _accuracy_settled(run: Run, means: Mapping[str, float], asked: int) -> bool:
    """Whether ``min_accuracy`` lies outside of the interval that an evaluation would have which ended here."""
    least = run.recipe.gate.min_accuracy
    if least is None:
        return True
    low, high = anytime_interval([means[each.id] for each in run.questions.test[:asked] if each.id in means])
    return not low < least <= high


def _baseline(run: Run) -> Verdict:
    settings = run.settings
    if is_recorded(settings.baselines_dir, run.recipe.name, run.seed, settings.update):
        return _recorded(run)
    kept = _usable_baseline(run, keep=True)
    if isinstance(kept, Verdict):
        return kept
    after = run.after()
    return _against(run, kept, after.means, int(after.summary["questions"]))


def _recorded(run: Run) -> Verdict:
    try:
        path, recorded = record(run)
    except HarnessError as error:
        # What an earlier session said is not why this one recorded none.
        why = (str(error).splitlines() or [type(error).__name__])[0]
        refused = Verdict("baseline", "NO_BASELINE", f"none was recorded: {why}")
        if run.opened:
            run.keep(refused)
        else:  # nor is it worth fetching or training a model; the next verdict takes it along
            run.judged["baseline"] = refused
        raise
    keep_held_against(run.directory, None)
    found = f"{percent(recorded.accuracy)} of {counted(len(recorded.correct), 'question')}"
    recipe, folder = run.recipe, path.parent
    gates = sum(count_gates(recipe, seed, folder) for seed in recipe.seeds)
    planned = plans(recipe, run.seed, folder, gates)["baseline"]
    sentence = f"recorded {found} in {path}; commit it to gate on it; {planned.sentence}"
    run.recorded = Verdict("baseline", "NO_BASELINE", sentence, {"recorded": True})
    return run.recorded


def _usable_baseline(run: Run, *, keep: bool = False) -> RecordedBaseline | Verdict:
    """The baseline that this run can be held against, or the verdict that says why there is none.

    ``keep`` leaves word of it in the run directory, comparable or not.
    """
    recipe, settings = run.recipe, run.settings
    try:
        kept = find(settings.baselines_dir, recipe.name, run.seed)
    except BaselineError as error:
        return Verdict("baseline", "INCOMPARABLE", str(error))
    if keep:
        keep_held_against(run.directory, kept)
    if kept is None:
        where = f" in {settings.baselines_dir}" if settings.baselines_dir else ""
        return Verdict("baseline", "NO_BASELINE", f"none is recorded{where}; --rl-update-baselines new records one")
    changed = differences(kept.baseline, run_as_baseline(run, {}, 1))
    if changed:
        sentence = f"this run differs from {kept.path.name} in {' and '.join(changed)}"
        return Verdict("baseline", "INCOMPARABLE", sentence, {"changed": changed})
    return kept


def _against(run: Run, kept: RecordedBaseline, means: Mapping[str, float], asked: int) -> Verdict:
    gate, baseline = run.recipe.gate, kept.baseline
    verdict = judge_against_baseline(
        baseline.correct,
        means,
        [question.id for question in run.questions.test],
        samples=baseline.samples,
        commit=run.commit,
        baseline_commit=baseline.commit,
        margin=gate.margin,
        alpha=share_alpha(gate.alpha, run.settings.gates),
        gates=run.settings.gates,
        candidate_samples=run.recipe.evaluate.samples_per_question,
        asked=asked,
        power=gate.power,
    )
    whose = "" if baseline.seed == run.seed else f" (held against seed {baseline.seed}'s checkpoint)"
    return Verdict("baseline", verdict.verdict, verdict.sentence + whose, verdict.numbers)
