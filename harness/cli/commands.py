"""What each subcommand does: a function of the parsed options that returns the exit code.

Nothing at the top imports torch; what draws pages and compares methods is imported where it is called.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cli.init import init as init
from harness.cli.terminal import Progress
from harness.models.device import choose_device
from harness.pipeline.compare import called, compared
from harness.pipeline.gate_check import check_gate
from harness.pipeline.judge import count_gates
from harness.pipeline.naming import check_sweep, run_name
from harness.pipeline.plan import gate_lines, kept_lines, plan_lines, requires_gpu
from harness.pipeline.regrade import regraded
from harness.pipeline.remarks import doubts, remarks
from harness.pipeline.run import Run, over_seeds
from harness.pipeline.settings import Settings
from harness.recipe import Recipe, parse_changes, sweep
from harness.recipe.catalog import find_recipe, recipe_files
from harness.recipe.needs import check_data, check_needs, look_beside
from harness.rewards import SHIPPED, Rewards, resolve_reward
from harness.rewards.audit import audit_rewards
from harness.rewards.registry import check_parameters
from harness.store.audit import FAMILIES, Audit
from harness.store.errors import HarnessError, NoSignal
from harness.store.faults import stage_sentences
from harness.store.run_directory import own_folder, run_directories
from harness.store.run_files import TRAINED, Verdict
from harness.store.siblings import find_run
from harness.store.words import percent, reused_line

NEEDS = {"gpu": "requires a GPU", "request": "runs when asked for by name"}  # the words of [requires]
# What a shipped function that needs parameters is tried with, where no recipe gives them.
EXAMPLES = {"length_penalty": {"max_tokens": 400, "soft_tokens": 100}}
_SHOWN = 12


def run(options: argparse.Namespace) -> int:
    """Train and judge a recipe with each of its seeds, and over them; 1 where a verdict fails."""
    recipes = chosen_recipes(options)
    if "gpu" in recipes[0].requires and options.device is None and choose_device() == "cpu":
        raise HarnessError(requires_gpu(recipes[0], "and none is visible", options="--"))
    if options.seed:
        recipes = [recipe.override({"seeds": list(dict.fromkeys(options.seed))}) for recipe in recipes]
    session, gates = uuid.uuid4().hex, sum(count_gates(*each, options.baselines_dir) for each in with_seeds(recipes))
    shared = {"fresh": options.fresh, "stop_early": options.stop_early, "name": options.name}
    shared |= {"session": session, "gates": gates}
    runs: list[Run] = []
    failed = False
    for recipe in recipes:
        made = [_run_one(recipe, seed, options, shared) for seed in recipe.seeds]
        refused = any(TRAINED.read(run.directory / "train") is None for run in made)
        if (over := None if refused else over_seeds(made)) is not None:
            made[-1].keep(over)
            print(f"{made[-1].variant}: {over.verdict:<13} {over.gate}: {over.sentence}")
        failed = failed or any(each.passed is False for run in made for each in run.judged.values())
        runs += made
    if reused := reused_line(sum((Counter(made.reused) for made in runs), Counter())):
        print(reused)
    render([made.directory for made in runs], options.report_dir)
    return int(failed)


def _run_one(recipe: Recipe, seed: int, options: argparse.Namespace, shared: Mapping[str, Any]) -> Run:
    """Train and judge with one seed, and print what there is to say of it."""
    with Progress() as progress:
        made = Run(recipe, seed, settings(options, announce=progress, say=progress.say, **shared))
        try:
            verdicts = made.verdicts()
        except NoSignal:  # the training gate has its verdict; there is nothing to judge for the others
            verdicts = [verdict for verdict in [made.verdict("training")] if verdict is not None]
        made.audit()  # now that there is a directory to keep it in
    for sentence in [*stage_sentences(made.directory), *doubts(made.directory)]:
        print(f"{made.id}: ! {sentence}", flush=True)
    for verdict in verdicts:
        print(f"{made.id}: {verdict.verdict:<13} {verdict.gate}: {verdict.sentence}", flush=True)
    for _, line in remarks(made.directory):
        print(f"{made.id}: {line}")
    return made


def chosen_recipes(options: argparse.Namespace) -> list[Recipe]:
    """The recipe that was named, with ``--set``, ``--model``, ``--nproc`` and ``--limit`` applied, and what it needs
    looked for; several where a key is given several values."""
    changes: dict[str, Any] = parse_changes(options.set)
    if options.model:
        changes |= {"model.name": options.model, "model.from_recipe": None}
    if options.nproc is not None:
        changes["launch.nproc_per_node"] = options.nproc
    given = [f"--set {assignment}" for assignment in options.set]
    given += [f"--model {options.model}"] if options.model else []
    given += [] if options.nproc is None else [f"--nproc {options.nproc}"]
    recipes = sweep(find_recipe(options.recipe, options.recipes_dir), changes, given)
    check_sweep(recipes, records=False)
    recipes = recipes if options.limit is None else [recipe.limited(options.limit) for recipe in recipes]
    check_data(recipes[0], options.data, "--data")
    for recipe in recipes:
        check_needs(recipe, data=options.data, trains=getattr(options, "trained", True), given=given)
    return recipes


def with_seeds(recipes: Sequence[Recipe]) -> list[tuple[Recipe, int]]:
    return [(recipe, seed) for recipe in recipes for seed in recipe.seeds]


def settings(options: argparse.Namespace, **more: Any) -> Settings:
    """The session's settings from the options that every such subcommand has."""
    return Settings(
        runs_dir=options.runs_dir,
        data=options.data,
        device=options.device,
        baselines_dir=options.baselines_dir,
        **more,
    )


def compare(options: argparse.Namespace) -> int:
    """Hold B's latest evaluation against A's; 1 where it REGRESSED or the two cannot be compared."""
    sides = _side(options.a, options.runs_dir), _side(options.b, options.runs_dir)
    verdict = compared(*sides, alpha=options.alpha, margin=options.margin)
    if verdict.verdict == "INCOMPARABLE":
        print(f"INCOMPARABLE  {verdict.sentence}")
    else:
        print(f"{verdict.verdict}  {' → '.join(called(*sides))}: {verdict.sentence}")
    if options.html:
        _draw_comparison(sides, verdict, options.report_dir)
    return int(verdict.passed is False)


def _side(word: str, runs_dir: Path) -> Path:
    return Path(word) if Path(word).is_file() else find_run(word, runs_dir)


def _draw_comparison(sides: tuple[Path, Path], verdict: Verdict, folder: Path) -> None:
    """The page of both runs' answers; a file of a baseline has none, which changes nothing about the verdict."""
    from harness.report.render import render_comparison

    files = [path for path in sides if path.is_file()]
    if files:
        print(f"no page: {files[0]} is a baseline file and keeps no texts; --html needs two run directories")
        return
    try:
        page = render_comparison(*sides, verdict, folder)
    except OSError as error:
        raise HarnessError(f"{folder}: the page cannot be written ({error}); choose another --report-dir") from None
    print(f"page: {page}")


def plan(options: argparse.Namespace) -> int:
    """What a recipe would cost and what its gates can see."""
    recipes = chosen_recipes(options)
    gates = sum(count_gates(*each, options.baselines_dir) for each in with_seeds(recipes))
    for recipe in recipes:
        print(f"{run_name(recipe, recipe.seeds[0]).variant}: {recipe.description}")
        for line in plan_lines(recipe, options.data):
            print(f"  {line}")
        for seed in recipe.seeds:
            kept = kept_lines(recipe, seed, options.runs_dir)
            for line in (*kept, *gate_lines(recipe, seed, options.baselines_dir, gates)):
                print(f"  seed {seed}, {line}")
    return 0


def gate_check(options: argparse.Namespace) -> int:
    """Answers of one policy, held against its own baseline with a new seed each time; every REGRESSED is a false alarm.

    Always 0: with few runs, a count above ``alpha`` may be luck, so the rates are for a person to read.
    """
    recipe, *others = chosen_recipes(options)
    if others:
        raise HarnessError(f"{', '.join(recipe.swept)}: one policy is asked again and again; give one value")
    if not options.trained:  # without a training, this is no run that anyone wants listed
        own_folder(options.runs_dir)
        options.runs_dir = options.runs_dir / ".gate-check"
    with Progress() as progress:
        run = Run(recipe, None, settings(options, session=uuid.uuid4().hex, announce=progress, say=progress.say))
        found = check_gate(run, options.runs, temperature=options.temperature, trained=options.trained)
    whose = "the trained policy" if options.trained else "the base policy"
    print(
        f"{recipe.name}: {whose}, {percent(found.accuracy)} right at temperature {found.temperature:g}, "
        f"asked {options.runs} times with new seeds"
    )
    for word in sorted(found.words):
        print(f"  {word:<13} {found.words[word]:>4}  {percent(found.words[word] / options.runs)}")
    print(
        f"false alarms: {found.words['REGRESSED']} of {options.runs} (at most {percent(recipe.gate.alpha)} are "
        f"expected); {found.asked:.0f} of {found.questions} questions decided on average"
    )
    if found.words["INCONCLUSIVE"] > options.runs / 2:
        print(f"{found.questions} questions seldom decide: rl-harness plan {options.recipe} says how many would")
    return 0


def regrade(options: argparse.Namespace) -> int:
    """Which kept grades would change under today's graders; ``--write`` keeps the new ones."""
    for each in regraded(find_run(options.run, options.runs_dir), write=options.write):
        right = f"{percent(each.before)} → {percent(each.after)}"
        print(f"{each.stage}: {len(each.changed)} of {each.answers} grades change, {right}")
        for old, new in each.changed[:20]:
            print(f"  {old.question_id} sample {old.sample}: {old.status} → {new.status}, reads {new.extracted!r}")
        if len(each.changed) > 20:
            print(f"  and {len(each.changed) - 20} more")
        for sentence in each.faults:
            print(f"  {sentence}")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Audit a recipe's rewards or one reward function; 1 where something is wrongly paid or refused."""
    made = _audit(options)
    if options.json:
        print(*json.dumps({**made.to_json(), "findings": made.findings}, indent=2).splitlines(), sep="\n")
    else:
        print(*_audit_lines(made), sep="\n")
    return int(bool(made.findings))


def _audit(options: argparse.Namespace) -> Audit:
    target: str = options.target
    if target in SHIPPED or (":" in target and not target.endswith(".toml")):
        look_beside(None)
        example = EXAMPLES.get(target, {})
        check_parameters(target, resolve_reward(target), example, shipped=target in SHIPPED)
        return audit_rewards(Rewards({target: 1.0}, {target: example} if example else {}))
    recipe = find_recipe(target, options.recipes_dir)
    if options.set:
        recipe = recipe.override(parse_changes(options.set), [f"--set {each}" for each in options.set])
    if options.limit is not None:
        recipe = recipe.limited(options.limit)
    check_data(recipe, options.data, "--data")
    run = Run(recipe, None, Settings(data=options.data))
    return audit_rewards(recipe.rewards, (*run.questions.train, *run.questions.test))


def _audit_lines(made: Audit) -> list[str]:
    lines = []
    for each in made.rewards:
        held = "held to nothing" if each.promise == "free" else f"promises {each.promise}"
        lines.append(
            f"{each.name} (weight {made.weights[each.name]:g}, {held}, reads {each.form}): {len(each.cases)} cases"
        )
        counts = each.counts()
        if each.promise != "free":
            lines += [f"  {family:<11} {counts[family][0]} of {counts[family][1]} as promised" for family in FAMILIES]
        same = "the same" if each.deterministic else "NOT the same"
        lines.append(
            f"  {each.seconds_per_completion * 1e6:,.0f} microseconds a completion, at most "
            f"{each.slowest_seconds:.2f} s ({each.slowest}); {same} twice, shuffled and one by one"
        )
    for gold in made.golds:
        accepted, one_more = gold.questions - len(gold.refused), len(gold.accepted_one_more)
        lines.append(
            f"{gold.name} accepts {accepted} of {gold.questions} gold answers of the task, "
            f"and {one_more} of {gold.numbers} that are one more"
        )
    right, wrong, nothing = map(_paid, (made.right, made.wrong, made.nothing))
    lines.append(f"in all: a right answer gets {right}, a wrong one {wrong}, none {nothing}")
    hacks = made.hacks_paid()
    lines.append(f"hacks paid more than a wrong answer: {len(hacks)}")
    lines += [f"  {_paid(each.total):>6}  {each.name}" for each in hacks[:_SHOWN]]
    if len(hacks) > _SHOWN:
        lines.append(f"  and {len(hacks) - _SHOWN} more")
    lines.append(f"strict and flexible grading disagree on {len(made.disagreements)} cases")
    lines += [f"FAULT  {finding}" for finding in made.findings]
    return lines


def _paid(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3g}"


def report(options: argparse.Namespace) -> int:
    """Draw the report again from run directories."""
    render([find_run(word, options.runs_dir) for word in options.runs], options.report_dir)
    return 0


def history(options: argparse.Namespace) -> int:
    """Draw the history of all runs in a folder, and the pages of those runs that have none or an old one."""
    from harness.report.history import render_history

    folder: Path = options.runs_dir
    if not folder.is_dir():
        raise HarnessError(f"{folder}: no such folder; pytest suites/ makes rl-runs, or name another")
    if not run_directories(folder):
        raise HarnessError(
            f"{folder}: no run directories; give the folder that holds them, as in rl-harness history rl-runs"
        )
    try:
        with Progress() as progress:
            page = render_history(
                folder,
                options.report_dir,
                run_pages=not options.no_run_pages,
                told=lambda name: progress("history", f"drawing {name}"),
            )
    except OSError as error:
        where = options.report_dir
        raise HarnessError(f"{where}: the history cannot be written ({error}); choose another --report-dir") from None
    print(f"history: {page}")
    return 0


def methods(options: argparse.Namespace) -> int:
    """The table of methods from finished runs: accuracy, what it cost, and every pair on the same questions."""
    from harness.pipeline.methods import compare_methods

    runs = [find_run(word, options.runs_dir) for word in options.runs]
    print(*compare_methods(runs, alpha=options.alpha).lines(), sep="\n")
    return 0


def recipes(options: argparse.Namespace) -> int:
    """One line a recipe."""
    for name in recipe_files(options.recipes_dir):
        recipe = find_recipe(name, options.recipes_dir)
        needs = "".join(f" ({NEEDS[each]})" for each in recipe.requires)
        print(f"{name}{needs}: {recipe.description}")
    return 0


def render(directories: Sequence[Path], folder: Path) -> None:
    """Write the report and say where it is."""
    from harness.report.render import render_session

    try:
        page = render_session(directories, folder)
    except OSError as error:
        raise HarnessError(f"{folder}: the report cannot be written ({error}); choose another --report-dir") from None
    print(f"report: {page}")
