"""What runs are called: by what was overridden, in few words, and never two directories in one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.pipeline.naming import run_name
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe import Recipe, load_recipe
from harness.store.errors import HarnessError
from harness.store.siblings import name_of
from tests.small_recipes import small_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for name, text in (
        ("small", small_recipe()),
        ("sft", small_recipe("sft")),
        ("third", "seeds = [3]\n" + small_recipe()),
    ):
        (tmp_path / f"{name}.toml").write_text(text)
    return load_recipe(tmp_path / "small.toml")


NAMES = [
    ({}, 0, "small"),
    ({"train.learning_rate": 2e-6}, 0, "small lr=2e-6"),
    ({"train.learning_rate": 2e-6, "train.beta": 0.1}, 0, "small lr=2e-6 beta=0.1"),
    ({"model.name": "org/Model-1.5B"}, 0, "small model=Model-1.5B"),
    ({"model.endpoint": "http://localhost:8000/v1", "model.name": ""}, 0, "small endpoint=localhost:8000/v1"),
    ({"rewards.boxed_numeric": 1.0, "rewards.format_boxed": 0.2}, 0, "small format_boxed=0.2"),
    ({"lora.r": 16}, 0, "small lora"),
    ({"lora.r": 8}, 0, "small lora rank=8"),
    ({"task.test_questions": 4, "task.train_questions": 32}, 0, "small train=32 test=4"),
    ({"evaluate.during_questions": 4}, 0, "small"),
    ({"train.bf16": True, "evaluate.temperature": 1.0}, 0, "small temperature=1.0 bf16=true"),
    # what decides nothing is no part of a name
    ({"gate.min_accuracy": 0.5, "description": "other", "train.report_to": "none"}, 0, "small"),
    ({"evaluate.batch_size": 4}, 0, "small"),
    ({"health.truncation": 0.5}, 0, "small"),
    ({"health.stop_on": ["truncation"], "health.truncation": 0.5}, 0, "small stop_on=[truncation] truncation=0.5"),
    # the seed is said where there are several, or where it is not the file's
    ({"seeds": [0, 1]}, 0, "small seed 0"),
    ({"seeds": [1]}, 1, "small seed 1"),
    ({"train.top_k": 1, "train.top_p": 0.5, "train.beta": 0.1, "train.max_steps": 2, "train.bf16": True}, 0,
     "small steps=2 top_k=1 top_p=0.5 and 2 more"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "seed", "name"), NAMES, ids=[name for *_, name in NAMES])
def test_a_run_is_called_by_what_was_overridden(recipe, changes, seed, name):
    assert run_name(recipe.override(changes), seed).name == name


def test_what_comes_with_a_method_is_not_said(recipe, tmp_path):
    other = load_recipe(tmp_path / "sft.toml").override({"train.method": "dpo"})
    assert run_name(other, 0).name == "sft method=dpo"
    assert run_name(load_recipe(tmp_path / "third.toml"), 3).name == "third"


def test_a_name_of_ones_own(recipe):
    changed = recipe.override({"seeds": [0, 1], "train.beta": 0.1})
    named = run_name(changed, 1, "my try")
    assert (named.name, named.variant, named.given) == ("my try seed 1", "my try", True)


BAD = {
    "": "is empty",
    "  ": "is empty",
    "a\nb": "holds what cannot be printed in a line",
    "\x1b[2K": "holds what cannot be printed in a line",
    "x" * 61: "is longer than 60 characters",
    "///": "has none of the letters a to z and no digit",
    "日本": "has none of the letters a to z and no digit",
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_name_is_refused(recipe, bad):
    with pytest.raises(HarnessError, match=rf"is no name for a run: it {BAD[bad]}.*; write one as 'small batch 2'"):
        run_name(recipe, 0, bad)


def test_a_name_in_other_letters_takes_one_that_its_folder_can_have(recipe):
    assert run_name(recipe, 0, "日本 2").name == "日本 2"


def opened(recipe: Recipe, folder: Path, seed: int = 0, **settings: object) -> Run:
    run = Run(recipe, seed, Settings(runs_dir=folder / "runs", device="cpu", **settings))
    assert run.directory.is_dir()
    return run


def test_directories_are_recognised_and_never_shared(recipe, tmp_path):
    """A hash stands behind a name only where another run has it."""
    for changes, name in (({}, "small"), ({"train.beta": 0.1}, "small-beta-0.1"), ({"seeds": [0, 1]}, "small-seed-1")):
        changed = recipe.override(changes)
        assert opened(changed, tmp_path, changed.seeds[-1]).directory.name == name
    assert opened(recipe.override({"seeds": [0, 1]}), tmp_path, 0).directory.name == "small", (
        "the same seed is the same run"
    )
    (tmp_path / "small.toml").write_text(small_recipe().replace("max_steps = 4", "max_steps = 5"))
    edited = load_recipe(tmp_path / "small.toml")
    other = opened(edited, tmp_path).directory
    key = json.loads((other / "identity.json").read_text())["key"]
    assert other.name == f"small-{key[:12]}"
    assert opened(edited, tmp_path).directory == other
    (tmp_path / "runs/mine").mkdir()
    (tmp_path / "runs/mine/notes.txt").write_text("not a run")
    (tmp_path / "mine.toml").write_text(small_recipe())
    assert opened(load_recipe(tmp_path / "mine.toml"), tmp_path).directory.name.startswith("mine-")


def test_a_given_name_stays_until_another_is_given(recipe, tmp_path):
    first = opened(recipe, tmp_path)
    again = opened(recipe, tmp_path, name="my try")
    assert again.directory == first.directory
    assert again.id == name_of(first.directory) == "my try"
    assert opened(recipe.override({"gate.margin": 0.1}), tmp_path).id == "my try"
    assert opened(recipe, tmp_path, name="other").id == "other"
    new = opened(recipe.override({"train.beta": 0.1}), tmp_path, name="a/b: c")
    assert new.directory.name == "a-b-c"
