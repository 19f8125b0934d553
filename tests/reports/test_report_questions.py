"""The questions of a run's page in real Chromium: filters, order, pages, addresses, keys, CSV, and no JavaScript."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, records_of, write_run
from report_pages import question_pages, run_page_of

from reports import render_session

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Only the second answer to question 4 says the needle; graders disagree about three answers."""
    root = tmp_path_factory.mktemp("browser")
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


def numbers_where(rendered: Rendered, fits: Any) -> set[int]:
    before, after = rendered.records("before"), rendered.records("after")
    return {number for number, question in enumerate(rendered.ids, 1) if fits(before[question], after[question])}


def test_opens_with_flips_first_and_asks_for_nothing(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    assert len(app.numbers) == 50
    flips = app.page.evaluate("Array.from(document.querySelectorAll('tr.row .flip'), f => f.textContent)")
    order = ["lost", "gained", "not scored", "both wrong", "both right", "not asked"]
    assert flips == sorted(flips, key=order.index)
    assert "lost" in flips
    assert app.page.locator(".static").count() == 0
    assert app.page.evaluate("document.querySelectorAll('[style]').length") == 0
    assert app.opened.faults == []


def test_search_looks_into_completions(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page).search("NEEDLE  nobody")
    assert app.numbers == [4]
    assert app.told == f"1 of {QUESTIONS} questions"
    assert app.search('"nobody needle"').numbers == []
    assert app.page.locator(".nothing").is_visible()
    assert app.search('"needle nobody"').numbers == [4]
    app.page.locator(".clear").click()
    assert len(app.settled().numbers) == 50
    assert app.page.evaluate("document.activeElement.name") == "q"


@pytest.mark.parametrize(
    ("choices", "fits"),
    [
        ({"before-finish": "length"}, lambda b, a: b["finish_reason"] == "length"),
        ({"after": "wrong"}, lambda b, a: a["status"] == "wrong"),
        (
            {"before": "no_answer", "after": "correct"},
            lambda b, a: (b["status"], a["status"]) == ("no_answer", "correct"),
        ),
        ({"graders": "disagree"}, lambda b, a: len({grade["correct"] for grade in a["grades"].values()}) > 1),
        ({"min": "0.5"}, lambda b, a: a["reward"] >= 0.5),
        ({"max": "0.5", "before": "correct"}, lambda b, a: a["reward"] <= 0.5 and b["status"] == "correct"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_filters_agree_with_the_records(chromium: Any, rendered: Rendered, choices: dict[str, str], fits: Any) -> None:
    app = App(chromium, rendered.page)
    for name, value in choices.items():
        app.choose(name, value)
    expected = numbers_where(rendered, fits)
    assert 0 < len(expected) < QUESTIONS
    assert app.told == f"{len(expected)} of {QUESTIONS} questions"
    assert set(app.numbers) == expected or (len(expected) > 50 and set(app.numbers) < expected)


def test_a_class_of_change_and_everything_again(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page).chip("lost")
    lost = numbers_where(rendered, lambda b, a: (b["status"], a["status"] != "correct") == ("correct", True))
    assert set(app.numbers) == lost
    assert app.hash == "#flip=lost"
    assert len(app.chip("all").numbers) == 50
    assert app.hash in ("", "#")


def test_order(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    button = app.page.locator("th.tokens button")
    after = rendered.records("after")
    tokens = {number: after[question]["completion_tokens"] for number, question in enumerate(rendered.ids, 1)}
    button.click()
    assert [tokens[n] for n in app.settled().numbers] == sorted(tokens.values())[:50]
    assert app.page.locator("th.tokens").get_attribute("aria-sort") == "ascending"
    button.click()
    assert [tokens[n] for n in app.settled().numbers] == sorted(tokens.values(), reverse=True)[:50]
    assert app.hash == "#sort=-tokens"
    assert app.page.locator("#questions-app [name=sort]").input_value() == "-tokens"
    app.choose("after", "wrong")
    assert "sort=-tokens" in app.hash
    button.click()
    app.page.locator("th.truth button").click()
    truths = {number: int(after[question]["ground_truth"]) for number, question in enumerate(rendered.ids, 1)}
    shown = [truths[n] for n in app.settled().numbers]
    assert shown == sorted(shown)


def test_pages_and_history(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    first = app.numbers
    app.page.locator(".app .next").click()
    second = app.settled().numbers
    assert app.hash == "#page=2"
    app.page.locator(".app .next").click()
    third = app.settled().numbers
    assert sorted(first + second + third) == list(range(1, QUESTIONS + 1))
    app.page.locator(".app .next").click(force=True)  # it says that it is disabled, and keeps the focus
    assert app.settled().numbers == third
    app.page.go_back()
    assert app.settled().numbers == second
    app.page.go_back()
    assert app.settled().numbers == first
    app.page.go_forward()
    assert app.settled().numbers == second


def test_an_address_is_the_whole_state(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#flip=right&before=correct&q=apples&sort=-tokens")
    app.settled()
    texts = rendered.records("after")
    expected = numbers_where(
        rendered,
        lambda b, a: b["status"] == a["status"] == "correct" and "apples" in a["prompt"][-1]["content"],
    )
    assert set(app.numbers) == expected
    shown = [texts[rendered.ids[n - 1]]["completion_tokens"] for n in app.numbers]
    assert shown == sorted(shown, reverse=True)
    assert app.page.locator("#questions-app [name=q]").input_value() == "apples"
    assert app.page.locator("#questions-app [name=before]").input_value() == "correct"
    assert app.page.locator("#questions-app [name=flip][value=right]").is_checked()
    assert app.page.locator("#questions-app [name=before]").is_visible()


@pytest.mark.parametrize("fragment", ["#q4", "#flip=lost&open=4", "#page=3&open=4"])
def test_a_link_opens_its_question(chromium: Any, rendered: Rendered, fragment: str) -> None:
    app = App(chromium, rendered.page, fragment)
    card = app.page.locator("tr.detail")
    assert NEEDLE in card.inner_text()
    row = app.page.locator("tr.row[data-number='4']")
    top, tools = row.bounding_box()["y"], app.page.locator(".tools").bounding_box()
    assert tools["y"] + tools["height"] <= top < 800


def test_an_address_of_something_else_is_let_be(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#training")
    assert app.hash == "#training"
    assert abs(app.page.locator("#training").bounding_box()["y"]) < 60
    assert len(app.numbers) == 50


def test_opening_stands_in_the_history(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    first, second = app.numbers[:2]
    rows = app.page.locator("tr.row")
    rows.nth(0).click()
    app.page.wait_for_selector("tr.detail .answer")
    assert app.hash == f"#q{first}"
    assert rows.nth(0).locator("button").get_attribute("aria-expanded") == "true"
    rows.nth(1).click()
    app.settled()
    assert app.hash == f"#q{second}"
    assert app.page.locator("tr.detail").count() == 1
    app.page.go_back()
    assert app.settled().page.locator("tr.is-open").get_attribute("data-number") == str(first)
    app.page.go_back()
    assert app.settled().page.locator("tr.detail").count() == 0


def test_keys(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    keyboard, numbers = app.page.keyboard, [str(n) for n in app.numbers]
    keyboard.press("/")
    assert app.page.evaluate("document.activeElement.name") == "q"
    keyboard.type("j")
    assert app.page.locator("#questions-app [name=q]").input_value() == "j"
    app.page.locator("#questions-app [name=q]").fill("")
    app.settled().page.locator("th.change button").focus()
    keyboard.press("j")
    assert app.focused == numbers[0]
    keyboard.press("j")
    keyboard.press("ArrowDown")
    keyboard.press("k")
    assert app.focused == numbers[1]
    keyboard.press("Enter")
    app.page.wait_for_selector("tr.detail .answer")
    assert app.page.locator("tr.is-open").get_attribute("data-number") == numbers[1] == app.focused
    keyboard.press("Escape")
    assert app.settled().page.locator("tr.detail").count() == 0
    assert app.focused == numbers[1]
    keyboard.press("?")
    assert app.page.locator(".help").evaluate("(help) => help.open")
    app.page.locator(f"tr.row[data-number='{numbers[49]}'] button").focus()
    keyboard.press("j")
    assert app.settled().hash == "#page=2"
    assert app.focused == str(app.numbers[0])
    keyboard.press("k")
    assert app.settled().hash in ("", "#")
    assert app.focused == numbers[49]


def test_the_focus_survives_a_change_of_the_table(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    last = str(app.numbers[-1])
    app.page.locator(f"tr.row[data-number='{last}'] button").focus()
    app.page.evaluate("location.hash = 'sort=-tokens'")
    app.settled()
    assert app.focused in {str(n) for n in app.numbers}


def test_csv_of_what_is_shown(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#after=correct&before=wrong")
    app.settled()
    with app.page.expect_download() as started:
        app.page.locator(".csv").click()
    assert started.value.suggested_filename.endswith(".csv")
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_bytes().decode("utf-8"), newline="")))
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
    with app.page.expect_download() as started:
        app.page.locator(".csv").click()
    (row,) = csv.DictReader(io.StringIO(started.value.path().read_bytes().decode("utf-8"), newline=""))
    assert row["completion"] == cell


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
    rows[0] |= {"status": "odd\x00", "finish_reason": "odd", "reward": None, "rewards": {}, "completion_tokens": None}
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


def test_differences_are_marked_on_both_sides(chromium: Any, tmp_path: Path) -> None:
    texts = {"before": "We add 3 and 4, so it is \\boxed{7}.", "after": "We add 3 and 5 quickly, so it is \\boxed{8}."}
    run = write_run(
        tmp_path, MadeUp(questions=2, speech=lambda side, index, sample: texts[side] if not index else None)
    )
    app = App(chromium, run_page_of(render_session([run], tmp_path / "report")), "#q1")
    answers = app.page.locator("tr.detail .answer")
    assert answers.nth(0).locator(".completion del").all_text_contents() == ["4", "7"]
    assert answers.nth(1).locator(".completion ins").all_text_contents() == ["5 quickly", "8"]
    styles = "(e) => getComputedStyle(e).textDecorationStyle"
    assert answers.locator(".completion del").first.evaluate(styles) != answers.locator(
        ".completion ins"
    ).first.evaluate(styles)
    assert "only before" in app.page.locator("tr.detail").inner_text()


def test_records_are_linked(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    links = app.page.locator("#questions a", has_text="records.jsonl")
    for link, side in zip(links.all(), ("before", "after"), strict=True):
        target = (rendered.page.parent / link.get_attribute("href")).resolve()
        assert target == (rendered.run / side / "records.jsonl").resolve()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_have_the_colours_of_the_scheme(chromium: Any, rendered: Rendered, scheme: str) -> None:
    page = chromium.open(rendered.page, color_scheme=scheme).page
    styles = (
        "(e) => [getComputedStyle(e).stroke, getComputedStyle(e).fill, getComputedStyle(document.body).backgroundColor]"
    )
    stroke, _, background = page.locator(".plot .s0-stroke").first.evaluate(styles)
    _, fill, _ = page.locator(".plot text").first.evaluate(styles)
    assert len({stroke, fill, background, "none", "rgb(0, 0, 1)"}) == 5
