"""What a run directory says beyond the recipe: overrides, the baseline, and no secrets."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from harness.gate.baseline import Baseline
from harness.pipeline.baselines import RecordedBaseline, keep_held_against
from harness.pipeline.manifest import overrides, recipe_text
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe import Recipe, load_recipe
from harness.recipe.needs import look_beside_recipe_of
from harness.store.manifest import describe
from harness.store.run_files import Overrides
from tests.small_recipes import small_recipe

SMALL = small_recipe()
BASELINE = Baseline(
    recipe="small",
    seed=3,
    samples=2,
    prompt="p",
    grader="g",
    engine="transformers",
    decoding={},
    versions={"torch": "2.0", "trl": None},
    commit="abc",
    date="2026-11-22",
    model="tiny",
    correct={"a": 2, "b": 1},
    content={"a": "0", "b": "1"},
    recipe_toml=SMALL,
    chat_template_kwargs={},
)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    return load_recipe(tmp_path / "small.toml")


def opened(recipe: Recipe, folder: Path) -> Path:
    return Run(recipe, 0, Settings(runs_dir=folder, device="cpu")).directory


def test_an_unchanged_recipe_has_no_overrides(recipe: Recipe, tmp_path: Path) -> None:
    assert overrides(recipe) == Overrides("small.toml", str(tmp_path), ())


def test_overrides_name_both_values(recipe: Recipe, tmp_path: Path) -> None:
    changed = recipe.override({"train.beta": 0.1, "task.test_questions": 4, "gate.min_accuracy": 0.5})
    found = overrides(changed)
    assert found is not None
    assert found.to_json()["changed"] == [
        {"key": "task.test_questions", "file": 8, "run": 4},
        {"key": "train.beta", "run": 0.1},
        {"key": "gate.min_accuracy", "run": 0.5},
    ]


def test_a_recipe_without_a_file_has_none(recipe: Recipe, tmp_path: Path) -> None:
    assert overrides(recipe.model_copy(update={"source": None})) is None
    (tmp_path / "small.toml").write_text("torn = [")
    assert overrides(recipe) is None
    (tmp_path / "small.toml").unlink()
    assert overrides(recipe) is None


def test_the_run_directory_holds_them(recipe: Recipe, tmp_path: Path) -> None:
    run = opened(recipe.override({"gate.min_accuracy": 0.5}), tmp_path / "runs")
    assert json.loads((run / "overrides.json").read_text())["changed"] == [{"key": "gate.min_accuracy", "run": 0.5}]
    assert opened(recipe, tmp_path / "runs") == run, "a gate's threshold decides no result"
    assert json.loads((run / "overrides.json").read_text())["changed"] == []


def test_the_baseline_leaves_word_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keep_held_against(tmp_path, RecordedBaseline(tmp_path / "suites/small-3.toml", BASELINE))
    assert json.loads((tmp_path / "baseline.json").read_text()) == {
        "path": "suites/small-3.toml",
        "recipe": "small",
        "seed": 3,
        "commit": "abc",
        "date": "2026-11-22",
        "model": "tiny",
        "accuracy": 0.75,
        "correct": {"a": 2, "b": 1},
        "samples": 2,
        "versions": {"torch": "2.0", "trl": None},
        "recipe_toml": SMALL,
    }
    keep_held_against(tmp_path, None)
    assert not (tmp_path / "baseline.json").exists()
    keep_held_against(tmp_path, None)


SECRET = 'it\'s "open" sesame'


def test_no_file_that_is_printed_holds_a_secret_variables_value(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setattr("sys.argv", ["pytest", "--rl-set", f"train.run_name={SECRET}"])
    told = {"train.optim_args": f"x {SECRET}", "description": f"by {SECRET}!"}
    run = opened(recipe.override(told), tmp_path / "runs")
    assert run.name == "small-optim_args-x-redacted"
    names = ("recipe.toml", "name.json", "environment.json", "identity.json", "overrides.json")
    for name in names:
        text = (run / name).read_text()
        assert "[redacted]" in text, name
        assert "sesame" not in text, name
    assert load_recipe(run / "recipe.toml").description == "by [redacted]!"
    assert tomllib.loads(recipe_text(recipe)) == tomllib.loads(recipe.to_toml())


def test_a_recipes_folder_is_found_from_anywhere(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reward beside the recipe, where the run was started in one folder and is looked at from another."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "small.toml").rename(tmp_path / "mine/small.toml")
    run = opened(load_recipe("mine/small.toml"), tmp_path / "runs")
    assert json.loads((run / "overrides.json").read_text())["file"] == "mine/small.toml"
    monkeypatch.chdir(run)
    monkeypatch.setattr("sys.path", [])
    look_beside_recipe_of(run)
    assert str(tmp_path / "mine") in sys.path


def test_the_command_line_is_written_without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/pytest", "--rl-set", "train.hub_token=open sesame", "hf_" + "a1" * 17])
    assert describe("cpu")["command"] == "pytest --rl-set 'train.hub_token=[redacted]' [redacted]"
