"""What was run, on the page: the recipe against the baseline's and the file's, and the cost of each stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import MadeUp, write_run
from report_pages import page_of, words_of

from harness.report.read import read_run
from harness.report.tables import stages_of

HELD = {
    "path": "suites/baselines/made-up-0.toml",
    "recipe": "made-up",
    "seed": 0,
    "samples": 1,
    "recipe_toml": "",
    "commit": "fedcba9876543210",
    "date": "2001-02-01",
    "model": "made-up-model",
    "accuracy": 0.875,
    "correct": {},
    "versions": {"torch": "0.0.0", "trl": "0.0.2"},
}


def run_with(root: Path, **files: Any) -> Path:
    run = write_run(root, MadeUp())
    for name, value in files.items():
        (run / f"{name}.json").write_text(json.dumps(value))
    return run


def test_what_changed_since_the_baseline(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    text = (run / "recipe.toml").read_text().replace("learning_rate = 1e-4", "learning_rate = 2e-5\nbeta = 0.1")
    (run / "baseline.json").write_text(json.dumps(HELD | {"recipe_toml": text.replace("min_accuracy = 0.3\n", "")}))
    shown = words_of(page_of(run, output=tmp_path))
    changed = "train.learning_rate 2e-5 → 0.0001 train.beta 0.1 → not set gate.min_accuracy not set → 0.3"
    assert f"What changed since the baseline 2001-02-01, 87.5 % recipe {changed} versions torch 0.0.0 → 0.0.1" in shown
    assert "commit fedcba9876 → 0123456789 with uncommitted changes" in shown
    assert "trl 0.0.2 →" not in shown


def test_the_baselines_card_says_what_it_was_held_against(tmp_path: Path) -> None:
    shown = words_of(page_of(run_with(tmp_path, baseline=HELD), output=tmp_path))
    assert "held against suites/baselines/made-up-0.toml, 2001-02-01, model made-up-model" in shown


def test_what_is_the_same_is_said_to_be(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    held = HELD | {"commit": "0" * 40, "versions": {"torch": "0.0.1"}}
    (run / "baseline.json").write_text(json.dumps(held | {"recipe_toml": (run / "recipe.toml").read_text()}))
    assert "the same recipe, versions" in words_of(page_of(run, output=tmp_path))
    (run / "baseline.json").write_text(json.dumps(held))
    shown = words_of(page_of(run, output=tmp_path))
    assert "the same versions" in shown, "a recipe that is not known is not called the same"
    assert "train.method" not in shown[: shown.index("the same versions")]


def test_many_changed_keys_are_folded(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    text = (run / "recipe.toml").read_text() + "".join(f"key{n} = 1\n" for n in range(9))
    (run / "baseline.json").write_text(json.dumps(HELD | {"recipe_toml": text}))
    assert "gate.key5 1 → not set 3 more gate.key6 1 → not set" in words_of(page_of(run, output=tmp_path))


def test_overrides_of_the_command_line_are_visible(tmp_path: Path) -> None:
    changed = [{"key": "train.max_steps", "run": 2}, {"key": "model.name", "file": "a/b", "run": "tiny"}]
    run = run_with(tmp_path, overrides={"file": "suites/recipes/x.toml", "folder": ".", "changed": changed})
    shown = words_of(page_of(run, output=tmp_path))
    assert "key suites/recipes/x.toml this run train.max_steps not set 2 model.name a/b tiny" in shown
    (run / "overrides.json").write_text(json.dumps({"file": "suites/recipes/x.toml", "folder": ".", "changed": []}))
    assert "As it stands in suites/recipes/x.toml" in words_of(page_of(run, output=tmp_path))


def test_cost_by_stage(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    steps = [{"step": 1, "num_tokens": 100}, {"step": 2, "num_tokens": 530.0}]
    (run / "train" / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    before, training, after = stages_of(read_run(run))
    told = json.loads((run / "before" / "summary.json").read_text())
    assert (before.tokens_in, before.tokens_out) == (told["prompt_tokens"], told["completion_tokens"])
    assert before.rate == pytest.approx(told["completion_tokens"] / 7.25)
    assert (training.tokens_in, training.seconds) == (530, pytest.approx(5.3))
    assert training.rate == pytest.approx(100)
    assert after.memory == 512 * 1024 * 1024
    assert "training 530 in and out 5.3 s 100 900 MiB" in words_of(page_of(run, output=tmp_path))


def test_no_rate_is_made_of_what_was_not_done_here(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    for name, more in (("before", {"reused": {"other-0-0": 12}}), ("train", {"resumed_from": 5})):
        told = json.loads((run / name / "summary.json").read_text())
        (run / name / "summary.json").write_text(json.dumps(told | more))
    before, training, _ = stages_of(read_run(run))
    assert (before.rate, before.note) == (None, "answers found in other-0-0")
    assert (training.rate, training.note) == (None, "time since step 5, where it was resumed")


def test_what_other_runs_gave_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    reused = {"other-0-0": 3, "third-0-0": 2}
    for name, more in (("before", {"reused": reused}), ("train", {"source": "other-0-0"})):
        told = json.loads((run / name / "summary.json").read_text())
        (run / name / "summary.json").write_text(json.dumps(told | more))
    before, training, after = stages_of(read_run(run))
    assert (before.note, after.note) == ("5 of 12 answers found in other-0-0 and 1 more run", "")
    assert before.rate is None, "the seconds are those of the others alone"
    assert training.note == "trained in other-0-0, which trains the same"
    assert "trained in other-0-0" in words_of(page_of(run, output=tmp_path))
