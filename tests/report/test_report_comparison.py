"""Two runs on one page: A's answers before B's, the verdict that was handed in, and where the recipes differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import MadeUp, records_of, write_run
from report_pages import words_of

from harness.report import TEMPLATES
from harness.report.read import compare_runs
from harness.report.render import render_comparison
from tests.run_files import verdict

VERDICT = verdict("baseline", "REGRESSED", "90 % to 30 %, by <b>far</b>", numbers={"lost": 7})


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    a = write_run(tmp_path / "a", MadeUp(questions=20, accuracies=(0.2, 0.9)))
    b = write_run(tmp_path / "b", MadeUp(questions=20, accuracies=(0.2, 0.3), recipe="other", train=False, after=False))
    recipe = (b / "recipe.toml").read_text().replace("max_new_tokens = 64", "max_new_tokens = 32")
    (b / "recipe.toml").write_text(recipe)
    return a, b


def test_a_is_before_and_b_after(two: tuple[Path, Path]) -> None:
    run = compare_runs(*two, VERDICT)
    assert run.before is not None
    assert run.after is not None
    told = [
        json.loads((two[0] / "after/summary.json").read_text()),
        json.loads((two[1] / "before/summary.json").read_text()),
    ]
    assert [run.before.accuracy, run.after.accuracy] == [each["accuracy"] for each in told]
    assert (run.before.name, run.after.name) == ("before", "after")
    first = {record["question_id"]: record["completion"] for record in records_of(two[0], "after")}
    second = {record["question_id"]: record["completion"] for record in records_of(two[1], "before")}
    assert {question.id: question.before[0].completion for question in run.questions} == first
    assert {question.id: question.after[0].completion for question in run.questions} == second
    order = [question.flip for question in run.questions]
    assert order == sorted(order, key=["lost", "gained", "unscored", "wrong", "right", "unasked"].index)
    assert "lost" in order


def test_the_page_names_both_sides(two: tuple[Path, Path], tmp_path: Path) -> None:
    page = render_comparison(*two, VERDICT, tmp_path / "report")
    assert page.name == f"compare-{two[0].name}-{two[1].name}.html"
    text = page.read_text(encoding="utf-8")
    shown = words_of(text)
    assert "<title>✗ made-up → other: regressed" in text
    assert "90 % to 30 %, by <b>far</b>" in shown
    assert "by <b>far" not in text
    assert f"A {two[0].name} after training" in shown
    assert f"B {two[1].name} its base model, before training" in shown
    assert "What differs A → B recipe made-up → other" in shown
    assert "train.method grpo → not set" in shown
    assert "evaluate.max_new_tokens 64 → 32" in shown
    assert "the same model, data, graders, versions, machine, commit" in shown
    assert "✗ B is worse than A, beyond luck" in shown


def test_other_questions_stand_there_too(two: tuple[Path, Path]) -> None:
    rows = (two[1] / "before" / "records.jsonl").read_text().replace("made-up/test/3", "elsewhere/3")
    (two[1] / "before" / "records.jsonl").write_text(rows)
    found = {question.id: question for question in compare_runs(*two, VERDICT).questions}
    assert found["elsewhere/3"].flip == "unasked"
    assert (found["made-up/test/3"].before != (), found["made-up/test/3"].after) == (True, ())


def test_what_is_not_there_is_said(two: tuple[Path, Path], tmp_path: Path) -> None:
    (two[0] / "after" / "records.jsonl").write_text("{torn\n")
    bare = tmp_path / "bare"
    bare.mkdir()
    run = compare_runs(two[0], bare, VERDICT)
    assert run.after is None
    assert any(note.startswith("A: after/records.jsonl:1: is no JSON") for note in run.notes)
    assert "is no JSON" in words_of(render_comparison(two[0], bare, VERDICT, tmp_path).read_text(encoding="utf-8"))


def test_it_opens_in_a_browser(chromium: Any, two: tuple[Path, Path], tmp_path: Path) -> None:
    opened = chromium.open(render_comparison(*two, VERDICT, tmp_path), viewport={"width": 390, "height": 800})
    assert opened.faults == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_brings_no_torch(two: tuple[Path, Path], tmp_path: Path) -> None:
    code = (
        "import sys; from harness import cli; code = cli.main(['compare', *sys.argv[1:3], '--html', '--report-dir', "
        "sys.argv[3]]); print([name for name in ('torch', 'transformers', 'trl') if name in sys.modules], code)"
    )
    arguments = [sys.executable, "-c", code, *map(str, two), str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=TEMPLATES.parent)
    verdict, page, modules = done.stdout.splitlines()
    assert verdict.startswith("REGRESSED  "), done.stdout + done.stderr
    assert Path(page.removeprefix("page: ")).is_file()
    assert modules == "[] 1"
