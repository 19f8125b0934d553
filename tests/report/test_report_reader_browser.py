"""What a reader who knows nothing of the page tries in real Chromium: search, links, Back, keys, steps of one kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, write_run
from made_up_training import completions_of
from questions_app import App
from report_pages import run_page_of

from harness.report.render import render_session

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {0: "Ben has 9 pens", 1: "9 boxes of pens", 2: "boxes: 9 of them", 3: "110 pens"}
IDS = {0: "made-up/test/dd2110aa", 1: "made-up/test/31b5ff00"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reader")
    made_up = MadeUp(questions=60, steps=30, groups=3, question_text=TEXTS.get, accuracies=(0.3, 0.7))
    run = write_run(root, made_up)
    for file in (run / "questions.jsonl", *run.glob("*/records.jsonl")):
        rows = [json.loads(line) for line in file.read_text().split("\n") if line]
        for row in rows:
            for key in ("id", "question_id"):
                if key in row:
                    row[key] = IDS.get(int(row[key].split("/")[-1]), row[key])
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return run_page_of(render_session([run], run.parent / "report"))


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("9 boxes", {2, 3}),
        ('"9 boxes"', {2}),
        ("110", {4}),  # not the first, whose id holds it
        ("dd2110", {1}),
        ("made-up/test/31b5", {2}),
        ("2110aa", set()),
    ],
)
def test_a_search_finds_texts_and_beginnings_of_ids(chromium: Any, page: Path, words: str, numbers: set[int]) -> None:
    app = App(chromium, page).search(words)
    assert set(app.numbers) == numbers


def test_what_was_found_is_marked(chromium: Any, page: Path) -> None:
    app = App(chromium, page).search("pens 9")
    found = app.page.evaluate("[...CSS.highlights.get('found')].map(String)")
    assert sorted(set(found)) == ["9", "pens"]
    app.page.locator(".clear").click()
    app.settled()
    assert app.page.evaluate("CSS.highlights.has('found')") is False
    assert app.opened.faults == []


@pytest.mark.parametrize("fragment", ["#q=pens", "#sort=truth", "#flip=gained", "#q9999"])
def test_a_link_to_the_list_shows_the_list(chromium: Any, page: Path, fragment: str) -> None:
    app = App(chromium, page, fragment)
    assert -2 <= app.page.locator("#questions").bounding_box()["y"] < 300
    assert app.page.evaluate("scrollY") > 500
    assert ("There is no question 9999." in app.told) == (fragment == "#q9999")


def test_a_link_on_the_page_leaves_the_filter_and_its_address(chromium: Any, page: Path) -> None:
    app = App(chromium, page, "#flip=gained")
    numbers = app.numbers
    app.page.locator(".jump a", has_text="Questions").click()
    assert app.hash == "#flip=gained"
    assert app.settled().numbers == numbers
    assert -2 <= app.page.locator("#questions").bounding_box()["y"] < 300


def test_back_to_an_address_without_state_restores_the_list(chromium: Any, page: Path) -> None:
    app = App(chromium, page)
    app.page.locator(".jump a", has_text="Questions").click()
    first = app.numbers
    app.page.locator(".app .next").click()
    assert app.settled().numbers != first
    app.page.go_back()
    assert app.settled().hash == "#questions"
    assert app.numbers == first
    app.page.locator("tr.row").first.click()
    app.page.wait_for_selector("tr.detail .answer")
    app.page.go_back()
    assert app.settled().page.locator("tr.detail").count() == 0


def test_enter_waits_for_a_search_that_is_under_way(chromium: Any, page: Path) -> None:
    app = App(chromium, page)
    app.page.evaluate("""() => {
        const box = document.querySelector("#questions-app"), field = box.querySelector("[name=q]");
        new MutationObserver((_, observer) => {
            if (box.getAttribute("aria-busy") !== "true") return;
            observer.disconnect();
            field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
        }).observe(box, { attributes: true });
    }""")
    app.page.fill("#questions-app [name=q]", "boxes")  # at once: a key typed after that Enter would go elsewhere
    app.settled()
    assert app.focused == str(app.numbers[0])


def test_keys_of_the_search_and_the_help(chromium: Any, page: Path) -> None:
    app = App(chromium, page)
    press = app.page.keyboard.press
    press("/")
    app.page.keyboard.type("boxes")
    press("Enter")
    app.settled()
    assert app.focused == str(app.numbers[0])
    assert set(app.numbers) == {2, 3}
    press("/")
    press("ArrowDown")
    app.settled()
    assert app.focused == str(app.numbers[0])
    press("/")
    press("Escape")
    press("Escape")
    assert app.page.evaluate("document.activeElement === document.body")
    app.page.evaluate("scrollTo(0, 0)")
    press("?")
    box = app.page.locator(".help p").bounding_box()
    height = app.page.viewport_size["height"]
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= height
    press("Escape")
    assert not app.page.locator(".help p").is_visible()


def silent(run: Path) -> list[int]:
    """Steps with a group of equal rewards."""
    rewards: dict[tuple[int, str], set[float]] = {}
    for line in completions_of(run):
        rewards.setdefault((line["step"], line["group"]), set()).add(line["reward"])
    return sorted({step for (step, _), values in rewards.items() if len(values) == 1})


def test_arrows_go_to_the_next_step_of_the_kind(chromium: Any, run: Path, page: Path) -> None:
    steps = silent(run)
    assert 2 < len(steps) < 30
    opened = chromium.open(page, "#step=1&signal=no")
    opened.page.locator(".now", has_text="Step 1:").wait_for()
    assert opened.page.locator(".picker input[value=no]").is_checked()
    reached = [1] if 1 in steps else []
    while opened.page.get_by_role("button", name="Next step").get_attribute("aria-disabled") == "false":
        opened.page.get_by_role("button", name="Next step").click()
        following = next(step for step in steps if not reached or step > reached[-1])
        opened.page.locator(".now", has_text=f"Step {following}:").wait_for()
        assert opened.page.locator(".shown-groups .no-signal").count() > 0
        reached.append(following)
    assert reached == steps
    assert opened.page.evaluate("location.hash") == f"#step={steps[-1]}&signal=no"
    assert opened.faults == []


def test_bars_of_all_groups_have_one_scale(chromium: Any, run: Path, page: Path) -> None:
    reach = max(abs(line["advantage"]) for line in completions_of(run))
    for step in (1, 2, 3):
        opened = chromium.open(page, f"#step={step}")
        opened.page.locator(".now", has_text=f"Step {step}:").wait_for()
        widths = opened.page.evaluate(
            "Array.from(document.querySelectorAll('.shown-groups rect'), (r) => +r.getAttribute('width'))"
        )
        wanted = [abs(line["advantage"]) for line in completions_of(run) if line["step"] == step and line["advantage"]]
        assert widths == pytest.approx([50 * value / reach for value in wanted], abs=0.01)


def test_the_finder_is_small_and_enter_takes_the_first(chromium: Any, page: Path) -> None:
    opened = chromium.open(page, "#step=2")
    opened.page.locator(".now", has_text="Step 2:").wait_for()
    field = opened.page.get_by_label("Find a training question")
    field.fill("coins")
    opened.page.locator(".matches button").first.wait_for()
    assert opened.page.locator(".matches").bounding_box()["height"] <= 242
    wanted = opened.page.locator(".matches button").first.inner_text()
    field.press("Enter")
    opened.page.locator(".now .asked-over", has_text=wanted).wait_for()
    assert opened.page.get_by_label("step", exact=True).input_value() == ""


def test_a_phone_folds_all_groups_but_one(chromium: Any, page: Path) -> None:
    opened = chromium.open(page, "#step=1", viewport={"width": 390, "height": 800})
    opened.page.locator(".now", has_text="Step 1:").wait_for()
    folds = opened.page.locator(".shown-groups .completions")
    assert [fold.get_attribute("open") is not None for fold in folds.all()] == [True, False, False]


def test_paper_says_which_questions_it_holds_and_leaves_them_room(chromium: Any, page: Path) -> None:
    app = App(chromium, page, viewport={"width": 700, "height": 1000})
    app.page.emulate_media(media="print")
    assert app.page.locator(".app .pager .at").is_visible()
    assert "questions 1 to 50 of 60" in app.page.locator(".app .pager .at").inner_text()
    assert app.page.locator("section.groups").is_hidden()
    assert app.page.locator("td.asked").first.bounding_box()["width"] > 200


def test_a_phone_names_the_reward_and_gives_fingers_room(chromium: Any, page: Path) -> None:
    app = App(chromium, page, viewport={"width": 390, "height": 800})
    before = "(cell) => getComputedStyle(cell, '::before').content"
    assert app.page.locator("td.reward").first.evaluate(before) == '"reward "'
    places = [place for place in app.page.locator(".jump a, main summary").all() if place.is_visible()]
    assert len(places) > 5
    assert min(place.bounding_box()["height"] for place in places) >= 38
    tables = "#accuracy ~ .tables .scroll"
    wide = "(name) => [...document.querySelectorAll(name)].filter((b) => b.scrollWidth > b.clientWidth).length"
    assert app.page.evaluate(wide, tables) == 0


def test_a_tile_of_the_session_opens_its_questions(chromium: Any, page: Path) -> None:
    href = chromium.open(page.parent / "index.html").page.locator(".tiles a").first.get_attribute("href")
    name, _, state = href.partition("#")
    assert name == page.name
    app = App(chromium, page, f"#{state}")
    assert 0 < len(app.numbers) < 50


def test_a_filter_with_one_value_is_not_offered(chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=4, steps=1, accuracies=(1.0, 1.0)))
    app = App(chromium, run_page_of(render_session([run], tmp_path / "report")))
    assert app.page.locator("[name='before-finish'], [name='after-finish']").count() == 0
    assert app.page.locator("[name='after']").count() == 1
