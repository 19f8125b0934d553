"""The end of a session, in the process with the terminal: a line a run, what was left out, and the report's path.

Sentences, remarks and memory come with ``-v``.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.lines import MARKS, aligned, numbers, words, write_more, write_run
from harness.plugin.options import get_option, get_path, located
from harness.plugin.session import Unmet, session_of
from harness.plugin.terminal import Terminal

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from harness.store.run_files import Verdict

# What workers hand over: an attribute of a test's report, a list of [name, value].
HANDED, DIRECTORY, MEMORY, PLANNED = "rl_harness", "run directory", "peak memory", "planned"
METHODS, REUSED, VERDICTS = "methods", "reused", "verdicts"
ONE_MODEL = "each verdict is about one trained model; seeds = [0, 1, 2] in a recipe tests the recipe itself"


class Summary:
    """Gathers what the tests' reports carry, from this process or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.directories: set[Path] = set()
        self.memory: dict[str, int] = {}
        self.planned: dict[str, None] = {}
        self.judged: dict[Path, dict[str, Verdict]] = {}  # by run directory and gate, what this session said
        self.failed: set[Path] = set()  # run directories of tests that failed
        self.ran = False  # whether any test did
        self.interrupted = False
        self.compared: set[Path] = set()
        self.reused: dict[tuple[str, str], int] = {}  # by run directory and stage

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran = True
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
                from harness.store.run_files import Verdict

                directory, rows = json.loads(str(value))
                verdicts = [Verdict(**row) for row in rows]
                self.judged.setdefault(Path(directory), {}).update({each.gate: each for each in verdicts})
            elif name == REUSED:
                directory, stage, count = json.loads(str(value))
                # What one worker made, another finds there: only what every one of them found was there before.
                self.reused[directory, stage] = min(count, self.reused.get((directory, stage), count))
            elif name == MEMORY and report.when == "teardown":
                module = report.location[0]  # a file outside of the root directory has no name in the id
                self.memory[module] = max(int(str(value)), self.memory.get(module, 0))
        if self.directories and self.config.pluginmanager.hasplugin("dsession"):  # what workers do is not heard of here
            session_of(self.config).live(self.directories, f"after {report.nodeid}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What an xdist worker left out when it collected."""
        handed = getattr(node, "workeroutput", {}).get(HANDED, {})
        session = session_of(self.config)
        session.nothing = handed.get("nothing") or session.nothing
        session.left_out |= {name: Unmet(*unmet) for name, unmet in handed.get("left_out", {}).items()}

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter, exitstatus: int) -> None:
        terminal, session = Terminal(terminalreporter), session_of(self.config)
        undecided = None if exitstatus else self._undecided()  # what is red already looks like no pass
        if session.nothing:
            terminal.write_line(f"rl-harness: {session.nothing}", yellow=True)
        self.interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        stopped = self._stopped() if self.interrupted else None
        unused = self._unused()
        if not (self.directories or session.left_out or unused or stopped):
            return
        verbose = self.config.get_verbosity() > 0
        directories = sorted(self.directories)
        terminal.section("rl-harness")
        for line in self.planned:  # workers have no terminal to say it in when they collect
            terminal.write_line(line)
        for directory, (mark, *cells) in zip(directories, self._lines(directories), strict=True):
            write_run(terminal, mark, cells)
            shown = self._short(directory) if verbose else None
            write_more(terminal, directory, self._verdicts(directory), shown, told=directory in self.failed)
        self._write_methods(terminal, verbose=verbose)
        if verbose and self._of_single_models():
            terminal.write_line(ONE_MODEL)
        self._write_left_out(terminal, verbose=verbose)
        if self.memory and verbose:
            peaks = [f"{peak / 2**20:,.0f} MiB in {module}" for module, peak in sorted(self.memory.items())]
            terminal.write_line(f"peak memory: {', '.join(peaks)}")
        if unused:
            names = ", ".join(str(self._short(path)) for path in unused)
            terminal.write_line(f"nothing uses {names}; delete what is no longer wanted", yellow=True)
        try:
            self._hand_on(directories, undecided)
        except OSError as error:
            terminal.write_line(f"no Markdown was written: {error}", red=True)
        page = self._draw(terminal, directories) if directories or session.live.drawn else None
        if last := [*filter(None, [self._reused()]), *([f"Report: {self._short(page)}"] if page else ())]:
            terminal.write_line("  ".join(last), bold=True)
        if stopped:
            terminal.write_line(stopped, yellow=True, bold=True)
        if undecided:
            terminal.write_line(undecided, yellow=True, bold=True)

    def _lines(self, directories: Sequence[Path]) -> list[list[str]]:
        """The cells of a line a run, each column as wide as its widest: mark, name, before, after, gain, interval,
        answers turned, and a few words a verdict."""
        from harness.store.siblings import name_of

        rows = []
        for directory in directories:
            verdicts = self._verdicts(directory)
            told = "   ".join(words(directory, verdicts))
            rows.append([self._mark(directory, verdicts), name_of(directory), *numbers(directory, verdicts), told])
        return aligned(rows, right=(2, 3, 4))

    def _mark(self, directory: Path, verdicts: Sequence[Verdict]) -> str:
        """What the run comes to, where one of its tests failed that it failed, and nothing where nothing was judged."""
        from harness.store.outcome import outcome, shortfall

        if directory in self.failed:
            return MARKS[False][0]
        if not verdicts:
            return " "
        passed = outcome(verdicts, shortfall(directory))
        return MARKS[None if passed and self._is_interrupted(verdicts) else passed][0]

    def _is_interrupted(self, verdicts: Sequence[Verdict]) -> bool:
        return self.interrupted and all(each.gate == "training" for each in verdicts)

    def _write_left_out(self, terminal: Terminal, *, verbose: bool) -> None:
        """Recipes that cannot run here: counted, or with the reason of each where the command asks for some of them."""
        from harness.store.words import left_out_line

        session = session_of(self.config)
        found = dict(sorted(session.left_out.items()))
        if not found:
            return
        picked = bool(session.named or self.config.option.keyword or any("::" in each for each in self.config.args))
        if told := verbose or picked or not self.ran:
            for unmet in found.values():
                terminal.write_line(f"not run: {unmet.reason}", yellow=picked or not self.ran)
        if not (picked or not self.ran):
            terminal.write_line(f"  {left_out_line(Counter(each.kind for each in found.values()), told=told)}")

    def _verdicts(self, directory: Path) -> list[Verdict]:
        """What this session said of a run: a verdict of an earlier one was about what lay there then."""
        from harness.gate.verdicts import judged
        from harness.pipeline.judge import GATES, RECIPE

        said = dict(self.judged.get(directory, {}))
        if self._recorded_none(directory, said):
            why = {"reason": "no test of this session asks for the baseline gate"}
            said["baseline"] = judged("baseline", "NO_BASELINE", "not_recorded", why)
        order = {gate: place for place, gate in enumerate((*GATES, RECIPE))}
        return sorted(said.values(), key=lambda each: (order.get(each.gate, len(order)), each.gate))

    def _recorded_none(self, directory: Path, judged: Collection[str]) -> bool:
        """Whether the session was to record this run's baseline, and none of its tests asked for that gate."""
        update = get_option(self.config, "update-baselines")
        if not update or "baseline" in judged:
            return False
        from harness.pipeline.baselines import is_recorded
        from harness.store.run_files import ENVIRONMENT

        run = ENVIRONMENT.fit(directory)
        return run is not None and is_recorded(get_path(self.config, "baselines-dir"), run.recipe, run.seed, update)

    def _draw(self, terminal: Terminal, directories: list[Path]) -> Path | None:
        """Where the report begins, unless it cannot be written."""
        # The one place where the harness draws: it hands over directories and nothing else.
        from harness.report.render import render_session

        folder = get_path(self.config, "report-dir")
        try:
            return render_session(directories, folder)
        except OSError as error:  # the runs are kept: a full disk must not look like a failed session
            terminal.write_line(
                f"no report: {folder} cannot be written ({error}); choose another with --rl-report-dir", red=True
            )
            return None

    def _of_single_models(self) -> bool:
        """Whether something was claimed, and by verdicts on models alone: every recipe has a single seed here."""
        from harness.store.run_files import ENVIRONMENT

        seeds = {(run.recipe, run.seed) for each in self.directories if (run := ENVIRONMENT.fit(each))}
        single = len({recipe for recipe, _ in seeds}) == len(seeds)
        verdicts = [verdict for judged in self.judged.values() for verdict in judged.values()]
        claims = {verdict.gate for verdict in verdicts if verdict.passed is not None}
        about_recipe = any(verdict.gate == "recipe" for verdict in verdicts)
        return bool(claims & {"improvement", "baseline"}) and single and not about_recipe

    def _undecided(self) -> str | None:
        """One line where this session's gates all stayed undecided: the data did not tell, which is no pass.

        A training that was sound says nothing of the model, and a baseline that was recorded is what was asked for.
        """
        gates = [
            (directory, each)
            for directory, judged in sorted(self.judged.items())
            for gate, each in judged.items()
            if gate != "training" and not each.numbers.get("recorded")
        ]
        if not gates or any(each.passed is not None for _, each in gates):
            return None
        from harness.store.siblings import name_of

        which = ", ".join(f"{name_of(directory)} {each.gate} {each.verdict}" for directory, each in gates[:3])
        more = f" and {len(gates) - 3} more" if len(gates) > 3 else ""
        strict = "" if session_of(self.config).strict else "; --rl-strict makes it a failure"
        return f"NOT A PASS: no gate came to a verdict ({which}{more}){strict}"

    def _stopped(self) -> str | None:
        """Where an interrupted session stopped, and what the same command does. Runs of workers are not known here."""
        from harness.store.words import stopped_line

        session = session_of(self.config)
        if not (session.progress.stopped or self.directories):
            return None
        stage, measured = session.progress.stopped or ("", "")
        found = [run.opened for run in session.runs if run.opened and stage.endswith(f" {run.id}")]
        checkpoints = [
            int(number)
            for directory in found
            for each in (directory / "train").glob("checkpoint-*")
            if (number := each.name.rpartition("-")[2]).isdigit()
        ]
        trained, fresh = stage.partition(" ")[0].isupper(), bool(get_option(self.config, "fresh"))
        last = max(checkpoints, default=0) if found else None
        return stopped_line(stage, measured, last, trained=trained, fresh=fresh)

    def _write_methods(self, terminal: Terminal, *, verbose: bool) -> None:
        """Each comparison of methods once; all of its run directories keep it. A line, or the table and its pairs."""
        if not self.compared:
            return
        from harness.store.methods import METHODS

        seen = []
        for directory in sorted(self.compared):
            comparison = METHODS.fit(directory)
            if comparison and comparison not in seen:
                seen.append(comparison)
                if not verbose:
                    terminal.write_line(f"  methods: {comparison.line()} (-v has the table)")
                    continue
                terminal.write_line("methods compared (95 % intervals in brackets):", bold=True)
                for line in comparison.lines():
                    terminal.write_line(f"  {line}")

    def _reused(self) -> str | None:
        from harness.store.words import reused_line

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
        from harness.store.run_files import ENVIRONMENT

        try:
            known = session_of(self.config).known()
        except HarnessError:  # a recipe that cannot be read may be the one that uses them
            return []
        known |= {(made.recipe, made.seed) for each in self.directories if (made := ENVIRONMENT.fit(each))}
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
                add(f"rl.{directory.name}.{verdict.gate}", f"{verdict.verdict}: {verdict.sentence}")
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
