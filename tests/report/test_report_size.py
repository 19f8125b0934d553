"""A large run's page is small, and quick to open: of invented words, and of real sentences, which pack worse."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, write_run
from made_up_speech import sentences, speech, words
from report_pages import run_page_of

from harness.report.render import render_session

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize("text", ["words", "sentences"])
@pytest.mark.parametrize(
    ("questions", "samples", "sides", "megabytes", "render", "ready"),
    [(1319, 8, 1, 6, 5, 1), (7473, 4, 2, 28, 60, 3)],
)
def test_size_and_speed(
    chromium: Any,
    tmp_path: Path,
    questions: int,
    samples: int,
    sides: int,
    megabytes: int,
    render: int,
    ready: int,
    text: str,
) -> None:
    if text == "sentences" and not sentences():
        pytest.skip("RL_HARNESS_GSM8K names no folder with GSM8K's sentences")
    speak = speech(sentences()) if text == "sentences" else words
    run = write_run(tmp_path, MadeUp(questions=questions, samples=samples, steps=200, after=sides == 2, speech=speak))
    times = []
    for _ in range(3 if questions < 2000 else 1):  # a busy machine makes anything slow
        started = time.process_time()
        index = render_session([run], tmp_path / "report")
        times.append(time.process_time() - started)
    took = min(times)
    page = run_page_of(index)
    openings = []
    for _ in range(3):
        opened = chromium.open(page)
        opened.page.wait_for_selector("html[data-questions=ready]", state="attached")
        openings.append(opened.page.evaluate("performance.getEntriesByName('questions')[0].startTime") / 1000)
        assert opened.faults == []
        opened.page.close()
    seconds = min(openings)
    size = page.stat().st_size / 1e6
    told = f"{size:.1f} MB, rendered in {took:.1f} s of processor time, interactive in {seconds:.2f} s"
    print(f"\n{questions} x {samples} x {sides} {text}: {told}")
    assert size <= megabytes
    assert took <= render
    assert seconds <= ready


def test_a_page_is_a_third_of_its_texts(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=300, samples=8, after=False, train=False, speech=words))
    page = run_page_of(render_session([run], tmp_path / "report"))
    assert page.stat().st_size < 0.6 * 300 * 8 * 840


def test_texts_stand_once_however_many_samples(tmp_path: Path) -> None:
    """Prompts, examples and what graders agree about are not told again with each completion."""
    sizes = []
    for samples in (1, 9):
        run = write_run(
            tmp_path / str(samples),
            MadeUp(questions=100, samples=samples, after=False, train=False, speech=lambda *_: "same"),
        )
        text = run_page_of(render_session([run], tmp_path / f"report-{samples}")).read_text(encoding="utf-8")
        sizes.append(len(text[text.index('id="questions-0-data"') : text.rindex("<script>")]))
    assert sizes[1] < 1.3 * sizes[0]
