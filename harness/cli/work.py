"""``rl-harness run``, and what every subcommand that works on a recipe needs."""

from __future__ import annotations

import argparse
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from harness.cli.look import render
from harness.cli.progress import Progress
from harness.gate.wording import reused_line
from harness.models.device import choose_device
from harness.pipeline.judge import count_gates
from harness.pipeline.run import Run, Settings, over_seeds
from harness.pipeline.watched import doubts, watched_lines
from harness.recipe import Recipe, parse_changes
from harness.recipe.catalog import find_recipe
from harness.recipe.needs import check_data, check_needs
from harness.store.errors import HarnessError, NoSignal
from harness.store.faults import stage_sentences


def run(options: argparse.Namespace) -> int:
    """Train and judge a recipe with each of its seeds, and over them; 1 where a verdict fails."""
    recipe = chosen_recipe(options)
    if "gpu" in recipe.requires and options.device is None and choose_device() == "cpu":
        raise HarnessError(
            f"recipe {recipe.name} requires a GPU and none is visible; --device cpu runs it all the same"
        )
    if options.seed:
        recipe = recipe.override({"seeds": list(dict.fromkeys(options.seed))})
    failed, refused, session = False, False, uuid.uuid4().hex
    runs: list[Run] = []
    gates = sum(count_gates(recipe, seed, options.baselines_dir) for seed in recipe.seeds)
    for seed in recipe.seeds:
        with Progress() as progress:
            made = Run(
                recipe,
                seed,
                settings(
                    options,
                    fresh=options.fresh,
                    stop_early=options.stop_early,
                    session=session,
                    announce=progress,
                    say=progress.say,
                    gates=gates,
                ),
            )
            try:
                verdicts = made.verdicts()
            except NoSignal:  # the training gate has its verdict; there is nothing to judge for the others
                verdicts = [verdict for verdict in [made.verdict("training")] if verdict is not None]
            made.audit()  # now that there is a directory to keep it in
        runs.append(made)
        for sentence in [*stage_sentences(made.directory), *doubts(made.directory)]:
            print(f"{made.id}: ! {sentence}", flush=True)
        for verdict in verdicts:
            print(f"{made.id}: {verdict.verdict:<13} {verdict.gate}: {verdict.sentence}", flush=True)
            failed = failed or verdict.passed is False
        for line in watched_lines(made.directory):
            print(f"{made.id}: {line}")
        refused = refused or not (made.directory / "train" / "summary.json").is_file()
    over = None if refused else over_seeds(runs)
    if over is not None:
        runs[-1].keep(over)
        print(f"{recipe.name}: {over.verdict:<13} {over.gate}: {over.sentence}")
        failed = failed or over.passed is False
    if reused := reused_line(sum((Counter(made.reused) for made in runs), Counter())):
        print(reused)
    render([made.directory for made in runs], options.report_dir)
    return int(failed)


def join(options: argparse.Namespace) -> int:
    """Work on the jobs of several machines that sessions elsewhere start in a shared runs directory."""
    from harness.training.join import join as work

    jobs = work(
        options.runs_dir, say=lambda text: print(text, flush=True), idle_seconds=options.idle, most=options.jobs
    )
    print(f"joined {jobs} job{'' if jobs == 1 else 's'}")
    return 0


def chosen_recipe(options: argparse.Namespace) -> Recipe:
    """The recipe that was named, with ``--set``, ``--model``, ``--nproc`` and ``--limit`` applied, and what it needs
    looked for."""
    changes: dict[str, Any] = parse_changes(options.set)
    if options.model:
        changes |= {"model.name": options.model, "model.from_recipe": None}
    if options.nproc is not None:
        changes["launch.nproc_per_node"] = options.nproc
    given = [f"--set {assignment}" for assignment in options.set]
    given += [f"--model {options.model}"] if options.model else []
    given += [] if options.nproc is None else [f"--nproc {options.nproc}"]
    recipe = find_recipe(options.recipe, Path("suites/recipes"))
    recipe = recipe.override(changes, given) if changes else recipe
    check_data(recipe, options.data, "--data")
    check_needs(recipe, data=options.data, trains=getattr(options, "trained", True), given=given)
    return recipe if options.limit is None else recipe.limited(options.limit)


def settings(options: argparse.Namespace, **more: Any) -> Settings:
    """The session's settings from the options that every such subcommand has."""
    return Settings(
        runs_dir=options.runs_dir,
        data=options.data,
        device=options.device,
        baselines_dir=options.baselines_dir,
        **more,
    )
