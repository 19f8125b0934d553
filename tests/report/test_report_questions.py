"""Browsing the questions of a run's page in real Chromium: filters, search, order, pages, addresses and keys."""

from __future__ import annotations

from typing import Any

import pytest
from questions_app import NEEDLE, QUESTIONS, App, Rendered, numbers_where, render_questions


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render_questions(tmp_path_factory.mktemp("questions"))


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
    assert set(app.numbers) <= expected
    assert len(app.numbers) == min(50, len(expected))


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


def test_filters_leave_other_parts_of_the_address(chromium: Any, rendered: Rendered) -> None:
    app = App(chromium, rendered.page, "#step=3&flip=lost")
    assert "step=3" in app.choose("after", "wrong").hash
    assert "after=wrong" in app.hash


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_have_the_colours_of_the_scheme(chromium: Any, rendered: Rendered, scheme: str) -> None:
    page = chromium.open(rendered.page, color_scheme=scheme).page
    styles = (
        "(e) => [getComputedStyle(e).stroke, getComputedStyle(e).fill, getComputedStyle(document.body).backgroundColor]"
    )
    stroke, _, background = page.locator(".plot .s0-stroke").first.evaluate(styles)
    _, fill, _ = page.locator(".plot text").first.evaluate(styles)
    assert len({stroke, fill, background, "none", "rgb(0, 0, 1)"}) == 5
