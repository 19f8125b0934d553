"""What a person does with a run's page in real Chromium: look, search, filter, go on by keys, follow links, print."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, records_of, write_run
from made_up_training import completions_of
from report_pages import run_page_of

from harness.report import present
from harness.report.render import render_session
from harness.store.run_files import HELD_AGAINST, HeldAgainst
from tests.run_files import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEEDLE = "a needle nobody else says"
QUESTIONS = 120
IDS = {0: "made-up/test/dd2110aa", 1: "made-up/test/31b5ff00"}
TEXTS = {0: "Ben has 9 pens", 1: "9 boxes of pens", 2: "boxes: 9 of them", 5: "110 pens"}
RICH = (
    "## Steps\n\n1. **First** we add $\\frac{1}{2} + x_1$ and\n2. `<b>code</b>`\n\n"
    "\\[ y = \\sqrt{2} \\]\nThe answer is \\boxed{\\frac{3}{4}}. [link](javascript:alert(1)) <i>html</i>"
)


@dataclass(frozen=True)
class Rendered:
    """A run directory, its page, and its records by side and question."""

    run: Path
    page: Path

    def records(self, side: str) -> dict[str, dict[str, Any]]:
        return {record["question_id"]: record for record in records_of(self.run, side)}

    def numbers_where(self, fits: Callable[[dict[str, Any], dict[str, Any]], bool]) -> set[int]:
        before, after = self.records("before"), self.records("after")
        ids = [json.loads(line)["id"] for line in (self.run / "questions.jsonl").read_text().split("\n")[:-1]]
        return {number for number, each in enumerate(ids, 1) if fits(before[each], after[each])}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Only the second answer to question 4 says the needle; graders disagree about three answers; question 5 is
    answered in Markdown and LaTeX."""
    root = tmp_path_factory.mktemp("browser")
    made_up = MadeUp(
        questions=QUESTIONS,
        accuracies=(0.5, 0.6),
        steps=30,
        functions={"boxed_numeric": 1.0, "format_boxed": 0.2},
        speech=lambda side, index, _: {3: NEEDLE, 4: RICH}.get(index) if side == "after" else None,
        question_text=TEXTS.get,
    )
    run = write_run(root, made_up)
    rows = records_of(run, "after")
    for row in [row for row in rows if row["status"] == "correct"][:3]:
        row["grades"]["boxed_exact"]["correct"] = False
    (run / "after" / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for file in (run / "questions.jsonl", *run.glob("*/records.jsonl")):
        lines = [json.loads(line) for line in file.read_text().split("\n") if line]
        for row in lines:
            for key in {"id", "question_id"} & row.keys():
                row[key] = IDS.get(int(row[key].split("/")[-1]), row[key])
        file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return Rendered(run, run_page_of(render_session([run], root / "report")))


class App:
    """The page once its questions are there."""

    def __init__(self, chromium: Any, path: Path, fragment: str = "", **context: Any) -> None:
        self.opened = chromium.open(path, fragment, **context)
        self.page = self.opened.page
        self.page.wait_for_selector("html[data-questions=ready]", state="attached")
        self.press = self.page.keyboard.press

    def settled(self) -> App:
        self.page.wait_for_timeout(250)  # typing waits a moment
        self.page.wait_for_selector("#app[aria-busy=false]", state="attached")
        return self

    @property
    def numbers(self) -> list[int]:
        """The questions of the rows that are drawn."""
        return self.page.evaluate("Array.from(document.querySelectorAll('.list li'), (row) => +row.dataset.number)")

    @property
    def told(self) -> str:
        return self.page.locator("#app [role=status]").inner_text()

    @property
    def hash(self) -> str:
        return self.page.evaluate("location.hash")

    @property
    def card(self) -> str:
        return self.page.locator(".card").inner_text()

    def search(self, words: str) -> App:
        self.page.fill("#app [name=q]", words)
        return self.settled()

    def choose(self, name: str, value: str) -> App:
        if not self.page.locator(".filters").evaluate("(box) => box.open"):
            self.page.locator(".filters summary").click()
        field = self.page.locator(f"#app [name='{name}']")
        if field.evaluate("(field) => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
            field.press("Tab")
        return self.settled()


def test_the_head_and_the_tabs_answer_first(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    page = app.page
    assert page.locator(".panel:visible").count() == 1
    assert page.locator("#overview .few").count() == 3
    for name in ("Questions", "Training", "Groups", "Rewards", "Setup", "Overview"):
        page.locator(".tabs a", has_text=name).click()
        page.locator(f"#{name.lower()}:visible").wait_for()
        assert page.locator(".panel:visible").count() == 1
        assert app.hash == f"#{name.lower()}"
        assert page.locator(".head h1").is_visible()
    page.go_back()
    page.locator("#setup:visible").wait_for()
    assert page.evaluate("document.querySelectorAll('[style]').length") == 0
    assert app.opened.faults == []


def test_a_verdict_gives_its_statistics_on_demand(chromium: Any, rendered: Rendered) -> None:
    page = App(chromium, rendered.page).page
    sentence = json.loads((rendered.run / "verdicts.json").read_text())["verdicts"][0]["sentence"]
    assert page.get_by_text(sentence).is_hidden()
    page.locator(".verdicts summary").first.click()
    assert page.get_by_text(sentence).is_visible()


def test_links_from_the_head_and_the_index_arrive(chromium: Any, rendered: Rendered) -> None:
    lost = rendered.numbers_where(lambda b, a: b["status"] == "correct" != a["status"])
    app = App(chromium, rendered.page)
    app.page.locator(".result a", has_text="lost").click()
    app.page.locator(".list li").first.wait_for()
    assert set(app.settled().numbers) == lost
    href = (
        chromium.open(rendered.page.parent / "index.html")
        .page.locator(".flips a", has_text="lost")
        .get_attribute("href")
    )
    name, _, state = href.partition("#")
    assert name == rendered.page.name
    assert set(App(chromium, rendered.page, f"#{state}").numbers) == lost


def test_rows_come_lost_first_and_as_far_as_one_scrolls(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#questions")
    assert len(app.numbers) == 100
    flips = app.page.evaluate("Array.from(document.querySelectorAll('.list li'), (row) => row.dataset.flip)")
    assert flips == sorted(flips, key=["lost", "gained", "unscored", "wrong", "right", "unasked"].index)
    app.page.locator(".list li").last.scroll_into_view_if_needed()
    app.page.locator(".list li").nth(QUESTIONS - 1).wait_for()
    assert sorted(app.numbers) == list(range(1, QUESTIONS + 1))


def test_a_search_looks_into_answers_and_beginnings_of_ids(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#questions")
    for words, numbers in (
        ("NEEDLE  nobody", {4}),
        ('"nobody needle"', set()),
        ("9 boxes", {2, 3}),
        ('"9 boxes"', {2}),
        ("110 pens", {6}),  # not the first, whose id holds it
        ("dd2110", {1}),
        ("2110aa", set()),
    ):
        assert set(app.search(words).numbers) == numbers, words
    assert app.page.locator(".nothing").is_visible()
    app.search("pens 9")
    assert set(app.page.evaluate("[...CSS.highlights.get('found')].map(String)")) == {"9", "pens"}
    app.page.locator(".clear").click()
    assert len(app.settled().numbers) == 100
    assert app.page.evaluate("document.activeElement.name") == "q"
    assert app.opened.faults == []


@pytest.mark.parametrize(
    ("choices", "fits"),
    [
        ({"before-finish": "length"}, lambda b, a: b["finish_reason"] == "length"),
        (
            {"before": "no_answer", "after": "correct"},
            lambda b, a: (b["status"], a["status"]) == ("no_answer", "correct"),
        ),
        ({"graders": "disagree"}, lambda b, a: len({grade["correct"] for grade in a["grades"].values()}) > 1),
        ({"max": "0.5", "before": "correct"}, lambda b, a: a["reward"] <= 0.5 and b["status"] == "correct"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_filters_agree_with_the_records(chromium: Any, rendered: Rendered, choices: dict[str, str], fits: Any) -> None:
    app = App(chromium, rendered.page, "#questions")
    for name, value in choices.items():
        app.choose(name, value)
    expected = rendered.numbers_where(fits)
    assert 0 < len(expected) < QUESTIONS
    assert app.told == f"{len(expected)} of {QUESTIONS} questions"
    assert set(app.numbers) == expected


def test_questions_lost_to_the_baseline_are_found(chromium: Any, tmp_path: Path) -> None:
    """Those of which fewer answers are right than it had, first of all."""
    run = write_run(tmp_path, MadeUp(questions=40, accuracies=(0.3, 0.6)))
    right = {f"made-up/test/{n}": n % 9 for n in range(30)}
    HELD_AGAINST.write(run, HeldAgainst("b.toml", "made-up", 0, "c", "2001-01-01", "tiny", 0.5, right, 8, {}, ""))
    made = Rendered(run, run_page_of(render_session([run], tmp_path / "report")))
    lost = made.numbers_where(lambda b, a: right.get(a["question_id"], 0) > 0 and a["status"] != "correct")
    assert 3 < len(lost) < 30
    app = App(chromium, made.page)
    app.page.locator(".head a", has_text=f"{len(lost)} lost to baseline").click()
    app.page.locator(".list li").first.wait_for()
    assert set(app.settled().numbers) == lost
    app.page.locator(f".list li[data-number='{min(lost)}']").click()
    had = right[f"made-up/test/{min(lost) - 1}"]
    said = "right" if had == 8 else f"{100 * had / 8:g} % right"
    app.page.locator(".card .bar", has_text=f"baseline {said}").wait_for()
    app.page.locator(".clear").click()
    turned = made.numbers_where(lambda b, a: b["status"] == "correct" != a["status"])
    assert set(app.settled().numbers[: len(lost | turned)]) == lost | turned
    assert app.opened.faults == []


def test_an_address_is_the_whole_state(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#flip=right&before=correct&q=apples&sort=-tokens").settled()
    expected = rendered.numbers_where(
        lambda b, a: b["status"] == a["status"] == "correct" and "apples" in a["prompt"][-1]["content"]
    )
    assert set(app.numbers) == expected
    ids = [json.loads(line)["id"] for line in (rendered.run / "questions.jsonl").read_text().split("\n")[:-1]]
    tokens = [rendered.records("after")[ids[number - 1]]["completion_tokens"] for number in app.numbers]
    assert tokens == sorted(tokens, reverse=True)
    assert app.page.locator("#app [name=q]").input_value() == "apples"
    app.page.evaluate("location.hash = 'q4&flip=lost'")
    app.page.locator(".card", has_text=NEEDLE).wait_for()
    assert App(chromium, rendered.page, "#q9999").page.locator(".card").inner_text() == "There is no question 9999."


def test_keys_go_through_the_questions(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page)
    assert app.page.locator(".card *").count() == 0  # nothing is unpacked for who does not look
    app.page.locator(".tabs a", has_text="Questions").click()
    numbers = app.numbers
    app.page.locator(".card .bar", has_text=f"Question {numbers[0]}").wait_for()  # the first one is there at once
    assert app.hash == "#questions"
    for key, place in (("j", 1), ("j", 2), ("k", 1)):
        app.press(key)
        app.page.locator(".card .bar", has_text=f"Question {numbers[place]}").wait_for()
        assert app.page.locator(".list [aria-current]").get_attribute("data-number") == str(numbers[place])
        assert app.hash == f"#q{numbers[place]}"
    app.press("Escape")
    assert app.settled().page.evaluate("document.activeElement.closest('li').dataset.number") == str(numbers[1])
    app.press("/")
    app.page.keyboard.type("boxes")
    app.settled()
    app.press("Enter")
    app.page.locator(".card .answer").first.wait_for()
    assert app.page.locator(".list [aria-current]").get_attribute("data-number") == str(app.numbers[0])
    app.page.evaluate(f"location.hash = 'q{numbers[99]}'")
    app.page.locator(".card .bar", has_text=f"Question {numbers[99]} ").wait_for()
    app.press("j")
    app.page.locator(".list li").nth(100).wait_for()


def test_list_and_card_stand_side_by_side_or_after_each_other(chromium: Any, rendered: Rendered) -> None:
    wide = App(chromium, rendered.page, "#q4", viewport={"width": 1400, "height": 900}).page
    listed, card = wide.locator(".list").bounding_box(), wide.locator(".card").bounding_box()
    assert listed["x"] + listed["width"] <= card["x"]
    assert max(box["y"] + box["height"] for box in (listed, card)) <= 900
    phone = App(chromium, rendered.page, "#questions", viewport={"width": 390, "height": 800})
    page = phone.page
    page.locator(".list li").nth(5).click()
    page.locator(".card .answer").first.wait_for()
    assert page.locator(".list").is_hidden()
    assert 0 <= page.locator(".card .bar").bounding_box()["y"] < 400
    page.locator(".card .back").click()
    assert page.locator(".list").is_visible()
    assert page.locator(".card").is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_card_marks_what_was_extracted_and_what_differs(chromium: Any, rendered: Rendered) -> None:
    turned = rendered.numbers_where(lambda b, a: b["status"] == "wrong" and a["status"] == "correct")
    number = min(turned - {4, 5})
    page = App(chromium, rendered.page, f"#q{number}").page
    record = next(r for r in rendered.records("after").values() if r["question_id"].endswith(f"/{number - 1}"))
    page.locator(".card .answer").nth(1).wait_for()
    after = page.locator(".card .answer").nth(1)
    assert after.locator("mark.spot").all_inner_texts() == [record["extracted"]]
    assert record["extracted"] in after.locator(".only").all_inner_texts()
    assert (
        "reward 1.2 = boxed_numeric 1 \N{MULTIPLICATION SIGN} 1 + format_boxed 1 \N{MULTIPLICATION SIGN} 0.2"
        in " ".join(after.inner_text().split())
    )


def test_a_card_says_what_was_missing_and_what_was_cut_off(chromium: Any, rendered: Rendered) -> None:
    """In the overview, in the list and on the card; an open box is no missing one."""
    rows = [row for row in records_of(rendered.run, "after") if row["status"] == "no_answer"]
    number = {json.loads(line)["id"]: place for place, line in enumerate((rendered.run / "questions.jsonl").open(), 1)}
    for finish, listed, said in (("stop", "no answer", ""), ("length", "cut off", "cut off at the token limit")):
        one = next(row for row in rows if row["finish_reason"] == finish and "boxed" not in row["completion"])
        page = App(chromium, rendered.page, f"#q{number[one['question_id']]}").page
        head = page.locator(".card .answer").nth(1).locator("header")
        assert " ".join(head.inner_text().split()) == f"after ∅ no \\boxed{{}} {said}".strip()
        assert page.locator(".list [aria-current] .answers").text_content().endswith(f"→ {listed}")
    form = present.form_of(["boxed_numeric"])
    for text, word in (("7", "no \\boxed{}"), ("\\boxed{7", "no answer")):
        assert present.said([record(status="no_answer", extracted=None, completion=text)], form).word == word


def test_markup_is_rendered_and_raw_on_a_key(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#q5")
    text = app.page.locator(".card .answer").nth(1).locator(".text")
    text.locator("math").first.wait_for()
    assert text.locator("math").count() == 3
    assert text.locator("mfrac").count() == 2
    assert text.locator(".boxed").count() == 1
    assert text.locator("ol b").inner_text() == "First"
    assert text.locator("code").inner_text() == "<b>code</b>"
    assert "[link](javascript:alert(1)) <i>html</i>" in text.inner_text()
    app.press("r")
    app.page.locator(".card .answer").nth(1).locator(".text:not(.rich)").wait_for()
    assert text.inner_text() == RICH
    assert app.hash == "#q5&raw=1"
    assert app.opened.faults == []


@pytest.mark.parametrize(
    ("completion", "extracted", "last", "first"),
    [
        (r"so [\boxed{7}]", "7", 11, 11),
        (r"\boxed{7} and 7 and \boxed{7} or 7", "7", 27, 7),
        (r"\boxed{ 7 } then \boxed {7}", "7", 25, 8),
        (r"\boxed{7} cut \boxed{7", "7", 7, 7),
        (r"\boxed{17} but 7", "7", 15, 15),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 7, 7),
        (r"\boxed{a}{a}", "a", 7, 7),
        (r"<think>\boxed{7}</think> \boxed{7}", "7", 32, 32),
        ("17, 7.5, 1,700, 0.7 and 70", "7", None, None),
        ("a 7, b 7.", "7", 7, 7),
        ("the answer is -7", "-7", 14, 14),
        ("nothing here", "7", None, None),
        ("blank", "  ", None, None),
    ],
)
def test_where_an_answer_stands(
    chromium: Any, rendered: Rendered, completion: str, extracted: str, last: int | None, first: int | None
) -> None:
    page = chromium.open(rendered.page).page
    for expected, from_start in ((first, True), (last, False)):
        found = page.evaluate(
            "([text, wanted, first]) => spotOf(text, wanted, first)", [completion, extracted, from_start]
        )
        assert found == (None if expected is None else [expected, expected + len(extracted)])


def test_csv_holds_what_is_listed(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#flip=lost")
    app.page.locator(".filters summary").click()
    with app.page.expect_download() as download:
        app.page.locator(".csv").click()
    with download.value.path().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lost = rendered.numbers_where(lambda b, a: b["status"] == "correct" != a["status"])
    assert {int(row["number"]) for row in rows} == lost
    assert len(rows) == 2 * len(lost)
    for row in rows:
        record = rendered.records(row["side"])[row["question_id"]]
        assert (row["completion"], row["status"]) == (record["completion"], record["status"])
        assert float(row["reward"]) == record["reward"]
        assert float(row["rewards.format_boxed"]) == record["rewards"]["format_boxed"]
        assert row["boxed_exact.correct"] == str(record["grades"]["boxed_exact"]["correct"]).lower()


def test_a_chart_tells_the_values_of_a_step(chromium: Any, rendered: Rendered) -> None:
    page = App(chromium, rendered.page, "#training").page
    logged = [json.loads(line) for line in (rendered.run / "train" / "metrics.jsonl").read_text().split("\n")[:-1]]
    plot = page.locator("#chart-1 .canvas .plot")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 40)
    told = page.locator("#chart-1 .readout")
    assert told.inner_text().splitlines()[0] == "step 30"
    assert f"{logged[-1]['reward']:.4g}" in told.inner_text()
    plot.focus()
    page.keyboard.press("ArrowLeft")
    assert f"{logged[-2]['reward']:.4g}" in told.inner_text()


def test_groups_by_step_of_one_kind_and_over_the_steps(chromium: Any, rendered: Rendered) -> None:
    lines = completions_of(rendered.run)
    rewards: dict[tuple[int, str], set[float]] = {}
    for line in lines:
        rewards.setdefault((line["step"], line["group"]), set()).add(line["reward"])
    silent = sorted({step for (step, _), values in rewards.items() if len(values) == 1})
    app = App(chromium, rendered.page, f"#step={silent[0]}&signal=no")
    page, status = app.page, app.page.locator("#browse .status")
    status.filter(has_text=f"Step {silent[0]}:").wait_for()
    assert page.locator(".group").count() == page.locator(".no-signal").count() > 0
    for step in silent[1:]:
        page.get_by_role("button", name="Next step").click()
        status.filter(has_text=f"Step {step}:").wait_for()
    assert app.hash == f"#step={silent[-1]}&signal=no"
    page.locator(".tabs a", has_text="Groups").click()
    status.filter(has_text="Step 30:").wait_for()  # the last one, where nothing else is asked for
    page.evaluate("location.hash = 'step=2'")
    status.filter(has_text="Step 2:").wait_for()
    texts = [line["completion"] for line in lines if line["step"] == 2]
    assert page.locator(".samples .text").all_text_contents() == texts
    reach = max(abs(line["advantage"]) for line in lines)
    widths = page.evaluate("Array.from(document.querySelectorAll('.lean rect'), (bar) => +bar.getAttribute('width'))")
    assert widths == pytest.approx([50 * abs(x["advantage"]) / reach for x in lines if x["step"] == 2], abs=0.01)
    page.locator(".group .over").first.click()
    status.filter(has_text="One question in").wait_for()
    question = next(line["question_id"] for line in lines if line["step"] == 2)
    assert page.locator(".group").count() == len(
        {(x["step"], x["group"]) for x in lines if x["question_id"] == question}
    )
    assert app.hash.startswith("#over=")
    assert app.opened.faults == []


def test_without_javascript_the_answers_to_the_first_questions_are_there(chromium: Any, rendered: Rendered) -> None:
    opened = chromium.open(rendered.page, java_script_enabled=False)
    page = opened.page
    assert page.locator(".head .big").is_visible()
    assert page.locator(".verdicts summary").first.is_visible()
    assert page.locator("#overview .few").count() == 3
    assert page.locator("#training .plot").first.is_visible()
    assert page.locator("#app").is_hidden()
    assert page.get_by_text(f"All {QUESTIONS} questions need JavaScript").is_visible()
    page.locator(".tabs a", has_text="Training").click()
    assert page.locator("#training").bounding_box()["y"] < 300
    assert opened.faults == []


def test_paper_and_phone_hold_it(chromium: Any, rendered: Rendered) -> None:
    for fragment in ("", "#q4", "#training", "#step=1", "#rewards", "#setup"):
        app = App(chromium, rendered.page, fragment, viewport={"width": 390, "height": 800})
        assert app.page.evaluate("document.documentElement.scrollWidth") <= 390, fragment
        tabs = app.page.locator(".tabs a").all()
        assert max(tab.bounding_box()["x"] + tab.bounding_box()["width"] for tab in tabs) <= 390
        assert app.page.locator(".head").bounding_box()["height"] <= 100
    index = chromium.open(rendered.page.parent / "index.html", viewport={"width": 390, "height": 800}).page
    assert index.evaluate("document.documentElement.scrollWidth") <= 390
    paper = App(chromium, rendered.page).page
    paper.emulate_media(media="print")
    assert paper.locator("#overview").is_visible()
    assert paper.locator("#training").is_visible()
    assert paper.locator(".tabs").is_hidden()
