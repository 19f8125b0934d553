"""A finished run, as a notebook shows it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from harness.notebook.progress import in_notebook
from harness.pipeline.evaluate import Evaluation
from harness.pipeline.judge import GATES
from harness.pipeline.run import Run
from harness.store.errors import HarnessError, NoSignal
from harness.store.html import html_table, shown
from harness.store.run_files import Verdict
from harness.store.stages import SIDES
from harness.store.words import counted, gain, gained_lost, percent, reused_line

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5  # questions of each kind
_PATH: Any = type(Path())


class Page(_PATH):  # type: ignore[misc]
    """The path of a page, which a notebook shows as a link."""

    def _repr_html_(self) -> str:
        return Markup('<a href="{}" target="_blank">{}</a>').format(quote(self.as_posix()), str(self))


class Result(Run):
    """A run with all its stages. ``look`` is the limit of a look at a few questions, which judges nothing."""

    look: int | None = None

    def finish(self) -> None:
        """Make every stage: the evaluation before, the training, the evaluation after, and the verdicts."""
        if self.recipe.model.endpoint is None:  # else the training says at once that there can be none
            self.before()
        try:
            self.after()
            self.verdicts()
        except NoSignal:
            self.verdict("training")  # which says why nothing was trained
        self.release()

    def verdict(self, gate: str) -> Verdict | None:
        """As a run's; a look at a few questions is no gate, and says no more than whether the training was sound."""
        return None if self.look is not None and gate in GATES and gate != "training" else super().verdict(gate)

    def frame(self) -> pd.DataFrame:
        """One row a question, with its answers before and after, whether they are right (a share, of several samples),
        and in ``change`` what became of it: ``gained``, ``lost``, ``right``, ``wrong`` or
        ``unscored``."""
        sides = self._sides()
        if len(sides) < 2:
            raise HarnessError(f"{self.id}: there is no evaluation after a training, so nothing to hold side by side")
        frames = {
            name: side.frame().drop_duplicates("question_id").set_index("question_id") for name, side in sides.items()
        }
        made = frames["before"][["question", "ground_truth"]].copy()
        for name, frame in frames.items():
            made[name] = frame["completion"]
        for name, side in sides.items():
            made[f"{name}_right"] = made.index.map(side.means)
        changed = made["after_right"] - made["before_right"]
        made["change"] = made["after_right"].map(lambda share: "right" if share >= 0.5 else "wrong")
        made.loc[changed > 0, "change"] = "gained"
        made.loc[changed < 0, "change"] = "lost"
        made.loc[changed.isna(), "change"] = "unscored"
        return made.reset_index()

    def report(self, folder: str | Path = "rl-report") -> Path:
        """Write the report of this run, and return the path of its first page, which a notebook shows as a link."""
        from harness.report.render import render_session

        try:
            page = render_session([self.directory], Path(folder))
        except OSError as error:
            raise HarnessError(f"{folder}: the report cannot be written ({error}); name another folder") from None
        return Page(page) if in_notebook() else page

    def _sides(self) -> dict[str, Evaluation]:
        return {name: self._made[name] for name in SIDES if name in self._made}

    def _verdicts(self) -> list[Verdict]:
        """What there is to say; that nobody recorded a baseline is nothing that a notebook asked for."""
        found = (self.judged[gate] for gate in GATES if gate in self.judged)
        return [verdict for verdict in found if verdict.code != "none"]

    @property
    def _note(self) -> str:
        asked = counted(len(self.questions.test), "question")
        return "" if self.look is None else f"A look at {asked}, which is no gate: leave out limit for a verdict."

    def __repr__(self) -> str:
        sides = " -> ".join(percent(side.accuracy) for side in self._sides().values())
        said = [f"  {each.verdict} {each.gate}: {each.sentence}" for each in self._verdicts()]
        note = [f"  {self._note}"] if self._note else []
        return "\n".join([f"{self.id}: {sides or 'nothing asked yet'}", *said, *note])

    def _repr_html_(self) -> str:
        parts = [Markup("<h4>{}</h4>").format(self.id), self._numbers()]
        parts += [Markup("<p>{}</p>").format(each._repr_html_()) for each in self._verdicts()]
        if self._note:
            parts.append(Markup("<p>{}</p>").format(self._note))
        if len(self._sides()) == 2:
            frame = self.frame()
            parts += [self._changed(frame, change) for change in ("lost", "gained")]
        if line := reused_line(Counter(self.reused)):
            parts.append(Markup("<p><small>{}</small></p>").format(line))
        return Markup("").join(parts)

    def _numbers(self) -> Markup:
        sides, rows = self._sides(), []
        for name, side in sides.items():
            low, high = side.interval
            of = counted(side.summary.questions, "question")
            reward = "" if side.summary.mean_reward is None else f"{side.summary.mean_reward:.3f}"
            rows.append((name, percent(side.accuracy), f"[{100 * low:.1f}, {100 * high:.1f}]", of, reward))
        if len(sides) == 2:
            before, after = (side.means for side in sides.values())
            changes = [after[each] - before[each] for each in before if each in after]
            judged = self.judged.get("improvement")
            change = sum(changes) / len(changes) if changes else 0.0
            found, interval = gain(change, judged.numbers.get("interval") if judged else None)
            turned = gained_lost(sum(each > 0 for each in changes), sum(each < 0 for each in changes))
            rows.append(("change", found, interval, turned, ""))
        return html_table(("", "accuracy", "95 % interval", "", "mean reward"), rows)

    def _changed(self, frame: pd.DataFrame, change: str) -> Markup:
        some = frame[frame["change"] == change]
        if some.empty:
            return Markup("")
        columns = ["question", "ground_truth", "before", "after"]
        rows = (tuple(map(shown, map(str, row))) for row in some[columns].head(_SHOWN).itertuples(index=False))
        table = html_table(("question", "truth", "before", "after"), rows)
        told = f"{len(some):,} {change}" + (f", the first {_SHOWN}" if len(some) > _SHOWN else "")
        return Markup("<details><summary>{}</summary>{}</details>").format(told, table)
