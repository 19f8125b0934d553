"""``rl-harness``: the same work without pytest.

rl-harness run tiny-arithmetic
rl-harness recipes
rl-harness report rl-runs/tiny-arithmetic-0-*
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.errors import HarnessError


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit code is 0, 1 for a verdict that fails, 2 for a mistake of the user's."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except HarnessError as error:
        print(f"rl-harness: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rl-harness", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="train and judge one recipe, and write its report")
    run.add_argument("recipe", help="a shipped recipe's name or a .toml file")
    run.add_argument("--seed", type=int, action="append", help="training seed (repeatable; default: the recipe's)")
    run.add_argument("--model", help="a Hub id, a folder, a .gguf file or 'tiny' instead of the recipe's model")
    run.add_argument("--data", type=Path, help="a folder or JSONL file to read instead of the Hub")
    run.add_argument("--limit", type=int, help="at most N training and N test questions")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's key")
    run.add_argument("--device", help="cpu, cuda or mps")
    run.add_argument("--runs-dir", type=Path, default=Path("rl-runs"), help="default: %(default)s")
    run.add_argument("--report-dir", type=Path, default=Path("rl-report"), help="default: %(default)s")
    run.add_argument("--fresh", action="store_true", help="use nothing kept from earlier runs")
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="draw the report of run directories")
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run directory")
    report.add_argument("--report-dir", type=Path, default=Path("rl-report"), help="default: %(default)s")
    report.set_defaults(command=_report)

    recipes = commands.add_parser("recipes", help="list the recipes")
    recipes.add_argument("--recipes-dir", type=Path, default=Path("suites/recipes"), help="default: %(default)s")
    recipes.set_defaults(command=_recipes)
    return parser


def _run(options: argparse.Namespace) -> int:
    from harness.catalog import find_recipe
    from harness.pipeline import Run, Settings
    from harness.recipe import parse_changes
    from reports import render_session

    changes: dict[str, Any] = parse_changes(options.set)
    if options.model:
        changes["model.name"] = options.model
    recipe = find_recipe(options.recipe, Path("suites/recipes"))
    recipe = recipe.override(changes) if changes else recipe
    recipe = recipe if options.limit is None else recipe.limited(options.limit)
    settings = Settings(
        runs_dir=options.runs_dir,
        data=options.data,
        device=options.device,
        fresh=options.fresh,
        announce=lambda stage, text: (
            print(f"\r\x1b[K{stage}: {text}", end="", file=sys.stderr, flush=True) if sys.stderr.isatty() else None
        ),
    )
    failed, directories = False, []
    for seed in options.seed or recipe.seeds:
        run = Run(recipe, seed, settings)
        directories.append(run.directory)
        verdicts = run.verdicts()
        if sys.stderr.isatty():
            print(file=sys.stderr)
        for verdict in verdicts:
            print(f"{run.id}: {verdict.verdict:<13} {verdict.gate}: {verdict.sentence}")
            failed = failed or verdict.passed is False
    print(f"report: {render_session(directories, options.report_dir)}")
    return int(failed)


def _report(options: argparse.Namespace) -> int:
    from reports import render_session

    for run in options.runs:
        if not (run / "environment.json").is_file():
            raise HarnessError(f"{run}: not a run directory (it has no environment.json)")
    print(f"report: {render_session(options.runs, options.report_dir)}")
    return 0


def _recipes(options: argparse.Namespace) -> int:
    from harness.catalog import find_recipe, recipe_files

    for name in recipe_files(options.recipes_dir):
        recipe = find_recipe(name, options.recipes_dir)
        needs = f" (requires {', '.join(recipe.requires)})" if recipe.requires else ""
        print(f"{name}{needs}: {recipe.description}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
