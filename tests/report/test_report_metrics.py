"""Accuracy at k answers, comparisons of methods, and what the training said of itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from made_up_runs import MadeUp, write_run
from report_pages import page_of, run_page_of, words_of

from harness.pipeline.methods import write_methods
from harness.report.present import percent, within
from harness.report.render import render_session
from harness.rewards.at_k import at_k
from harness.store.methods import Comparison, Pair, Row
from harness.store.records import iter_records
from harness.store.run_files import SIGNAL, Selected
from tests.run_files import finding, signal

if TYPE_CHECKING:
    from pathlib import Path


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_accuracy_at_k_is_a_table(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(samples=4, steps=1))
    kept = {}
    for side in ("before", "after"):
        kept[side] = at_k(iter_records(run / side), 4)
        change(run / side / "summary.json", at_k=kept[side])
    page = run_page_of(render_session([run], tmp_path / "report")).read_text()
    text = words_of(page[page.index("Of several answers") :])
    assert "k = 1 k = 2 k = 4" in text
    for metric in ("pass", "majority", "mean"):
        for side in ("before", "after"):
            found = [kept[side][metric][k] for k in ("1", "2", "4")]
            cells = " ".join(
                f"{percent(each['value'])} {within(each['interval'])}".replace("\u00a0", " ") for each in found
            )
            assert f"{metric}@k {side} {cells}" in text


def test_one_answer_a_question_has_no_such_table(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=1))
    change(run / "after" / "summary.json", at_k=None)
    assert "k answers" not in page_of(run, output=tmp_path / "report")


def test_the_training_section_says_what_was_foreseen_chosen_and_stopped(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=2))
    SIGNAL.write(run, signal(sentence="94 % of groups are expected to carry a gradient"))
    selected = Selected(1, 2, 0.5, (0.4, 0.6), 8, 2, "step 1 of 2 was the best of 2").to_json()
    stopped = finding("reward_collapse", step=2, sentence="the reward <collapsed>").to_json()
    change(run / "train" / "summary.json", selected=selected, stopped=stopped)
    text = words_of(run_page_of(render_session([run], tmp_path / "report")).read_text())
    assert "Signal check before training: 94 % of groups are expected to carry a gradient." in text
    assert "Checkpoint: step 1 of 2 was the best of 2." in text
    assert "Stopped early: the reward <collapsed>." in text


def comparison(gain: float = 0.1234) -> Comparison:
    row = Row(
        "small-sft", "sft", (0, 1), ("a", "b"), "seeds", 0.1, 0.2234, (0.2, 0.25), gain, (-0.01, 0.25), 640, 51234,
        125.0,
        0.0024, (0.001, 0.004), 0.001, (0.0005, 0.0015),
    )  # fmt: skip
    costless = Row(
        "small-none", "none", (0,), ("c",), "questions", 0.1, 0.1, (0.05, 0.15), 0.0, (0.0, 0.0), 0, 0, None,
        None, None, None, None,
    )  # fmt: skip
    pair = Pair("small-none", "small-sft", "questions", 0.12, (0.01, 0.2), 0.05, "IMPROVED", "small-sft", "12 <better>")
    return Comparison((row, costless), (pair,), 0.05, ("number of sampled completions",))


def test_methods_stand_once_on_the_session_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, MadeUp(recipe=name, steps=1)) for name in ("one", "two", "three", "alone")]
    write_methods(comparison(), runs[:2])
    write_methods(comparison(gain=0.3), runs[2:3])
    page = render_session(runs, tmp_path / "report").read_text()
    assert page.count("Which method gained more for what it cost</h2>") == 2
    text = words_of(page)
    assert (
        "SFT small-sft, 2 seeds 22.3 % [20, 25] +12.3 [\N{MINUS SIGN}1, 25] 51,234 2 min 5 s "
        "0.24 [0.1, 0.4] 0.1 [0.05, 0.15]"
    ) in text
    assert "NONE small-none 10 % [5, 15] 0 [0, 0] 0 \N{EN DASH} \N{EN DASH} \N{EN DASH}" in text
    assert "small-none and small-sft: 12 <better>" in text
    assert "Not the same in all runs: number of sampled completions" in text


def test_a_session_without_a_comparison_has_no_such_table(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=1))
    (run / "methods.json").write_text('{"rows": "odd", "pairs": [3]}')
    assert "Which method" not in render_session([run], tmp_path / "report").read_text()
