"""The groups' section in real Chromium: picker, deep link, one question over the steps, filter, hostile texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hostile_texts import HOSTILE, INVISIBLE
from made_up_runs import MadeUp, write_run
from made_up_training import completions_of
from report_pages import run_page_of

from harness.report.render import render_session

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("groups"), MadeUp(questions=3, steps=12, groups=3, train_questions=7))


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    return run_page_of(render_session([run], run.parent / "report"))


def lines_at(run: Path, step: int) -> list[dict[str, Any]]:
    return [line for line in completions_of(run) if line["step"] == step]


def texts(opened: Any) -> list[str]:
    found: list[str] = opened.page.locator(".shown-groups .sample .text").all_text_contents()
    return found


def at_step(opened: Any, step: int) -> None:
    opened.page.locator(".now", has_text=re.compile(rf"^Step {step}:")).wait_for()


def open_groups(chromium: Any, report: Path, fragment: str = "") -> Any:
    opened = chromium.open(report, fragment=fragment)
    opened.page.locator(".groups .browse").scroll_into_view_if_needed()
    opened.page.locator(".shown-groups .sample").first.wait_for()
    return opened


def test_a_step_shows_its_groups(chromium: Any, run: Path, report: Path) -> None:
    opened = open_groups(chromium, report)
    lines = lines_at(run, 1)
    assert texts(opened) == [line["completion"] for line in lines]
    shown = opened.page.locator(".shown-groups .advantage").all_text_contents()
    assert shown == [f"{line['advantage']:+.2f}".replace("-", "\u2212") for line in lines]
    assert opened.page.locator(".plain-groups").is_hidden()
    assert opened.page.evaluate("document.querySelectorAll('[style]').length") == 0
    assert opened.faults == []


def test_the_picker_steps_by_buttons_number_and_keys(chromium: Any, run: Path, report: Path) -> None:
    opened = open_groups(chromium, report)
    page = opened.page
    page.get_by_role("button", name="Next step").click()
    at_step(opened, 2)
    assert texts(opened) == [line["completion"] for line in lines_at(run, 2)]
    page.keyboard.press("ArrowRight")
    at_step(opened, 3)
    page.keyboard.press("ArrowLeft")
    at_step(opened, 2)
    page.get_by_role("button", name="Last step").click()
    at_step(opened, 12)
    assert page.get_by_role("button", name="Next step").get_attribute("aria-disabled") == "true"
    page.get_by_label("step", exact=True).fill("7")
    page.keyboard.press("Enter")
    at_step(opened, 7)
    assert page.evaluate("location.hash") == "#step=7"
    page.get_by_label("step", exact=True).fill("900")
    page.keyboard.press("Enter")
    at_step(opened, 12)
    assert opened.faults == []


def test_a_link_to_a_step_leaves_other_keys_alone(chromium: Any, run: Path, report: Path) -> None:
    opened = chromium.open(report, fragment="#q=%26x&step=5&status=lost")
    at_step(opened, 5)
    assert texts(opened) == [line["completion"] for line in lines_at(run, 5)]
    assert opened.page.locator(".groups h3").evaluate("(e) => Math.abs(e.getBoundingClientRect().top)") < 300
    opened.page.get_by_role("button", name="Next step").click()
    at_step(opened, 6)
    assert opened.page.evaluate("location.hash") == "#q=%26x&status=lost&step=6"
    opened.page.evaluate("location.hash = '#q=1&step=9'")
    at_step(opened, 9)
    opened.page.evaluate("location.hash = '#q=2'")
    opened.page.wait_for_timeout(100)
    at_step(opened, 9)
    assert opened.faults == []


@pytest.mark.parametrize("fragment", ["#step=77", "#step=x", "#over=nobody", "#step=%E0%A4%A", "#main"])
def test_a_bad_link_shows_the_first_step(chromium: Any, report: Path, fragment: str) -> None:
    opened = open_groups(chromium, report, fragment)
    at_step(opened, 1)
    assert opened.faults == []


def test_one_question_over_the_steps(chromium: Any, run: Path, report: Path) -> None:
    opened = open_groups(chromium, report)
    page = opened.page
    question = lines_at(run, 1)[0]["question_id"]
    asked = [line for line in completions_of(run) if line["question_id"] == question]
    steps = list(dict.fromkeys(line["step"] for line in asked))
    assert len(steps) > 2
    page.get_by_role("button", name=f"this question in {len(steps)} steps").first.click()
    page.locator(".now", has_text=f"Mean reward over its {len(steps)} steps").wait_for()
    assert page.locator(".shown-groups h5").all_text_contents() == [f"Step {step}" for step in steps]
    assert texts(opened) == [line["completion"] for line in asked]
    link = page.evaluate("location.hash")
    page.get_by_role("button", name=f"all groups of step {steps[1]}").click()
    at_step(opened, steps[1])
    again = chromium.open(report, fragment=link)
    again.page.locator(".shown-groups h5", has_text=f"Step {steps[-1]}").wait_for()
    assert texts(again) == [line["completion"] for line in asked]
    assert opened.faults == again.faults == []


def test_a_question_is_found_by_its_words(chromium: Any, run: Path, report: Path) -> None:
    opened = open_groups(chromium, report)
    page = opened.page
    page.get_by_label("Find a training question").fill("coins 4 FINDS")
    page.locator(".matches button", has_text="has 4 coins").wait_for()
    wanted = page.locator(".matches button").count()
    assert 1 <= wanted < 7
    page.locator(".matches button", has_text="has 4 coins").click()
    page.locator(".now .asked-over", has_text="has 4 coins").wait_for()
    asked = [line["completion"] for line in completions_of(run) if line["question_id"] == "made-up/train/4"]
    assert texts(opened) == asked
    page.get_by_label("Find a training question").fill("nobody asks this")
    page.get_by_text("No training question has these words.").wait_for()


def test_groups_with_and_without_signal(chromium: Any, run: Path, report: Path) -> None:
    counts = {}
    for step in range(1, 13):
        groups: dict[str, set[float]] = {}
        for line in lines_at(run, step):
            groups.setdefault(line["group"], set()).add(line["reward"])
        counts[step] = sum(len(rewards) == 1 for rewards in groups.values())
    step = next(step for step, silent in counts.items() if 0 < silent < 3)
    opened = open_groups(chromium, report, f"#step={step}")
    at_step(opened, step)
    page = opened.page
    page.locator(".picker label", has_text="no signal").click()
    assert page.locator(".shown-groups .group").count() == counts[step]
    assert page.locator(".shown-groups .no-signal").count() == counts[step]
    page.locator(".picker label", has_text="with signal").click()
    assert page.locator(".shown-groups .group").count() == 3 - counts[step]
    assert page.locator(".shown-groups .no-signal").count() == 0


def test_without_javascript_the_first_and_last_step_are_there(chromium: Any, run: Path, report: Path) -> None:
    opened = chromium.open(report, java_script_enabled=False)
    plain = opened.page.locator(".plain-groups")
    assert opened.page.locator(".browse").is_hidden()
    assert plain.locator("> details").first.locator(".text").all_text_contents() == [
        line["completion"] for line in lines_at(run, 1)
    ]
    plain.locator("> details > summary").last.click()
    plain.get_by_text(lines_at(run, 12)[0]["completion"], exact=True).locator("visible=true").first.wait_for()
    opened.page.locator(".every-step summary").click()
    assert opened.page.locator(".every-step tbody tr:visible").count() == 12
    assert opened.faults == []


def test_a_large_step_comes_in_portions(chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=2, steps=1, groups=30, train_questions=30))
    opened = open_groups(chromium, run_page_of(render_session([run], tmp_path / "report")))
    groups = opened.page.locator(".shown-groups .group")
    assert groups.count() == 24
    opened.page.locator(".rest button").press("Enter")  # what is laid out on the way to it may move it under a pointer
    groups.nth(29).wait_for()
    assert groups.count() == 30
    assert opened.page.locator(".rest").is_hidden()


def test_hostile_completions_stay_text(chromium: Any, tmp_path: Path) -> None:
    spoken = [*HOSTILE, *(text for text, _ in INVISIBLE)]
    bad = '"><img src=x onerror=window.owned=1>'
    count = len(spoken)
    made_up = MadeUp(
        questions=1,
        steps=1,
        groups=1,
        group_size=count,
        functions={bad: 1.0, "<script>window.owned=1</script>\u202e": 0.5},
        sampled=lambda question, step, sample: spoken[sample],
        health=[{"check": bad, "key": bad, "step": 1, "sentence": bad + "\u202e"}, {"key": "reward"}],
    )
    run = write_run(tmp_path, made_up)
    opened = open_groups(chromium, run_page_of(render_session([run], tmp_path / "report")))
    shown = texts(opened)
    assert shown[: len(HOSTILE)] == list(HOSTILE)
    plain = [re.sub(r"[⟨⟩]", "", text) for text in shown[len(HOSTILE) :]]
    assert plain == [text for _, text in INVISIBLE]
    assert opened.page.evaluate("window.owned") is None
    assert opened.page.evaluate("document.querySelectorAll('.groups img, .groups iframe').length") == 0
    assert opened.faults == []
