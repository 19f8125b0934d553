"""The end of a session, in the process with the terminal: verdicts, memory and the report's path."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from harness.plugin.options import get_option, get_path, located
from harness.plugin.session import session_of
from harness.plugin.terminal import Terminal

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from harness.store.run_files import Verdict

# What workers hand over: an attribute of a test's report, a list of [name, value].
HANDED, DIRECTORY, MEMORY, PLANNED = "rl_harness", "run directory", "peak memory", "planned"
METHODS, REUSED, LEFT_OUT, VERDICTS = "methods", "reused", "left out", "verdicts"
ONE_MODEL = "each verdict is about one trained model; seeds = [0, 1, 2] in a recipe tests the recipe itself"
T = TypeVar("T")
NOTHING: pytest.StashKey[str] = pytest.StashKey()  # why no test was left to run


class Summary:
    """Gathers what the tests' reports carry, from this process or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.directories: set[Path] = set()
        self.memory: dict[str, int] = {}
        self.planned: dict[str, None] = {}
        self.judged: dict[Path, dict[str, Verdict]] = {}  # by run directory and gate, what this session said
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
                from harness.store.run_files import Verdict

                directory, rows = json.loads(str(value))
                verdicts = [Verdict(**row) for row in rows]
                self.judged.setdefault(Path(directory), {}).update({each.gate: each for each in verdicts})
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
        which = ", ".join(
            f"{directory.name.rpartition('-')[0]} {each.gate} {each.verdict}" for directory, each in gates[:3]
        )
        more = f" and {len(gates) - 3} more" if len(gates) > 3 else ""
        strict = "" if session_of(self.config).strict else "; --rl-strict makes it a failure"
        return f"NOT A PASS: no gate came to a verdict ({which}{more}){strict}"

    def _write_methods(self, terminal: Terminal) -> None:
        """Each comparison of methods once; all of its run directories keep it."""
        if not self.compared:
            return
        from harness.store.methods import METHODS

        seen = []
        for directory in sorted(self.compared):
            comparison = METHODS.fit(directory)
            if comparison and comparison not in seen:
                seen.append(comparison)
                terminal.write_line("methods compared (95 % intervals in brackets):", bold=True)
                for line in comparison.lines():
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


def _write_run(terminal: Terminal, directory: Path, shown: Path, verdicts: Sequence[Verdict]) -> None:
    from harness.pipeline.remarks import doubts, name_of, remarks
    from harness.store.faults import stage_sentences
    from harness.store.files import RecordError

    unfit: dict[str, None] = {}  # sentences about files that do not fit; what the others hold is told all the same

    def tried(read: Callable[[Path], T], otherwise: T) -> T:
        try:
            return read(directory)
        except RecordError as error:
            unfit[str(error)] = None
            return otherwise

    accuracies = tried(_accuracies, "not known")
    warned = [sentence for read in (stage_sentences, doubts) for sentence in tried(read, list[str]())]
    told, saved = tried(remarks, list[tuple[str | None, str]]()), tried(_saved, None)
    terminal.write_line(f"{name_of(directory)}: {accuracies}", bold=True)
    for sentence in unfit:
        terminal.write_line(f"  {sentence}", red=True)
    for verdict in verdicts:
        colour = "yellow" if verdict.finding else {True: "green", False: "red", None: "yellow"}[verdict.passed]
        terminal.write(f"  {verdict.verdict:<13} ", **{colour: True})
        terminal.write_line(f"{verdict.gate}: {verdict.sentence}")
    for sentence in warned:
        terminal.write_line(f"  ! {sentence}", yellow=True)
    for level, line in told:
        terminal.write_line(f"  {line}", red=level == "fatal", yellow=level == "warning")
    if saved:
        terminal.write_line(f"  {saved}")
    error = directory / "train" / "error.txt"
    if error.is_file():
        first = error.read_text(encoding="utf-8").partition("\n")[0]
        if not any(verdict.code == "refused" for verdict in verdicts):  # by the signal check, and said so above
            terminal.write_line(f"  {first.partition(' Last lines of ')[0]}", red=True)
    terminal.write_line(f"  {shown}")


def _accuracies(directory: Path) -> str:
    """``before 12.5 % (95 %: 9.6 to 16.1), after 94.0 % (95 %: 91.2 to 95.9) of 400 questions``, each with its own
    number of questions where generation stopped early."""
    from harness.gate.wording import counted, percent
    from harness.store.records import SUMMARY
    from harness.store.stages import SIDES

    parts: list[tuple[str, str]] = []
    for stage in SIDES:
        if summary := SUMMARY.read(directory / stage):
            low, high = summary.interval
            kind = ", anytime-valid" if summary.interval_kind == "anytime" else ""
            asked, planned = summary.questions, summary.planned_questions
            questions = f" of {'' if asked == planned else f'{asked} of '}{counted(planned, 'question')}"
            interval = f"(95 %{kind}: {100 * low:.1f} to {100 * high:.1f})"
            parts.append((f"{stage} {percent(summary.accuracy)} {interval}", questions))
    if len({questions for _, questions in parts}) == 1:
        return ", ".join(text for text, _ in parts) + parts[0][1]
    return ", ".join(text + questions for text, questions in parts) or "not evaluated"


def _saved(directory: Path) -> str | None:
    """What stopping early saved, taking the questions that were not asked to be answered at the same length."""
    from harness.store.records import SUMMARY

    summary = SUMMARY.read(directory / "after")
    if summary is None or not 0 < (asked := summary.questions) < (planned := summary.planned_questions):
        return None
    tokens = summary.completion_tokens / asked * (planned - asked)
    return f"stopped early: asked {asked} of {planned} questions, about {tokens:,.0f} tokens saved"
