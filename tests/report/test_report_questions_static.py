"""The questions of a run's page outside its table: as CSV, as linked records, and on pages without JavaScript."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, records_of, write_run
from questions_app import NEEDLE, QUESTIONS, App, Rendered, render_questions
from report_pages import question_pages, run_page_of

from harness.report.render import render_session

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render_questions(tmp_path_factory.mktemp("questions"))


def test_csv_of_what_is_shown(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#after=correct&before=wrong")
    app.settled()
    rows = app.csv_rows()
    assert {int(row["number"]) for row in rows} == set(app.numbers)
    assert len(rows) == 2 * len(app.numbers)
    for row in rows:
        record = rendered.records(row["side"])[row["question_id"]]
        assert row["completion"] == record["completion"]
        assert row["question"] == record["prompt"][-1]["content"]
        for key in ("status", "finish_reason", "ground_truth"):
            assert row[key] == record[key]
        assert row["extracted"] == (record["extracted"] or "")
        assert float(row["reward"]) == record["reward"]
        assert float(row["rewards.format_boxed"]) == record["rewards"]["format_boxed"]
        assert int(row["completion_tokens"]) == record["completion_tokens"]
        assert row["boxed_exact.correct"] == str(record["grades"]["boxed_exact"]["correct"]).lower()
    assert not [fault for fault in app.opened.faults if "blob:" not in fault]


@pytest.mark.parametrize(
    ("said", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-5", "-5"),
        ("-5+2", "'-5+2"),
        ("@x", "'@x"),
        ('a "b", c\nd', 'a "b", c\nd'),
        ("\t=1", "'\t=1"),
    ],
)
def test_csv_holds_no_formula(chromium: Any, tmp_path: Path, said: str, cell: str) -> None:
    run = write_run(tmp_path, MadeUp(questions=1, train=False, after=False, speech=lambda *_: said))
    app = App(chromium, run_page_of(render_session([run], tmp_path / "report")))
    (row,) = app.csv_rows()
    assert row["completion"] == cell


def test_records_are_linked(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    links = app.page.locator("#questions a", has_text="records.jsonl")
    for link, side in zip(links.all(), ("before", "after"), strict=True):
        target = (rendered.page.parent / link.get_attribute("href")).resolve()
        assert target == (rendered.run / side / "records.jsonl").resolve()


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_the_static_pages_and_the_app_say_the_same(chromium: Any, tmp_path: Path) -> None:
    """Every answer of every question, by both renderings of cards.html."""
    pick = random.Random(0)
    letters = [
        "word",
        "\\boxed{7}",
        "\\boxed{ 8 }",
        "<b>",
        "\x00",
        "\u202e",
        "\n",
        "\ud800",
        "\U0001f600",
        "1,200",
        "é\u0301",
        "&amp;",
    ]
    made_up = MadeUp(
        questions=30,
        samples=2,
        functions={"boxed_numeric": 0.1, "big": 12345.678, "small": 1e-6},
        accuracies=(0.4, 0.6),
        asked_after=26,
        speech=lambda side, index, sample: " ".join(pick.choices(letters, k=12)) if sample else None,
    )
    run = write_run(tmp_path, made_up)
    rows = records_of(run, "before")
    rows[0] |= {"status": "unscored", "finish_reason": "error", "reward": None, "rewards": {}, "completion_tokens": 0}
    rows[1] |= {
        "prompt": [{"role": "user", "content": "another"}],
        "completion": "",
        "grades": {},
        "prompt_tokens": 12345,
    }
    rows[2] |= {"extracted": "y" * 1000, "rewards": {"boxed_numeric": None, "extra": 0.5}, "reward": -1.23456e-7}
    rows[3]["grades"] = {
        "boxed_exact": {"extracted": "<i>", "correct": None},
        "mine": {"extracted": None, "correct": True},
    }
    rows[4]["completion"] = "é" * 15_000 + "\U0001f600" * 15_000
    for row in rows[5:]:
        if "\\boxed{7}" in row["completion"]:
            row |= {
                "extracted": "7",
                "grades": {g: {"extracted": "7", "correct": False} for g in ("boxed_exact", "boxed_numeric")},
            }
    (run / "before" / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = run_page_of(render_session([run], tmp_path / "report"))

    still: dict[str, list[str]] = {}
    summaries: dict[str, str] = {}
    for path in (page, *question_pages(page)):
        opened = chromium.open(path, java_script_enabled=False)
        for row in opened.page.locator("details.q").all():
            number = row.get_attribute("id")[1:]
            still[number] = [squeezed(text) for text in row.locator(".answer").all_text_contents()]
            summaries[number] = squeezed(row.locator("> summary .marks").text_content())
            still[number] += [squeezed(row.locator(".meta").text_content())]
            still[number] += [str(row.locator("mark.spot").count())]
        assert opened.faults == []
    assert len(still) == 30
    assert sum(int(texts[-1]) for texts in still.values()) > 40

    app = App(chromium, page)
    for number, texts in still.items():
        app.page.evaluate(f"location.hash = 'q{number}'")
        detail = app.page.locator(f"tr.row[data-number='{number}'] + tr.detail")
        detail.locator(".meta").wait_for()
        lively = [squeezed(text) for text in detail.locator(".answer").all_text_contents()]
        lively += [squeezed(detail.locator(".meta").text_content())]
        assert lively == texts[:-1]
        shown = detail.locator("mark.spot").all_text_contents()
        assert len(shown) >= int(texts[-1])  # a difference may cut one in two
        marks = app.page.locator(f"tr.row[data-number='{number}'] .marks").text_content()
        assert squeezed(marks) == summaries[number]
    assert app.opened.faults == []


def test_without_javascript_all_questions_are_there(chromium: Any, rendered: Rendered) -> None:
    opened = chromium.open(rendered.page, java_script_enabled=False)
    page = opened.page
    assert page.locator("#questions-app").is_hidden()
    numbers: list[str] = []
    while True:
        numbers += [row.get_attribute("id")[1:] for row in page.locator("details.q").all()]
        if page.locator("#q4").count():
            page.locator("#q4 > summary").click()
            assert page.get_by_text(NEEDLE).is_visible()
        following = page.locator(".pager a", has_text="next").first
        if not following.count():
            break
        with page.expect_navigation():  # and its end: a page that is half there has half of its questions
            following.click()
    assert sorted(map(int, numbers)) == list(range(1, QUESTIONS + 1))
    page.locator(".brand a").click()
    assert page.url.split("#")[0] == rendered.page.as_uri()
    assert not [fault for fault in opened.faults if "/questions-" not in fault]


def test_where_the_script_fails_the_static_questions_are_shown(
    chromium: Any, rendered: Rendered, tmp_path: Path
) -> None:
    text = rendered.page.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(re.sub(r'(id="questions-index"[^>]*>)[^<]*', r"\1zzzzzz", text), encoding="utf-8")
    opened = chromium.open(broken)
    opened.page.locator("details.q").first.wait_for()
    assert opened.page.locator("details.q").count() == 50
    assert opened.page.locator("#questions-app").is_hidden()
