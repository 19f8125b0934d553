"""An opened question in real Chromium: it fills the width, nothing runs over its card, and it says why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, records_of, write_run
from made_up_training import completions_of
from questions_app import App
from report_pages import run_page_of, words_of

from harness.report.render import render_session

if TYPE_CHECKING:
    from pathlib import Path

OVERFLOWS = """() => {
  const found = [];
  for (const card of document.querySelectorAll(".answer")) {
    const edge = card.getBoundingClientRect();
    for (const part of card.querySelectorAll("*")) {
      const box = part.getBoundingClientRect(), cut = part.clientWidth && part.scrollWidth > part.clientWidth + 1;
      if (!box.width) continue;
      if (box.right > edge.right + 0.5 || box.left < edge.left - 0.5 || cut)
        found.push(part.className + ": " + part.textContent.trim().slice(0, 30));
    }
  }
  return found;
}"""


@pytest.fixture(scope="module", params=[1, 3], ids=["one-sample", "three-samples"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("opened")
    run = write_run(root, MadeUp(questions=8, steps=2, samples=request.param))
    return run_page_of(render_session([run], root / "report"))


@pytest.mark.parametrize("width", [390, 760, 1000, 1280, 1600])
def test_an_opened_question_fills_the_width_and_its_cards_hold_what_is_in_them(
    chromium: Any, page: Path, width: int
) -> None:
    opened = chromium.open(page, "#q1", viewport={"width": width, "height": 900})
    opened.page.wait_for_selector("tr.detail .answer")
    assert opened.page.evaluate(OVERFLOWS) == []
    before, after = (opened.page.locator(".answer").nth(place).bounding_box() for place in (0, 1))
    room = opened.page.locator(".opened").bounding_box()["width"]
    assert before["width"] == pytest.approx(after["width"], abs=1)
    if width > 736:
        assert before["y"] == after["y"]
        assert before["width"] + after["width"] > 0.95 * room
    else:
        assert after["y"] > before["y"] + before["height"]
        assert before["width"] > 0.95 * room


def test_it_says_why_there_is_nothing_to_grade(chromium: Any, tmp_path: Path) -> None:
    said = {0: "so the answer is 9", 1: "the answer is \\boxed{9"}
    made_up = MadeUp(questions=2, steps=1, accuracies=(0.0, 0.0), speech=lambda side, index, sample: said[index])
    run = write_run(tmp_path, made_up)
    for side in ("before", "after"):
        rows = [row | {"status": "no_answer", "extracted": None} for row in records_of(run, side)]
        for row in rows:
            row["grades"] = {key: {"extracted": None, "correct": False} for key in row["grades"]}
        (run / side / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run_page_of(render_session([run], tmp_path / "report"))
    for fragment, why in (("#q1", "no \\boxed{} in the text"), ("#q2", "no closed \\boxed{} with something in it")):
        opened = chromium.open(report, fragment)
        opened.page.wait_for_selector("tr.detail .answer")
        card = opened.page.locator(".answer").first.inner_text()
        assert f"{why}, so nothing to grade" in card
        assert card.count("∅ no answer") == 3  # the status, and each grader
        assert "wrong" not in card
    lede = opened.page.locator("#questions .lede").inner_text()
    assert "character for character" in lede
    assert "compares numbers" in lede


def test_it_says_why_an_engine_had_no_answer(chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=2, steps=1))
    lost = {"completion": "", "finish_reason": "error", "completion_tokens": 0, "status": "unscored", "grades": {}}
    lost |= {"extracted": None, "reward": None, "error": "HTTP 500: <b>out</b> of memory"}
    rows = records_of(run, "after")
    rows = [row | lost if row["question_id"].endswith("/0") else row for row in rows]
    (run / "after" / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run_page_of(render_session([run], tmp_path / "report"))
    assert "HTTP 500: <b>out</b> of memory" in words_of(report.read_text(encoding="utf-8"))
    opened = chromium.open(report, "#q1")
    opened.page.wait_for_selector("tr.detail .answer")
    assert "HTTP 500: <b>out</b> of memory" in opened.page.locator(".answer").nth(1).inner_text()
    assert not opened.faults


def test_each_completion_of_a_group_is_marked(chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=2, steps=2))
    report = run_page_of(render_session([run], tmp_path / "report"))
    words = {"correct": "✓ correct", "wrong": "✗ wrong"}
    wanted = [words[line["status"]] for line in completions_of(run) if line["step"] == 1]
    assert len(set(wanted)) == 2
    opened = chromium.open(report, "#step=1")
    opened.page.locator(".shown-groups .sample").first.wait_for()
    assert opened.page.locator(".shown-groups .graded").all_inner_texts() == wanted
    plain = chromium.open(report, java_script_enabled=False)
    found = plain.page.locator(".plain-groups details").first.locator(".graded").all_text_contents()
    assert [" ".join(words.split()) for words in found] == wanted


def test_the_reward_chart_says_why_it_is_no_accuracy(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=2, steps=20))
    rows = [json.loads(line) for line in (run / "train" / "metrics.jsonl").read_text().splitlines()]
    for place, row in enumerate(rows):
        row["reward"] = row["rewards/boxed_numeric/mean"] = {0: 0.2, 1: 0.4, 18: 0.5, 19: 0.9}.get(place, 0.45)
    (run / "train" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = words_of(run_page_of(render_session([run], tmp_path / "report")).read_text().split('-chart-1"')[1])
    words = figure[: figure.index("Across")]
    assert "Reward 0.3 → 0.7 means of the first and last 2" in words
    assert "while accuracy is asked as [evaluate] says, greedily by default: the two need not be equal" in words


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
