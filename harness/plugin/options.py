"""The ``--rl-*`` options; each has an ini twin (``--rl-runs-dir`` is ``rl_runs_dir``) that the option overrides."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

# name, help, kind: "value", "list" (repeatable), "flag", "int" or "choice"
OPTIONS = (
    ("recipe", "a recipe's name or .toml file (repeatable); default: every recipe that this machine can run", "list"),
    ("model", "judge or train this model instead of the recipe's: a Hub id, a folder, a .gguf file or 'tiny'", "value"),
    ("endpoint", "judge what an OpenAI-compatible server at this address serves (under --rl-model's name)", "value"),
    ("data", "a folder with train.jsonl and test.jsonl, say, or one file, to read instead of the Hub", "value"),
    ("limit", "ask at most N training (but enough to train on) and N test questions", "int"),
    ("set", "override a recipe's key: --rl-set train.max_steps=2 (repeatable; the value is TOML)", "list"),
    ("name", "what to call the runs; default: the recipe's name and what was overridden in it", "value"),
    ("device", "cpu, cuda or mps; default: the best there is", "value"),
    ("nproc", "train and answer in N processes of this machine, on a GPU each or on the CPU's cores", "int"),
    ("runs-dir", "where run directories are kept (default: rl-runs in the root directory)", "value"),
    ("report-dir", "where the HTML report is written (default: rl-report in the root directory)", "value"),
    ("recipes-dir", "a folder of recipes (default: suites/recipes in the root directory)", "value"),
    ("fresh", "use nothing kept from earlier sessions", "flag"),
    ("plan", "say what would run and what it costs; run nothing", "flag"),
    ("strict", "a verdict that cannot tell is a failure too", "flag"),
    ("stop-early", "end generation as soon as every gate has its verdict", "flag"),
    ("update-baselines", "record baselines from fresh answers: 'new' where there is none, or 'all'", "choice"),
    ("baselines-dir", "a folder of baselines (default: suites/baselines in the root directory)", "value"),
    ("allow-dirty", "record a baseline though the working tree differs from its commit", "flag"),
    ("pr-comment", "write the verdicts as Markdown for a pull request's comment (under 64 KB)", "value"),
    ("in-process", "train in pytest's own process, for a debugger", "flag"),
)
KINDS = {name: kind for name, _, kind in OPTIONS}
PATHS = {
    "runs-dir": "rl-runs",
    "report-dir": "rl-report",
    "recipes-dir": "suites/recipes",
    "baselines-dir": "suites/baselines",
}
CHOICES = {"update-baselines": ("new", "all")}
METAVARS = {
    "recipe": "NAME|PATH",
    "endpoint": "URL",
    "data": "PATH",
    "limit": "N",
    "nproc": "N",
    "set": "KEY=VALUE",
    "pr-comment": "FILE",
}


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("rl-harness", "post-training (rl-harness)")
    for name, text, kind in OPTIONS:
        option: dict[str, Any] = {"flag": {"action": "store_true"}, "list": {"action": "append"}}.get(kind, {})
        if kind == "int":
            option = {"type": int}
        if kind == "choice":
            option = {"choices": CHOICES[name]}
        metavar = {} if kind in ("flag", "choice") else {"metavar": METAVARS.get(name, name.rsplit("-", 1)[-1].upper())}
        group.addoption(f"--rl-{name}", dest=_dest(name), default=None, help=text, **option, **metavar)
        ini = {"flag": "bool", "list": "linelist"}.get(kind, "string")
        parser.addini(_dest(name), help=f"twin of --rl-{name}: {text}", type=ini, default=None)  # type: ignore[arg-type]


def check_root(config: pytest.Config) -> None:
    """pytest looks for its root directory before it knows of these options, and takes what stands apart from one for a
    path of tests: outside of the project, that moves the root directory, and recipes and baselines with it."""
    start, ini, words = config.invocation_params.dir, config.inipath, config.invocation_params.args
    if config.getoption("rootdir") or (ini is not None and start.is_relative_to(ini.parent)):
        return
    for option, value in pairwise(words):
        path, ours = Path(os.path.normpath(start / value)), KINDS.get(option.removeprefix("--rl-"), "flag") != "flag"
        if ours and not path.is_relative_to(start) and path.exists():
            raise pytest.UsageError(
                f"{option} {value}: pytest takes this path for one of tests and moves its root directory to "
                f"{config.rootpath}; write {option}={value}"
            )


def get_option(config: pytest.Config, name: str) -> Any:
    """The option's value, or else its ini twin's, or else ``None``."""
    value = config.getoption(_dest(name))
    if value is not None:
        return value
    key = _dest(name)
    try:
        value = config.getini(key) or None
    except (ValueError, pytest.UsageError) as error:  # pytest does not name the key
        raise pytest.UsageError(f"ini key {key}: {error}") from None
    if value is not None and KINDS[name] == "choice" and value not in CHOICES[name]:
        raise pytest.UsageError(f"ini key {key} must be {' or '.join(map(repr, CHOICES[name]))}, not {value!r}")
    if value is None or KINDS[name] != "int":
        return value
    try:
        return int(value)
    except ValueError:
        raise pytest.UsageError(f"ini key {key} must be a whole number, not {value!r}") from None


def get_path(config: pytest.Config, name: str) -> Path:
    """A path option, or its default."""
    return located(config, name, get_option(config, name) or PATHS[name])


def located(config: pytest.Config, name: str, path: str) -> Path:
    """A path given as an option is relative to where pytest was called, and one from the ini file to rootdir."""
    given = config.getoption(_dest(name)) is not None
    return (config.invocation_params.dir if given else config.rootpath) / Path(path).expanduser()


def _dest(name: str) -> str:
    return "rl_" + name.replace("-", "_")
