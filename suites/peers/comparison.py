"""What contestants took, round by round, as a table of ratios: for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One contestant. ``rounds`` are its values of the table's measure; ``cells`` further columns, as text."""

    name: str
    rounds: Sequence[float]
    cells: Mapping[str, str] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Table:
    """``measure`` names the values and their unit; ``more_is_better`` says which way a ratio counts. The first row is
    what the others are held against: a ratio of 2 says that it is twice as good. ``in_turns``: the rounds of all rows
    lie side by side, so that a ratio is the median of the rounds' ratios, not that of medians."""

    title: str
    name: str
    measure: str
    rows: Sequence[Row]
    more_is_better: bool
    conditions: Mapping[str, Any]
    notes: Sequence[str] = ()
    in_turns: bool = False

    def ratio(self, name: str) -> float:
        """How many times better the first row is than the named one."""
        first, other = self.rows[0], self.row(name)
        pairs = zip(first.rounds, other.rounds, strict=True) if self.in_turns else [(first.median, other.median)]
        return statistics.median(a / b if self.more_is_better else b / a for a, b in pairs)

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def cells(self) -> list[list[str]]:
        columns = list(dict.fromkeys(column for row in self.rows for column in row.cells))
        head = ["", self.measure, "least to most", f"{self.rows[0].name} is better by", *columns]
        return [head] + [
            [
                row.name,
                f"{row.median:.3g}",
                f"{min(row.rounds):.3g} to {max(row.rounds):.3g} in {len(row.rounds)}",
                "" if row is self.rows[0] else f"{self.ratio(row.name):.2f} times",
                *(row.cells.get(column, "") for column in columns),
            ]
            for row in self.rows
        ]

    def lines(self) -> list[str]:
        cells = self.cells()
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        rows = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return [*rows, *self.notes, f"with {', '.join(f'{key} {value}' for key, value in self.conditions.items())}"]

    def markdown(self) -> str:
        head, *rows = (f"| {' | '.join(row)} |" for row in self.cells())
        rule = f"|{'---|' * len(self.cells()[0])}"
        conditions = [f"- {key}: {value}" for key, value in self.conditions.items()]
        return "\n".join([f"# {self.title}", "", head, rule, *rows, "", *self.notes, "", *conditions, ""])

    def write(self, folder: Path) -> tuple[Path, Path]:
        folder.mkdir(parents=True, exist_ok=True)
        markdown, data = folder / f"{self.name}.md", folder / f"{self.name}.json"
        markdown.write_text(self.markdown(), encoding="utf-8")
        ratios = {row.name: self.ratio(row.name) for row in self.rows[1:]}
        data.write_text(json.dumps({**asdict(self), "ratios": ratios}, indent=2) + "\n", encoding="utf-8")
        return markdown, data


def circumstances(environment: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """What a figure depends on besides the code. The load is that of the last minute: it tells a busy machine."""
    from harness.store.manifest import versions

    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    known = versions("torch", "transformers", "trl", "lm-eval")
    return {
        **more,
        "threads": environment["OMP_NUM_THREADS"],
        "load at the end": load,
        **{name: version for name, version in known.items() if version},
    }
