"""Runs that stopped anywhere still have a page, and the page says what is missing."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from made_up_runs import MadeUp, records_of, write_run
from report_pages import packed_in, page_of, words_of

from harness.report.present import percent
from harness.report.read import read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_only_evaluated(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=9, train=False, after=False))
    page = page_of(run, output=tmp_path)
    text = words_of(page)
    assert len(packed_in(page, "questions")["number"]) == 9
    assert "both wrong" not in text
    assert "gained" not in text
    assert "Training" not in text
    assert 'id="chart-' not in page


def test_failed_training_is_prominent(tmp_path: Path) -> None:
    error = "OutOfMemoryError: made up\nlast log line <b>"
    page = page_of(write_run(tmp_path, MadeUp(error=error, after=False, verdicts=False)), output=tmp_path)
    text = words_of(page)
    assert "<title>✗ made-up: training failed" in page
    assert text.index("Training failed") < text.index("OutOfMemoryError: made up") < text.index("Accuracy")
    assert "last log line &lt;b&gt;" in page


def test_empty_error_file_still_counts_as_failed(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, MadeUp(error="", after=False)), output=tmp_path)
    assert "Training failed and left no message." in page


def test_torn_last_line_is_dropped(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=8))
    with (run / "after" / "records.jsonl").open("a") as file:
        file.write('{"question_id": "made-up/test/1", "compl')
    page = page_of(run, output=tmp_path)
    index = packed_in(page, "questions")
    assert [sum(index["sides"][side]["count"]) for side in ("before", "after")] == [8, 8]


def test_stopped_evaluation_counts_what_is_there(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=20, asked_after=6, verdicts=False))
    page = page_of(run, output=tmp_path)
    records = records_of(run, "after")
    accuracy = sum(record["status"] == "correct" for record in records) / len(records)
    text = words_of(page)
    assert (
        f"after {percent(accuracy)} the evaluation did not finish: 6 of 20 questions so far".replace("\u00a0", " ")
        in text
    )
    index = packed_in(page, "questions")
    assert [index["flips"][flip][0] for flip in index["flip"]].count("unasked") == 14
    assert "This run was not judged." in text


def _empty_records(run: Path) -> None:
    for side in ("before", "after"):
        (run / side / "records.jsonl").write_text("")
        (run / side / "summary.json").unlink()


def _no_questions(run: Path) -> None:
    (run / "questions.jsonl").unlink()


def _bare(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()


def _gone(run: Path) -> None:
    shutil.rmtree(run)


def _unscored(run: Path) -> None:
    rows = [
        record | {"status": "unscored", "reward": None, "rewards": {"boxed_numeric": None}, "grades": {}}
        for record in records_of(run, "after")
    ]
    (run / "after" / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "after" / "summary.json").unlink()


def _unfit(run: Path) -> None:
    """Right JSON, wrong shapes everywhere: each file is a note."""
    for path in run.rglob("*.json*"):
        path.write_text("[1, 2]\n")
    (run / "recipe.toml").write_text("rewards = 3\ntrain = 'no'\ngate = []\nmodel = 1\ntask = 2\n")


def _odd_values(run: Path) -> None:
    (run / "train" / "metrics.jsonl").write_text(
        '{"step": 1, "reward": null, "grad_norm": NaN, "entropy": Infinity, "kl": 1e300, "odd": {"a": []}}\n'
        '{"step": 2, "reward": 0.5, "grad_norm": null, "entropy": 1, "rewards/a$_{/mean": 0.1}\n'
        '{"step": 3, "reward": null}\n{"step": 4, "reward": 0.25, "kl": -1e29}\n{"ste'
    )


def _broken_toml(run: Path) -> None:
    (run / "recipe.toml").write_bytes(b"description = \xff\xfe broken [[[")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_empty_records, "not asked 12"),
        (_no_questions, "How many"),
        (_bare, "This run was not judged."),
        (_gone, "There is no such run directory."),
        (_unscored, "not scored 12"),
        (_unfit, "train/metrics.jsonl:1: input should be"),
        (_odd_values, "4 lines"),
        (_broken_toml, "does not parse"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_damaged_runs_render(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    run = write_run(tmp_path, MadeUp())
    damage(run)
    assert said in words_of(page_of(run, output=tmp_path / "report"))


def test_no_runs_at_all(tmp_path: Path) -> None:
    assert "There is nothing to report" in page_of(output=tmp_path)


def test_no_verdict_is_no_pass(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(verdicts=False))
    assert "<title>\N{EN DASH} made-up: not judged" in page_of(run, output=tmp_path)


def test_a_sample_met_twice_counts_once(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=5, train=False, after=False))
    lines = (run / "before" / "records.jsonl").read_text()
    (run / "before" / "records.jsonl").write_text(lines + lines)
    before = read_run(run).before
    assert before is not None
    assert before.answers == 5
