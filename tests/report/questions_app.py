"""The questions of a run's page as the tests use them: a made-up run, its page, and the table drawn in Chromium."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from made_up_runs import MadeUp, records_of, write_run
from report_pages import run_page_of

from harness.report.render import render_session

NEEDLE = "a needle nobody else says"
QUESTIONS = 120


@dataclass(frozen=True)
class Rendered:
    """A run directory, its page, and its records by side and question."""

    run: Path
    page: Path

    def records(self, side: str) -> dict[str, dict[str, Any]]:
        return {record["question_id"]: record for record in records_of(self.run, side)}

    @property
    def ids(self) -> list[str]:
        lines = (self.run / "questions.jsonl").read_text().split("\n")[:-1]
        return [json.loads(line)["id"] for line in lines]


def render_questions(root: Path) -> Rendered:
    """Only the second answer to question 4 says the needle; graders disagree about three answers."""
    made_up = MadeUp(
        questions=QUESTIONS,
        accuracies=(0.5, 0.6),
        functions={"boxed_numeric": 1.0, "format_boxed": 0.2},
        speech=lambda side, index, sample: NEEDLE if (side, index) == ("after", 3) else None,
    )
    run = write_run(root, made_up)
    rows = records_of(run, "after")
    for row in [row for row in rows if row["status"] == "correct"][:3]:
        row["grades"]["boxed_exact"]["correct"] = False
    (run / "after" / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Rendered(run, run_page_of(render_session([run], root / "report")))


class App:
    """The page with its table drawn."""

    def __init__(self, chromium: Any, path: Path, fragment: str = "", **context: Any) -> None:
        self.opened = chromium.open(path, fragment, **context)
        self.page = self.opened.page
        self.page.wait_for_selector("html[data-questions=ready]", state="attached")

    def settled(self) -> App:
        self.page.wait_for_timeout(250)  # typing waits a moment
        self.page.wait_for_selector("#questions-app[aria-busy=false]")
        return self

    @property
    def numbers(self) -> list[int]:
        return [
            int(n) for n in self.page.evaluate("Array.from(document.querySelectorAll('tr.row'), r => r.dataset.number)")
        ]

    @property
    def told(self) -> str:
        return str(self.page.locator("#questions-app [role=status]").text_content())

    @property
    def hash(self) -> str:
        return str(self.page.evaluate("location.hash"))

    @property
    def focused(self) -> str | None:
        return self.page.evaluate("document.activeElement.closest('tr')?.dataset.number ?? null")

    def choose(self, name: str, value: str) -> App:
        if not self.page.locator(".filters").evaluate("(box) => box.open"):
            self.page.locator(".filters > summary").click()
        field = self.page.locator(f"#questions-app [name='{name}']")
        field.select_option(value) if field.evaluate("(f) => f.tagName") == "SELECT" else field.fill(value)
        return self.settled()

    def chip(self, words: str) -> App:
        self.page.locator(".app .chips label", has_text=words).click()
        return self.settled()

    def search(self, words: str) -> App:
        self.page.locator("#questions-app input[type=search]").fill(words)
        return self.settled()

    def csv_rows(self) -> list[dict[str, str]]:
        """What the button for it downloads: a row for each answer that is shown."""
        with self.page.expect_download() as started:
            self.page.locator(".csv").click()
        assert started.value.suggested_filename.endswith(".csv")
        return list(csv.DictReader(io.StringIO(started.value.path().read_bytes().decode("utf-8"), newline="")))


def numbers_where(rendered: Rendered, fits: Any) -> set[int]:
    before, after = rendered.records("before"), rendered.records("after")
    return {number for number, question in enumerate(rendered.ids, 1) if fits(before[question], after[question])}
