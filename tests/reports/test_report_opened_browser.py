"""An opened question in real Chromium: it fills the width, nothing runs over its card, and it says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, write_run
from report_pages import run_page_of

from reports import render_session

if TYPE_CHECKING:
    from pathlib import Path

OVERFLOWS = """() => {
  const found = [];
  for (const card of document.querySelectorAll(".answer")) {
    const edge = card.getBoundingClientRect();
    for (const part of card.querySelectorAll("*")) {
      const box = part.getBoundingClientRect();
      if (!box.width) continue;
      if (box.right > edge.right + 0.5 || box.left < edge.left - 0.5 || part.scrollWidth > part.clientWidth + 1 && part.clientWidth)
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
