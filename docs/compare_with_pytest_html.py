"""Measures this project's report beside pytest-html's for as many tests with the same text.

    pip install pytest-html playwright && python docs/compare_with_pytest_html.py

Each of 1,319 questions is answered 8 times with 840 characters of GSM8K's own sentences (`RL_HARNESS_GSM8K` names the
folder), or of random words without it. Here they are records of a run that nobody made; there 10,552 tests that print
them. The two take turns on the same machine in the same Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "report")]

from made_up_runs import MadeUp, write_run  # noqa: E402
from made_up_speech import sentences, speech  # noqa: E402
from report_pages import run_page_of  # noqa: E402

from harness.report.render import render_session  # noqa: E402

CHROMIUM = os.environ.get("RL_HARNESS_CHROMIUM", "/usr/bin/chromium")
TESTS = """\
import json, pytest

TEXTS = json.load(open("texts.json"))

@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_answer(number):
    print(TEXTS[number])
    assert number % 3
"""
# When the table has its rows: pytest-html's script builds them from JSON; ours sets a mark when all works.
ROWS_THERE = "() => document.querySelectorAll('#results-table tbody tr').length > 0"
OURS_READY = "() => document.documentElement.dataset.questions === 'ready'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=1319)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    speak = speech(sentences())
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        made_up = MadeUp(questions=asked.questions, samples=asked.samples, steps=200, after=False, speech=speak)
        run = write_run(folder, made_up)
        texts = [speak("before", index, sample) for index in range(asked.questions) for sample in range(asked.samples)]
        (folder / "texts.json").write_text(json.dumps(texts))
        (folder / "test_answers.py").write_text(TESTS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        ours, theirs = [], []
        for _ in range(asked.rounds):
            ours.append(measure(browser, lambda: write_ours(run, folder), OURS_READY))
            theirs.append(measure(browser, lambda: write_theirs(folder), ROWS_THERE))
        browser.close()
    print(f"\n{len(texts)} answers, medians of {asked.rounds} rounds\n")
    print("| report | file | written in | table usable after |\n|---|---|---|---|")
    for title, rounds in (("rl-harness, the run's page", ours), ("pytest-html, self-contained", theirs)):
        size, written, ready = map(statistics.median, zip(*rounds, strict=True))
        print(f"| {title} | {size / 1e6:.1f} MB | {written:.1f} s | {ready:.2f} s |")


def write_ours(run: Path, folder: Path) -> tuple[Path, float]:
    """``(page, processor seconds)``."""
    started = time.process_time()
    index = render_session([run], folder / "report")
    return run_page_of(index), time.process_time() - started


def write_theirs(folder: Path) -> tuple[Path, float]:
    """The same, where the seconds are what the tests take longer with the report than without."""
    page = folder / "pytest-html.html"
    seconds = []
    for options in (["-p", "no:html"], [f"--html={page}", "--self-contained-html"]):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--no-header",
            "--tb=no",
            "-p",
            "no:rl-harness",
            "-p",
            "no:xdist",
        ]
        before = os.times()
        subprocess.run([*command, *options, "test_answers.py"], cwd=folder, capture_output=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return page, seconds[1] - seconds[0]


def measure(browser: Any, write: Callable[[], tuple[Path, float]], ready: str) -> tuple[int, float, float]:
    """``(bytes, seconds to write, seconds until the table is usable)``."""
    page, written = write()
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(300_000)
    started = time.monotonic()
    tab.goto(page.as_uri())
    tab.wait_for_function(ready)
    seconds = time.monotonic() - started
    context.close()
    print(f"{page.name}: {page.stat().st_size:,} bytes, written in {written:.1f} s, usable after {seconds:.2f} s")
    return page.stat().st_size, written, seconds


if __name__ == "__main__":
    main()
