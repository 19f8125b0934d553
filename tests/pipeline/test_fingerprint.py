"""What decides a run, and what does not: TRL's keys one by one."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from harness.pipeline.fingerprint import training_identity
from harness.recipe import Recipe
from harness.recipe.needs import TRACKERS, _is_installed
from harness.recipe.trl_arguments import CONFIGS, LOGGING, REPORTING, argument_defaults
from harness.store.errors import RecipeError
from harness.tasks import Questions

NOTHING = Questions((), ())


def recipe(method: str = "grpo", **tables: Any) -> Recipe:
    return Recipe(
        name="built",
        model={"name": "tiny"},
        task={"name": "arithmetic", "train_questions": 20, "test_questions": 10},
        **{**tables, "train": {"method": method, **tables.get("train", {})}},
    )


def identity(made: Recipe) -> dict[str, Any]:
    return training_identity(made, NOTHING, 0)


@pytest.mark.parametrize("key", sorted(REPORTING))
def test_what_logs_saves_and_reports_is_no_part_of_a_run(key: str) -> None:
    homes = [method for method in CONFIGS if key in argument_defaults(method)]
    assert homes, f"no config of TRL has {key}"
    for method in homes:
        default = argument_defaults(method)[key]
        value = default if isinstance(default, (bool, int, float)) else "some"
        assert identity(recipe(method, train={key: value})) == identity(recipe(method))


@pytest.mark.parametrize(
    "keys",
    [
        {"learning_rate": 2e-5},
        {"max_steps": 3},
        {"bf16": True},
        {"dataloader_num_workers": 2},
        {"gradient_checkpointing": False},
        {"lr_scheduler_kwargs": {"num_cycles": 2}},
    ],
)
@pytest.mark.parametrize("method", CONFIGS)
def test_what_may_decide_weights_is(method: str, keys: dict[str, Any]) -> None:
    assert identity(recipe(method, train=keys)) != identity(recipe(method))
    told = recipe(method, train={**keys, "logging_steps": 7, "report_to": "all", "run_name": "b"})
    assert identity(told) == identity(recipe(method, train=keys))


@pytest.mark.parametrize("key", sorted(LOGGING))
def test_what_is_logged_decides_where_a_finding_in_it_ends_the_training(key: str) -> None:
    stopping = {"stop_on": ["reward_collapse"]}
    value = argument_defaults("grpo")[key]
    assert identity(recipe(train={key: value}, health=stopping)) != identity(recipe(health=stopping))
    assert identity(recipe(train={"save_steps": 3}, health=stopping)) == identity(recipe(health=stopping))


def test_the_content_of_a_file_decides_and_a_tracker_beside_it_does_not(tmp_path: Any) -> None:
    def made(content: str, **train: Any) -> dict[str, Any]:
        (tmp_path / "settings.json").write_text(content)
        given = {"accelerator_config": str(tmp_path / "settings.json"), **train}
        return identity(recipe(train=given))

    assert made("{}", run_name="a", save_steps=9) == made("{}")
    assert made("{}") != made('{"split_batches": true}')


@pytest.mark.parametrize("method", CONFIGS)
def test_a_model_is_not_published_before_it_is_judged(method: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(method, train={"push_to_hub": True})
    assert str(caught.value) == (
        "[train] push_to_hub: a model is not published before it is judged; drop this key, and after the verdict say "
        "hf upload YOU/MODEL rl-runs/RUN/train/final"
    )
    assert recipe(method, train={"push_to_hub": False}).train.arguments == {"push_to_hub": False}


def test_every_tracker_of_transformers_is_known() -> None:
    integrations = importlib.import_module("transformers.integrations.integration_utils")
    assert set(integrations.INTEGRATION_TO_CALLBACK) == set(TRACKERS)


def test_a_folder_is_no_tracker(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "left_here").mkdir()
    (tmp_path / "written_here.py").write_text("")
    assert not _is_installed("left_here")
    assert not _is_installed("nowhere_here.core")
    assert _is_installed("written_here")
