"""``rl-harness``: the same work without pytest.

    rl-harness run tiny-arithmetic
    rl-harness compare tiny-arithmetic "tiny-arithmetic lr=2e-6"
    rl-harness report rl-runs/*

Each subcommand is a function of the parsed options that returns the exit code: 0, 1 for a verdict that fails, 2 for a
mistake of the user's. Nothing is decided here, and nothing here knows pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import traceback
from pathlib import Path

from harness import __version__
from harness.cli.project import find_project, near
from harness.cli.terminal import SafeErrors, SafeOutput
from harness.store.errors import HarnessError
from harness.store.redact import safe_text

RUN = "a run: its name, the beginning of one, or the path of its directory"


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # nothing that a locale cannot show may end the work
            stream.reconfigure(errors="backslashreplace")
    with contextlib.redirect_stderr(SafeErrors(sys.stderr)):
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
        with contextlib.redirect_stdout(SafeOutput(sys.stdout)):
            commands = importlib.import_module(f"harness.cli.{options.module}")  # --help has no need of it
            code = int(getattr(commands, options.command)(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except HarnessError as error:
        print(f"rl-harness: {error}", file=sys.stderr)
        return 2
    except Exception:
        print(safe_text(traceback.format_exc()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rl-harness", description="Post-training recipes without pytest: run, judge, compare, report."
    )
    parser.add_argument("--version", action="version", version=f"rl-harness {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str, module: str = "commands") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=name.replace("-", "_"), module=module)
        return added

    init = command("init", "write a recipe, questions, a suite and a workflow into a repository")
    init.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: this folder")

    run = command("run", "train and judge one recipe, and write its report")
    _add_recipe(run)
    run.add_argument("--seed", type=_seed, action="append", help="training seed (repeatable; default: the recipe's)")
    run.add_argument("--fresh", action="store_true", help="use nothing kept from earlier runs")
    run.add_argument("--name", help="what to call the run; default: the recipe and what was overridden in it")
    run.add_argument("--stop-early", action="store_true", help="end generation as soon as every gate has its verdict")
    _add_folder(run, "--report-dir", "rl-report")

    compare = command("compare", "hold B against A; 1 where B REGRESSED or they cannot be compared")
    for name in ("a", "b"):
        compare.add_argument(name, metavar=name.upper(), help="a run or a baseline file")
    _add_folder(compare, "--runs-dir", "rl-runs")
    compare.add_argument("--margin", type=_share, help="largest drop that may go unseen (default: B's recipe's)")
    compare.add_argument("--alpha", type=_share, default=0.05, help="chance of a false alarm (%(default)s)")
    compare.add_argument("--html", action="store_true", help="draw a page of both runs' answers side by side too")
    _add_folder(compare, "--report-dir", "rl-report")

    plan = command("plan", "say what a recipe costs and what its gates can see; run nothing")
    _add_recipe(plan)

    check = command("gate-check", "ask one policy again and again and count the gate's alarms")
    _add_recipe(check)
    check.add_argument("--runs", type=int, default=20, help="how often (%(default)s)")
    check.add_argument("--temperature", type=_temperature, help="default: the recipe's, or 1.0 where it is greedy")
    check.add_argument("--trained", action="store_true", help="ask the trained policy instead of its base")

    audit = command("audit", "try reward functions on right answers, near misses and hacks; no model is asked")
    audit.add_argument("target", help="a recipe's name or .toml file, a shipped reward, or package.module:function")
    audit.add_argument("--data", "--rl-data", type=Path, help="a folder or JSONL file to read instead of the Hub")
    audit.add_argument("--limit", type=int, help="at most N training (but enough to train on) and N test questions")
    audit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's key")
    audit.add_argument("--json", action="store_true", help="print audit.json instead of text")
    _add_folder(audit, "--recipes-dir", "suites/recipes")

    regrade = command("regrade", "grade a run's kept answers with today's graders; generate nothing")
    regrade.add_argument("run", metavar="RUN", help=RUN)
    _add_folder(regrade, "--runs-dir", "rl-runs")
    regrade.add_argument("--write", action="store_true", help="keep the new grades in the run directory")

    runs = command("runs", "list what was run, oldest first, or say what differs between two of them", "kept")
    runs.add_argument("--diff", nargs=2, metavar=("A", "B"), help=f"what differs between two runs; each is {RUN}")
    _add_folder(runs, "--runs-dir", "rl-runs")

    clean = command("clean", "say what of the kept runs can go, and what that frees; --yes frees it", "kept")
    _add_folder(clean, "--runs-dir", "rl-runs")
    clean.add_argument("--runs", action="store_true", help="whole runs too, not only checkpoints and replaced runs")
    clean.add_argument("--older-than", type=_days, metavar="DAYS", help="what was not used for so many days")
    clean.add_argument("--max-size", type=_size, metavar="SIZE", help="no more than leaves this much, as in 20GB")
    clean.add_argument("--yes", action="store_true", help="free it")

    history = command("history", "draw accuracy by date and commit over many runs")
    history.add_argument("runs_dir", type=Path, nargs="?", default=_folder("--runs-dir", "rl-runs"), metavar="RUNS_DIR")
    history.add_argument("--no-run-pages", action="store_true", help="draw no pages of runs; link those that are there")
    _add_folder(history, "--report-dir", "rl-report")

    report = command("report", "draw the report of run directories")
    report.add_argument("runs", nargs="+", metavar="RUN", help=RUN)
    _add_folder(report, "--runs-dir", "rl-runs")
    _add_folder(report, "--report-dir", "rl-report")

    chat = command("chat", "ask a run's model before and after its training whatever you type", "chat")
    chat.add_argument("run", metavar="RUN", help=RUN)
    chat.add_argument("--question", action="append", help="a question to ask instead of typed ones (repeatable)")
    chat.add_argument("--device", help="cpu, cuda or mps")
    _add_folder(chat, "--runs-dir", "rl-runs")

    methods = command("methods", "hold the training methods of finished runs against each other")
    methods.add_argument("runs", nargs="+", metavar="RUN", help=RUN)
    _add_folder(methods, "--runs-dir", "rl-runs")
    methods.add_argument("--alpha", type=_share, default=0.05, help="chance of a false claim, shared (%(default)s)")

    recipes = command("recipes", "list the recipes")
    _add_folder(recipes, "--recipes-dir", "suites/recipes")
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a recipe's name (in suites/recipes, or shipped) or a .toml file")
    parser.add_argument("--model", help="a Hub id, a folder, a .gguf file or 'tiny' instead of the recipe's model")
    parser.add_argument("--data", type=Path, help="a folder or JSONL file to read instead of the Hub")
    parser.add_argument("--limit", type=int, help="at most N training (but enough to train on) and N test questions")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's key")
    parser.add_argument("--device", help="cpu, cuda or mps")
    parser.add_argument("--nproc", type=int, help="train and answer in so many processes of this machine")
    _add_folder(parser, "--runs-dir", "rl-runs")
    _add_folder(parser, "--recipes-dir", "suites/recipes")
    _add_folder(parser, "--baselines-dir", "suites/baselines")


def _add_folder(parser: argparse.ArgumentParser, name: str, default: str) -> None:
    parser.add_argument(name, type=Path, default=_folder(name, default), help="default: %(default)s")


def _folder(option: str, default: str) -> Path:
    """The folder that the ini twin of pytest's option names, or its default."""
    key = "rl_" + option.removeprefix("--").replace("-", "_")
    return near(find_project(Path.cwd()).folder(key, default))


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 0.5:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and 0.5, as in 0.05")
    return value


def _temperature(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text} must be above 0, as in 1.0")
    return value


def _days(text: str) -> float:
    value = float(text)
    if not 0 <= value < 100_000:
        raise argparse.ArgumentTypeError(f"{text} must be a number of days, as in 30")
    return value


def _size(text: str) -> int:
    units = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
    number, unit = text[:-2], text[-2:].lower()
    if unit not in units or not number.strip().replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text} must be a size, as in 500MB or 20GB")
    return int(float(number) * units[unit])


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number from 0 on")
    return value
