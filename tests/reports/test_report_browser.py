"""Search, filters, links and keys in real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, records_of, write_run

from reports import render_session

if TYPE_CHECKING:
    from pathlib import Path

NEEDLE = "a needle nobody else says"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run and its page; only the second answer to question 3 says the needle."""
    root = tmp_path_factory.mktemp("browser")
    made_up = MadeUp(questions=40, speech=lambda side, index, sample: NEEDLE if (side, index) == ("after", 3) else None)
    run = write_run(root, made_up)
    return run, render_session([run, write_run(root, MadeUp(seed=1))], root / "report")


def rows(opened: Any, which: str = "#run1") -> Any:
    return opened.page.locator(f"{which} details.q:visible")


def test_everything_is_there_at_first(chromium: Any, runs: tuple[Path, Path]) -> None:
    opened = chromium.open(runs[1])
    assert rows(opened).count() == 40
    assert opened.page.locator("#run1 .tools").is_visible()
    assert opened.page.evaluate("document.querySelectorAll('[style]').length") == 0
    assert opened.faults == []


def test_search_looks_into_completions(chromium: Any, runs: tuple[Path, Path]) -> None:
    opened = chromium.open(runs[1])
    opened.page.locator("#run1 input[type=search]").fill("NEEDLE  nobody")
    opened.page.locator("#run1 .told", has_text="1 of 40").wait_for()
    assert rows(opened).count() == 1
    assert rows(opened).get_attribute("id") == "run1-q4"
    assert rows(opened, "#run2").count() == 12
    opened.page.locator("#run1 input[type=search]").fill("nowhere to be found")
    opened.page.locator("#run1 .nothing button").click()
    assert rows(opened).count() == 40


def test_filters_agree_with_the_records(chromium: Any, runs: tuple[Path, Path]) -> None:
    opened = chromium.open(runs[1])
    page = opened.page
    before = {record["question_id"]: record for record in records_of(runs[0], "before")}
    after = {record["question_id"]: record for record in records_of(runs[0], "after")}
    page.locator("#run1 select[name=finish]").select_option("before:length")
    assert rows(opened).count() == sum(r["finish_reason"] == "length" for r in before.values())
    page.locator("#run1 select[name=finish]").select_option("")
    page.locator("#run1 select[name=status]").select_option("after:correct")
    assert rows(opened).count() == sum(r["status"] == "correct" for r in after.values())
    page.locator("#run1 .chips label", has_text="gained").click()
    gained = [q for q in before if before[q]["status"] != "correct" and after[q]["status"] == "correct"]
    assert rows(opened).count() == len(gained)


def test_rows_open_by_keyboard(chromium: Any, runs: tuple[Path, Path]) -> None:
    opened = chromium.open(runs[1])
    page = opened.page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "search"
    page.locator("#run1 details.q summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#run1 details.q").first.evaluate("(row) => row.open")
    assert page.locator("#run1 details.q .completion").first.is_visible()


def test_a_link_opens_its_question(chromium: Any, runs: tuple[Path, Path]) -> None:
    opened = chromium.open(runs[1], fragment="#run1-q4")
    assert opened.page.get_by_text(NEEDLE).first.is_visible()


def test_without_javascript_all_questions_are_there(chromium: Any, runs: tuple[Path, Path]) -> None:
    opened = chromium.open(runs[1], java_script_enabled=False)
    assert rows(opened).count() == 40
    opened.page.locator("#run1-q4 > summary").click()
    assert opened.page.get_by_text(NEEDLE).first.is_visible()
    assert opened.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_have_the_colours_of_the_scheme(chromium: Any, runs: tuple[Path, Path], scheme: str) -> None:
    page = chromium.open(runs[1], color_scheme=scheme).page
    styles = (
        "(e) => [getComputedStyle(e).stroke, getComputedStyle(e).fill, getComputedStyle(document.body).backgroundColor]"
    )
    stroke, _, background = page.locator(".plot .s0-stroke").first.evaluate(styles)
    _, fill, _ = page.locator(".plot text").first.evaluate(styles)
    assert len({stroke, fill, background, "none", "rgb(0, 0, 1)"}) == 5
