"""The end of a session, in the process with the terminal: verdicts, memory and the report's path."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.options import get_option, get_path, located
from harness.plugin.session import session_of
from harness.plugin.terminal import Terminal

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# What workers hand over: an attribute of a test's report, a list of [name, value].
HANDED, DIRECTORY, MEMORY, PLANNED = "rl_harness", "run directory", "peak memory", "planned"
METHODS, REUSED, LEFT_OUT, VERDICTS = "methods", "reused", "left out", "verdicts"
ONE_MODEL = "each verdict is about one trained model; seeds = [0, 1, 2] in a recipe tests the recipe itself"
NOTHING: pytest.StashKey[str] = pytest.StashKey()  # why no test was left to run


class Summary:
    """Gathers what the tests' reports carry, from this process or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.directories: set[Path] = set()
        self.memory: dict[str, int] = {}
        self.planned: dict[str, None] = {}
        self.judged: dict[Path, dict[str, dict[str, Any]]] = {}  # by run directory and gate, what this session said
        self.failed: set[Path] = set()  # run directories of tests that failed
        self.left_out: dict[str, None] = {}
        self.compared: set[Path] = set()
        self.reused: dict[tuple[str, str], int] = {}  # by run directory and stage

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in getattr(report, HANDED, ()):
            if name == DIRECTORY:
                self.directories.add(Path(str(value)))
                if report.failed:
                    self.failed.add(Path(str(value)))
            elif name == METHODS:
                self.compared.add(Path(str(value)))
            elif name == PLANNED:
                self.planned[str(value)] = None
            elif name == VERDICTS:
                directory, verdicts = json.loads(str(value))
                self.judged.setdefault(Path(directory), {}).update({each["gate"]: each for each in verdicts})
            elif name == LEFT_OUT:
                self.left_out[str(value)] = None
            elif name == REUSED:
                directory, stage, count = json.loads(str(value))
                # What one worker made, another finds there: only what every one of them found was there before.
                self.reused[directory, stage] = min(count, self.reused.get((directory, stage), count))
            elif name == MEMORY and report.when == "teardown":
                module = report.location[0]  # a file outside of the root directory has no name in the id
                self.memory[module] = max(int(str(value)), self.memory.get(module, 0))

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter, exitstatus: int) -> None:
        terminal = Terminal(terminalreporter)
        undecided = None if exitstatus else self._undecided()  # what is red already looks like no pass
        if reason := self.config.stash.get(NOTHING, None):
            terminal.write_line(f"rl-harness: {reason}", yellow=True)
        unused = self._unused()
        if not (self.directories or self.left_out or unused):
            return
        directories = sorted(self.directories)
        terminal.section("rl-harness")
        for line in self.planned:  # workers have no terminal to say it in when they collect
            terminal.write_line(line)
        for directory in directories:
            _write_run(terminal, directory, self._short(directory), self._verdicts(directory))
        self._write_methods(terminal)
        if self._of_single_models():
            terminal.write_line(ONE_MODEL)
        for reason in self.left_out:
            terminal.write_line(f"not run: {reason}")
        if reused := self._reused():
            terminal.write_line(reused)
        if self.memory:
            peaks = [f"{peak / 2**20:,.0f} MiB in {module}" for module, peak in sorted(self.memory.items())]
            terminal.write_line(f"peak memory: {', '.join(peaks)}")
        if unused:
            names = ", ".join(str(self._short(path)) for path in unused)
            terminal.write_line(f"nothing uses {names}; delete what is no longer wanted", yellow=True)
        try:
            self._hand_on(directories, undecided)
        except OSError as error:
            terminal.write_line(f"no Markdown was written: {error}", red=True)
        if directories:
            self._draw(terminal, directories)
        if undecided:
            terminal.write_line(undecided, yellow=True, bold=True)

    def _verdicts(self, directory: Path) -> list[dict[str, Any]]:
        """What this session said of a run: a verdict of an earlier one was about what lay there then."""
        from harness.gate.verdicts import Verdict
        from harness.pipeline.judge import GATES, RECIPE

        judged = dict(self.judged.get(directory, {}))
        if self._recorded_none(directory, judged):
            why = {"reason": "no test of this session asks for the baseline gate"}
            judged["baseline"] = Verdict("baseline", "NO_BASELINE", "not_recorded", why).to_json()
        order = {gate: place for place, gate in enumerate((*GATES, RECIPE))}
        return sorted(judged.values(), key=lambda each: (order.get(each["gate"], len(order)), each["gate"]))

    def _recorded_none(self, directory: Path, judged: Collection[str]) -> bool:
        """Whether the session was to record this run's baseline, and none of its tests asked for that gate."""
        update = get_option(self.config, "update-baselines")
        if not update or "baseline" in judged:
            return False
        from harness.pipeline.baselines import is_recorded
        from harness.store.run_directory import read_json

        run = read_json(directory / "environment.json") or {}
        folder = get_path(self.config, "baselines-dir")
        return "recipe" in run and is_recorded(folder, run["recipe"], run["seed"], update)

    def _draw(self, terminal: Terminal, directories: list[Path]) -> None:
        # The one place where the harness draws: it hands over directories and nothing else.
        from harness.report.render import render_session

        folder = get_path(self.config, "report-dir")
        try:
            page = render_session(directories, folder)
        except OSError as error:  # the runs are kept: a full disk must not look like a failed session
            terminal.write_line(
                f"no report: {folder} cannot be written ({error}); choose another with --rl-report-dir", red=True
            )
        else:
            terminal.write_line(f"report: {self._short(page)}", bold=True)

    def _of_single_models(self) -> bool:
        """Whether something was claimed, and by verdicts on models alone: every recipe has a single seed here."""
        from harness.store.run_directory import read_json

        runs = [read_json(directory / "environment.json") or {} for directory in self.directories]
        seeds = {(run.get("recipe"), run.get("seed")) for run in runs}
        single = len({recipe for recipe, _ in seeds}) == len(seeds)
        verdicts = [verdict for judged in self.judged.values() for verdict in judged.values()]
        claims = {verdict["gate"] for verdict in verdicts if verdict["passed"] is not None}
        about_recipe = any(verdict["gate"] == "recipe" for verdict in verdicts)
        return bool(claims & {"improvement", "baseline"}) and single and not about_recipe

    def _undecided(self) -> str | None:
        """One line where this session's gates all stayed undecided: the data did not tell, which is no pass.

        A training that was sound says nothing of the model, and a baseline that was recorded is what was asked for.
        """
        gates = [
            (directory, each)
            for directory, judged in sorted(self.judged.items())
            for gate, each in judged.items()
            if gate != "training" and not each["numbers"].get("recorded")
        ]
        if not gates or any(each["passed"] is not None for _, each in gates):
            return None
        which = ", ".join(
            f"{directory.name.rpartition('-')[0]} {each['gate']} {each['verdict']}" for directory, each in gates[:3]
        )
        more = f" and {len(gates) - 3} more" if len(gates) > 3 else ""
        strict = "" if session_of(self.config).strict else "; --rl-strict makes it a failure"
        return f"NOT A PASS: no gate came to a verdict ({which}{more}){strict}"

    def _write_methods(self, terminal: Terminal) -> None:
        """Each comparison of methods once; all of its run directories keep it."""
        if not self.compared:
            return
        from harness.pipeline.methods import METHODS, table
        from harness.store.run_directory import read_json

        found = [read_json(directory / METHODS) for directory in sorted(self.compared)]
        seen: list[dict[str, Any]] = []
        for comparison in found:
            if comparison and comparison not in seen:
                seen.append(comparison)
                terminal.write_line("methods compared (95 % intervals in brackets):", bold=True)
                for line in table(comparison):
                    terminal.write_line(f"  {line}")

    def _reused(self) -> str | None:
        from harness.gate.wording import reused_line

        total: Counter[str] = Counter()
        for (_, stage), count in self.reused.items():
            total[stage] += count
        return reused_line(total)

    def _hand_on(self, directories: list[Path], undecided: str | None) -> None:
        """Markdown for GitHub's job summary and for a pull request's comment."""
        from harness.plugin.markdown import COMMENT_BYTES, SUMMARY_BYTES, write_markdown

        runs = {directory: (self._verdicts(directory), directory in self.failed) for directory in directories}
        if step := os.environ.get("GITHUB_STEP_SUMMARY"):
            write_markdown(Path(step), runs, undecided, limit=SUMMARY_BYTES, append=True)
        if comment := get_option(self.config, "pr-comment"):
            path = located(self.config, "pr-comment", comment)
            write_markdown(path, runs, undecided, limit=COMMENT_BYTES)

    def _unused(self) -> list[Path]:
        """Baselines that no recipe is held against, where this session records some. None of them is deleted."""
        if not get_option(self.config, "update-baselines"):
            return []
        from harness.pipeline.baselines import unused
        from harness.store.errors import HarnessError
        from harness.store.run_directory import read_json

        try:
            known = session_of(self.config).known()
        except HarnessError:  # a recipe that cannot be read may be the one that uses them
            return []
        made = [read_json(directory / "environment.json") or {} for directory in self.directories]
        known |= {(each["recipe"], each["seed"]) for each in made if "recipe" in each}
        return unused(get_path(self.config, "baselines-dir"), known)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Verdicts as properties of JUnit's suite, before pytest's own plugin writes the file."""
        from _pytest.junitxml import xml_key

        xml = self.config.stash.get(xml_key, None)
        if xml is None:
            return
        from harness.store.redact import safe_line

        def add(name: str, value: str) -> None:
            xml.add_global_property(safe_line(name), safe_line(value))

        for directory in sorted(self.directories):
            add(f"rl.{directory.name}", str(directory))
            for verdict in self._verdicts(directory):
                name = f"rl.{directory.name}.{verdict['gate']}"
                add(name, f"{verdict['verdict']}: {verdict['sentence']}")
        for module, peak in self.memory.items():
            add(f"rl.peak_memory_bytes.{module}", str(peak))
        if self.directories:  # then what tests added may be of recipes too
            xml.global_properties[:] = [(safe_line(name), safe_line(value)) for name, value in xml.global_properties]
            for attributes in (each.to_xml().attrib for each in xml.node_reporters_ordered):  # finished elements
                attributes.update({name: safe_line(value) for name, value in attributes.items()})

    def _short(self, path: Path) -> Path:
        """Relative to where pytest was called, if it lies there."""
        start = self.config.invocation_params.dir
        return path.relative_to(start) if path.is_relative_to(start) else path


def _write_run(terminal: Terminal, directory: Path, shown: Path, verdicts: Sequence[dict[str, Any]]) -> None:
    from harness.pipeline.remarks import doubts, remarks
    from harness.store.faults import stage_sentences
    from harness.store.run_directory import read_json

    environment = read_json(directory / "environment.json") or {}
    name = f"{environment.get('recipe', directory.name)}, seed {environment.get('seed', '?')}"
    terminal.write_line(f"{name}: {_accuracies(directory)}", bold=True)
    for verdict in verdicts:
        found = verdict["passed"] and (verdict.get("numbers") or {}).get("finding")  # a pass that is not a plain one
        colour = "yellow" if found else {True: "green", False: "red", None: "yellow"}[verdict["passed"]]
        terminal.write(f"  {verdict['verdict']:<13} ", **{colour: True})
        terminal.write_line(f"{verdict['gate']}: {verdict['sentence']}")
    for sentence in [*stage_sentences(directory), *doubts(directory)]:
        terminal.write_line(f"  ! {sentence}", yellow=True)
    for level, line in remarks(directory):
        terminal.write_line(f"  {line}", red=level == "fatal", yellow=level == "warning")
    if saved := _saved(directory / "after"):
        terminal.write_line(f"  {saved}")
    error = directory / "train" / "error.txt"
    if error.is_file():
        first = error.read_text(encoding="utf-8").partition("\n")[0]
        if not any(verdict.get("code") == "refused" for verdict in verdicts):  # by the signal check, and said so above
            terminal.write_line(f"  {first.partition(' Last lines of ')[0]}", red=True)
    terminal.write_line(f"  {shown}")


def _accuracies(directory: Path) -> str:
    """``before 12.5 % (95 %: 9.6 to 16.1), after 94.0 % (95 %: 91.2 to 95.9) of 400 questions``, each with its own
    number of questions where generation stopped early."""
    from harness.gate.wording import counted, percent
    from harness.store.run_directory import read_json
    from harness.store.stages import SIDES

    parts: list[tuple[str, str]] = []
    for stage in SIDES:
        summary: dict[str, Any] | None = read_json(directory / stage / "summary.json")
        if summary is not None:
            low, high = summary["interval"]
            kind = ", anytime-valid" if summary.get("interval_kind") == "anytime" else ""
            asked, planned = summary["questions"], summary.get("planned_questions", summary["questions"])
            questions = f" of {'' if asked == planned else f'{asked} of '}{counted(planned, 'question')}"
            interval = f"(95 %{kind}: {100 * low:.1f} to {100 * high:.1f})"
            parts.append((f"{stage} {percent(summary['accuracy'])} {interval}", questions))
    if len({questions for _, questions in parts}) == 1:
        return ", ".join(text for text, _ in parts) + parts[0][1]
    return ", ".join(text + questions for text, questions in parts) or "not evaluated"


def _saved(stage: Path) -> str | None:
    """What stopping early saved, taking the questions that were not asked to be answered at the same length."""
    from harness.store.run_directory import read_json

    summary = read_json(stage / "summary.json") or {}
    asked, planned = summary.get("questions", 0), summary.get("planned_questions", 0)
    if not 0 < asked < planned:
        return None
    tokens = summary["completion_tokens"] / asked * (planned - asked)
    return f"stopped early: asked {asked} of {planned} questions, about {tokens:,.0f} tokens saved"
