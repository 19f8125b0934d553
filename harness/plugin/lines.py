"""What the end of a session says of one run: its line, and under it what warns, or everything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.plugin.terminal import Terminal

if TYPE_CHECKING:
    from harness.store.run_files import Verdict

T = TypeVar("T")
MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("!", "yellow")}


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[list[str]]:
    """The cells of a table, each padded to the width of its column; those of ``right`` at their left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [cell.rjust(width) if place in right else cell.ljust(width) for place, (cell, width) in enumerate(each)]
        for each in (zip(row, widths, strict=True) for row in rows)
    ]


def numbers(directory: Path, verdicts: Sequence[Verdict]) -> tuple[str, str, str, str, str]:
    """Accuracy before and after, gain, its interval and the answers turned, as far as they are known."""
    from harness.store.files import RecordError
    from harness.store.outcome import unfinished
    from harness.store.records import SUMMARY
    from harness.store.stages import SIDES
    from harness.store.words import counted, gain, gained_lost

    for each in verdicts:
        n = each.numbers
        if each.gate == "improvement" and n.get("pairs"):
            gained, interval = gain(n["after"] - n["before"], n.get("interval"))
            turned = gained_lost(n["gained"], n["lost"])
            return f"{100 * n['before']:.1f}", f"→ {100 * n['after']:5.1f} %", gained, interval, turned
    try:
        summaries = [SUMMARY.read(directory / stage) for stage in SIDES]
    except RecordError:
        return "", "not known", "", "", ""
    known = [summary for summary in summaries if summary]
    if unfinished(directory):
        return f"{100 * known[0].accuracy:.1f}" if known else "?", "→     ? %", "", "", ""
    if not known:
        return "", "not evaluated", "", "", ""
    last = known[-1]
    first = f"{100 * known[0].accuracy:.1f}" if len(known) > 1 else ""
    low, high = last.interval
    of = counted(last.questions, "question")
    return first, f"{'→ ' if first else ''}{100 * last.accuracy:5.1f} %", "", f"[{100 * low:.1f}, {100 * high:.1f}]", of


def words(directory: Path, verdicts: Sequence[Verdict]) -> list[str]:
    """A few words a verdict, that of the training first: it is not called sound where a health check found what was
    learned lost."""
    from harness.gate.wording import brief
    from harness.store.outcome import fatal_checks, unfinished

    fatal = ", ".join(fatal_checks(directory))
    ordered = sorted(verdicts, key=lambda each: each.gate != "training")
    found = [f"unhealthy: {fatal}" if fatal and each.code == "sound" else brief(each) for each in ordered]
    if not any(each.passed is False for each in verdicts):
        found.append(unfinished(directory))
    return [each for each in found if each]


def write_run(terminal: Terminal, mark: str, cells: Sequence[str]) -> None:
    name, before, after, *rest = cells
    colour = dict(MARKS.values()).get(mark)
    terminal.write(f"{mark} ", **({colour: True} if colour else {}))
    terminal.write(name, bold=True)
    gained, *others = rest
    line = f"   {before} {after}   {gained} " + "   ".join(others)
    terminal.write_line(line.rstrip())


def write_more(
    terminal: Terminal, directory: Path, verdicts: Sequence[Verdict], shown: Path | None, *, told: bool
) -> None:
    """Under the line of a run: everything where its path is to be ``shown``; else what warns, and failing verdicts that
    no failing test ``told``."""
    from harness.pipeline.remarks import doubts, remarks
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
    remarked, saved = tried(remarks, list[tuple[str | None, str]]()), tried(_saved, None)
    if shown:
        terminal.write_line(f"  {accuracies}")
    for sentence in unfit:
        terminal.write_line(f"  {sentence}", red=True)
    for verdict in verdicts:
        if shown or (verdict.passed is False and not told):
            colour = MARKS[verdict.holds][1]
            terminal.write(f"  {verdict.verdict:<13} ", **{colour: True})
            terminal.write_line(f"{verdict.gate}: {verdict.sentence}")
    for sentence in warned:
        terminal.write_line(f"  ! {sentence}", yellow=True)
    for level, line in remarked:
        if shown or level:
            terminal.write_line(f"  {line}", red=level == "fatal", yellow=level == "warning")
    if saved:
        terminal.write_line(f"  {saved}")
    error = directory / "train" / "error.txt"
    if error.is_file():
        first = error.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if not any(verdict.code == "refused" for verdict in verdicts):  # by the signal check, and said so above
            terminal.write_line(f"  {first.partition(' Last lines of ')[0]}", red=True)
    if shown:
        terminal.write_line(f"  {shown}")


def _accuracies(directory: Path) -> str:
    """``before 12.5 % (95 %: 9.6 to 16.1), after 94.0 % (95 %: 91.2 to 95.9) of 400 questions``, each with its own
    number of questions where generation stopped early."""
    from harness.store.records import SUMMARY
    from harness.store.stages import SIDES
    from harness.store.words import counted, percent

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
