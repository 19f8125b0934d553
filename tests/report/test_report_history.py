"""The history of many runs: what is comparable with what, what stands on the page, and that nothing breaks it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import MadeUp, write_run
from report_pages import words_of

from harness.report import TEMPLATES
from harness.report.history import read_entry, recipes_of, render_history, run_folders, what_changed
from harness.report.present import percent, within
from harness.report.read import read_run
from harness.report.render import page_of as page_of_run
from harness.store.records import SUMMARY
from harness.store.run_files import ENVIRONMENT, VERDICTS, Verdicts
from tests.run_files import environment, identity, summary, verdict

IDENTITY: Any = identity(decoding={"temperature": 0.0, "samples_per_question": 1})
IDENTITY["grading"] |= {"rewards": [["boxed_numeric", 1.0]], "graders": {"boxed_numeric": "s"}}


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    return IDENTITY | {name: {**IDENTITY[name], **part} for name, part in sections.items()}


def made(root: Path, day: int, identity: Any = IDENTITY, *, passed: bool | None = True, **more: Any) -> Path:
    """A run of the ``day``-th of March 2001, with one verdict."""
    made_up = MadeUp(questions=3, seed=more.pop("seed", 0), recipe=more.pop("recipe", "made-up"))
    scratch = write_run(root / "scratch", made_up)
    run = root / "runs" / f"{made_up.recipe}-{made_up.seed}-{day:012x}"
    run.parent.mkdir(exist_ok=True)
    shutil.move(scratch, run)
    made_there = json.loads((run / "environment.json").read_text()) | {"created": f"2001-03-{day:02}T04:05:06+00:00"}
    (run / "environment.json").write_text(json.dumps(made_there | more))
    (run / "identity.json").write_text(json.dumps(identity))
    word = {True: "OK", False: "REGRESSED", None: "INCONCLUSIVE"}[passed]
    VERDICTS.write(run, Verdicts(made_up.recipe, made_up.seed, {}, (verdict("baseline", word),)))
    return run


def page_of(root: Path, **options: Any) -> str:
    return render_history(root / "runs", root / "report", **options).read_text(encoding="utf-8")


def test_the_time_of_answers_to_learn_from_counts(tmp_path: Path) -> None:
    run = made(tmp_path, 1)
    without = read_entry(run).seconds
    (run / "samples").mkdir()
    SUMMARY.write(run / "samples", summary(seconds=9.75))
    assert without is not None
    assert read_entry(run).seconds == pytest.approx(without + 9.75)


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (IDENTITY, ""),
        (changed(generation={"questions": "other"}), "questions"),
        (changed(generation={"prompts": "other"}), "prompts"),
        (changed(generation={"questions": "other", "prompts": "other"}), "questions and prompts"),
        (changed(generation={"decoding": {"temperature": 1.0, "samples_per_question": 1}}), "decoding"),
        (changed(generation={"decoding": {"temperature": 0.0, "samples_per_question": 8}}), ""),
        (changed(generation={"device": "cuda"}), ""),
        (changed(grading={"ground_truths": "other"}), "ground truths"),
        (changed(grading={"graders": {"boxed_numeric": "other"}}), "graders"),
        (changed(grading={"rewards": [["boxed_numeric", 2.0]]}), ""),
        (changed(grading={"rewards": [["boxed_exact", 1.0]]}), "graders"),
        (changed(training={"seed": 7}), ""),
        ({}, "unknown: identity.json is missing or torn"),
        ([1], "unknown: identity.json is missing or torn"),
    ],
)
def test_what_makes_runs_incomparable(tmp_path: Path, identity: Any, said: str) -> None:
    runs = [made(tmp_path, 1), made(tmp_path, 2, identity)]
    assert what_changed(*(read_entry(run).prints for run in runs)) == said
    (recipe,) = recipes_of(runs)
    assert [each.changed for each in recipe.breaks] == ([said] if said else [])


def test_lines_are_broken_where_runs_are_not_comparable(tmp_path: Path) -> None:
    for day in (1, 2):
        made(tmp_path, day)
    whole = page_of(tmp_path, run_pages=False)
    for day in (3, 4):
        made(tmp_path, day, changed(generation={"prompts": "other"}))
    broken = page_of(tmp_path, run_pages=False)
    assert segments(whole) == [1, 1]
    assert "not comparable" not in words_of(whole)
    shown = words_of(broken)
    assert "1: not comparable with what is below: prompts" in shown
    assert "1. 2001-03-03 04:05 : prompts changed from the run before" in shown
    assert segments(broken) == [1, 1, 1, 1], "a line through all four would be one of three segments"


def segments(page: str) -> list[int]:
    """How many segments each line of the first seed has, in the wide and in the narrow chart."""
    lines = re.findall(r'<path class="s0" d="([^"]*L[^"]*)"', page)
    return [line.count("L") for line in lines]


def test_the_table_tells_what_the_files_say(tmp_path: Path) -> None:
    made(tmp_path, 1)
    run = made(tmp_path, 2, passed=False, git={"commit": "fedcba9876543210", "dirty": False}, seed=3)
    shown = words_of(page_of(tmp_path))
    told = json.loads((run / "after" / "summary.json").read_text())
    assert "2 runs of 1 recipe" in shown
    assert f"{percent(told['accuracy'])} {within(told['interval'])}".replace("\u00a0", " ") in shown
    row = shown[shown.index("2001-03-02 04:05") :]
    assert "✗ baseline regressed 3 fedcba9876 made-up-model GRPO" in row
    assert row.index("✗ baseline regressed") < row.index("2001-03-01 04:05") < row.index("0 0123456789 dirty")
    assert "seed 0 seed 3" in shown


def test_outcomes_differ_in_shape(tmp_path: Path) -> None:
    shapes: dict[bool | None, list[str]] = {}
    for passed in (True, None, False):
        root = tmp_path / str(passed)
        root.mkdir()
        made(root, 1, passed=passed)
        plots = re.findall(r'<svg class="plot" .*?</svg>', page_of(root, run_pages=False))
        shapes[passed] = re.findall(r'class="(?:s0 )?(dot|open|cross)"', "".join(plots))
    assert shapes == {True: ["dot"] * 2, None: ["open"] * 2, False: ["cross"] * 2}, "wide and narrow"


@pytest.mark.parametrize(
    ("words", "told"), [(["OK"], "passed"), ([], "undecided"), (["OK", "INCONCLUSIVE"], "undecided")]
)
def test_no_baseline_leaves_nothing_open(tmp_path: Path, words: list[str], told: str) -> None:
    run = made(tmp_path, 1)
    rows = tuple(verdict("g", word) for word in (*words, "NO_BASELINE"))
    VERDICTS.write(run, Verdicts("made-up", 0, {}, rows))
    assert read_entry(run).told.word == told == page_of_run(read_run(run)).told.word


def test_runs_are_linked_to_pages_that_are_true(tmp_path: Path) -> None:
    old, new = made(tmp_path, 1), made(tmp_path, 2)
    drawn: list[str] = []
    assert '<a href="made-up' not in page_of(tmp_path, run_pages=False)
    page = page_of(tmp_path, told=drawn.append)
    assert drawn == [old.name, new.name]
    for run in (old, new):
        assert f'href="{run.name}.html"' in page
        assert (tmp_path / "report" / f"{run.name}.html").is_file()
    drawn.clear()
    os.utime(new / "verdicts.json", (time.time() + 60, time.time() + 60))
    page = page_of(tmp_path, run_pages=False)
    assert f'href="{old.name}.html"' in page
    assert f'href="{new.name}.html"' not in page, "its page does not know of the new verdict"
    page_of(tmp_path, told=drawn.append)
    assert drawn == [new.name]


def _torn(run: Path) -> None:
    for path in run.rglob("*.json"):
        path.write_text(path.read_text()[:20])
    (run / "recipe.toml").write_bytes(b"torn = [\xff")


def _foreign(run: Path) -> None:
    for path in run.rglob("*.json"):
        path.write_text("[1, 2]")


def _hostile(run: Path) -> None:
    bad = "<script>alert(1)</script>\u202e\x00{{ 7 * 7 }}"
    git: Any = {"commit": bad, "dirty": True}
    ENVIRONMENT.write(run, environment(created="2001-03-02T04:05:06", recipe=bad, git=git))
    VERDICTS.write(run, Verdicts(bad, 0, {}, (verdict(bad, "UNSOUND", bad),)))
    (run / "recipe.toml").write_text(f"[model]\nname = {json.dumps(bad)}\n")
    run.rename(run.with_name('x"><img src=x onerror=alert(1)> #1%41'))


def _empty(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()
    (run / "environment.json").touch()


def _dangling(run: Path) -> None:
    shutil.rmtree(run / "after")
    (run / "after").symlink_to(run / "nowhere")
    (run / "verdicts.json").unlink()
    (run / "verdicts.json").mkdir()


@pytest.mark.parametrize("damage", [_torn, _foreign, _hostile, _empty, _dangling])
def test_damaged_runs_do_not_break_it(chromium: Any, tmp_path: Path, damage: Any) -> None:
    made(tmp_path, 1)
    damage(made(tmp_path, 2))
    page = page_of(tmp_path)
    assert "2 runs of" in words_of(page)
    assert "<script>alert" not in page
    assert "<img" not in page
    opened = chromium.open(tmp_path / "report" / "history.html")
    assert opened.faults == []
    assert opened.page.locator("table.runs tbody tr:not(.break)").count() == 2


def test_an_empty_folder_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "runs" / ".replaced").mkdir(parents=True)
    (tmp_path / "runs" / "notes").mkdir()
    assert run_folders(tmp_path / "runs") == []
    assert "There is no run directory here." in page_of(tmp_path)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("history")
    for day, seed, passed in ((1, 0, True), (2, 1, None), (3, 0, False), (4, 1, True)):
        made(root, day, seed=seed, passed=passed)
    made(root, 5, changed(generation={"prompts": "other"}))
    made(root, 6, recipe="another")
    return render_history(root / "runs", root / "report")


def dates(opened: Any) -> list[str]:
    return [text.split()[-2] for text in opened.page.locator("#recipe2 tbody tr:not(.break) th").all_inner_texts()]


def test_it_opens_from_the_file_system(chromium: Any, history: Path) -> None:
    opened = chromium.open(history)
    assert opened.faults == []
    assert opened.page.locator("section.recipe:visible").count() == 2
    assert opened.page.evaluate("document.querySelectorAll('[style]').length") == 0
    assert dates(opened) == [f"2001-03-0{day}" for day in (5, 4, 3, 2, 1)]


def test_columns_sort(chromium: Any, history: Path) -> None:
    opened = chromium.open(history)
    opened.page.locator("#recipe2 thead button", has_text="seed").click()
    assert opened.page.locator("#recipe2 [aria-sort=descending]").count() == 1
    assert [date[-1] for date in dates(opened)][:2] == ["4", "2"]
    assert opened.page.locator("#recipe2 tr.break").count() == 0
    opened.page.locator("#recipe2 thead button", has_text="date").click()
    assert dates(opened) == [f"2001-03-0{day}" for day in (5, 4, 3, 2, 1)]
    assert opened.page.locator("#recipe2 tr.break").count() == 1
    opened.page.locator("#recipe2 thead button", has_text="date").click()
    assert dates(opened) == [f"2001-03-0{day}" for day in (1, 2, 3, 4, 5)]


def test_without_javascript_it_links(chromium: Any, history: Path) -> None:
    opened = chromium.open(history, java_script_enabled=False)
    page = opened.page
    assert opened.faults == []
    page.locator("#recipe1 tbody a").click()
    page.wait_for_load_state()
    assert "another" in page.locator("h1").inner_text()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_layout_holds(chromium: Any, history: Path, width: int) -> None:
    page = chromium.open(history, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure .canvas .plot:visible").count() == 2, "one chart a recipe, of the screen's width"


def test_a_thousand_runs_take_seconds(tmp_path: Path) -> None:
    proto = made(tmp_path, 1)
    (tmp_path / "many").mkdir()
    first = json.loads((proto / "environment.json").read_text())
    for index in range(1000):
        run = tmp_path / "many" / f"made-up-{index % 3}-{index:012x}"
        for stage in ("before", "after", "train"):
            (run / stage).mkdir(parents=True)
            shutil.copy(proto / stage / "summary.json", run / stage / "summary.json")
        for name in ("identity.json", "verdicts.json", "recipe.toml"):
            shutil.copy(proto / name, run / name)
        created = f"2001-{1 + index % 12:02}-{1 + index % 28:02}T{index % 24:02}:05:06+00:00"
        (run / "environment.json").write_text(json.dumps(first | {"created": created}))
    started = time.process_time()
    page = render_history(tmp_path / "many", tmp_path / "report", run_pages=False)
    assert time.process_time() - started < 30  # seconds on a quiet machine; this one is shared
    assert "1,000 runs of 1 recipe" in words_of(page.read_text(encoding="utf-8"))
    assert page.stat().st_size < 6_000_000


def test_it_brings_no_torch(tmp_path: Path) -> None:
    made(tmp_path, 1)
    code = (
        "import sys; from pathlib import Path; from harness.report.history import render_history; "
        "render_history(Path(sys.argv[1]), Path(sys.argv[2])); "
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "runs"), str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=TEMPLATES.parent)
    assert done.returncode == 0, done.stderr
