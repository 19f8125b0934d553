"""What a recipe needs beside itself is looked for when tests are collected, before anything is made."""

from __future__ import annotations

import pytest

import harness
from harness.store.errors import RecipeError
from tests.inner_pytest import HEAVY
from tests.plugin.conftest import SPY
from tests.small_recipes import small_recipe

ASKS = "def test_asks(before):\n    pass\n"
INSIDE = ("Traceback", "/harness/", "INTERNALERROR", "site-packages", "raise ")

NEEDS = {
    "a module": ('[rewards]\n"no_such_module:reward" = 1.0', "[rewards] no_such_module:reward: ", "there is no module"),
    "a function": ('[rewards]\n"mine:rewrad" = 1.0', "[rewards] mine:rewrad: ", 'did you mean "mine:reward"?'),
    "a parameter": (
        '[rewards]\n"mine:reward" = { weight = 1.0, longst = 3 }',
        "[rewards] mine:reward: ",
        "unknown parameter 'longst'; did you mean 'longest'?",
    ),
    "what raises": (
        '[rewards]\n"raises:reward" = 1.0',
        "[rewards] raises:reward: ",
        "importing raises raised ZeroDivisionError at raises.py:1: ",
    ),
    "peft": ("[lora]\nr = 4", "lora: ", "takes the peft package: pip install 'rl-harness[lora]'"),
}
WITHOUT = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "{}" else found(name, *rest)
"""


@pytest.mark.parametrize("need", NEEDS)
def test_what_a_recipe_lacks_is_told_once_before_anything_is_made(project, need):
    added, place, words = NEEDS[need]
    recipe = f"{project.small}\n{added}\n"
    line = recipe[: recipe.index(added)].count("\n") + (1 if need == "peft" else 2)
    mine = "def reward(prompts, completions, *, longest=1, ground_truth=None):\n    return [0.0] * len(completions)\n"
    project.write(**{"suites/recipes/small.toml": recipe, "suites/recipes/mine.py": mine, "raises": "1 / 0\n"})
    trains = ASKS.replace("before", "trained")
    project.write(test_asks=trains, test_again=trains, conftest=WITHOUT.format("peft"))
    result = project.pytest("--rl-plan" if need == "peft" else "-q")
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    (said,) = [each for each in text.splitlines() if words in each and "small.toml:" in each]
    assert f"small.toml:{line}: {place}" in said, said
    assert not list((project.path / "rl-runs").glob("small*"))
    for trace in INSIDE:
        assert trace not in text


def test_what_is_not_trained_needs_no_peft(project):
    project.write(**{"suites/recipes/small.toml": f"{project.small}\n[lora]\nr = 4\n", "test_asks": ASKS})
    project.write(conftest=WITHOUT.format("peft"))
    project.pytest("test_asks.py").assert_outcomes(passed=1)


TRACKED = {
    '"wandb"': 'wandb is not installed: pip install wandb, or write report_to = "none"',
    '["none", "wandb"]': 'wandb is not installed: pip install wandb, or write report_to = "none"',
    '"wandbb"': "no such tracker 'wandbb'; did you mean 'wandb'?",
}


@pytest.mark.parametrize("tracker", TRACKED)
def test_a_tracker_that_is_not_there_is_told_before_anything_is_made(project, tracker):
    recipe = project.small.replace("logging_steps = 1", f"report_to = {tracker}")
    line = recipe[: recipe.index("report_to")].count("\n") + 1
    project.write(**{"suites/recipes/small.toml": recipe, "test_it": ASKS.replace("before", "trained")})
    project.write(**{"conftest": SPY + WITHOUT.format("wandb"), "wandb/run.log": "what an earlier run left\n"})
    result = project.pytest("-q")
    assert result.ret != 0
    assert f"small.toml:{line}: [train] report_to: {TRACKED[tracker]}" in result.stdout.str()
    for trace in INSIDE:
        assert trace not in result.stdout.str()
    assert not HEAVY & set(project.imported("finished"))
    asked = project.pytest("--collect-only", "-q", "--rl-set=train.report_to='none'")
    assert asked.ret == 0
    again = project.pytest("-q", "--rl-set=train.report_to=['wandb', 'mlflow']")
    words = "[train] report_to: wandb is not installed: pip install wandb"
    assert any(each.startswith(words) and "(under --rl-set train.report_to=" in each for each in again.outlines)


def test_a_recipe_that_trains_nothing_needs_no_tracker(project):
    recipe = project.small.replace("logging_steps = 1", 'report_to = "wandb"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_it": ASKS, "conftest": WITHOUT.format("wandb")})
    assert project.pytest("--collect-only", "-q").ret == 0


FILES = {
    "questions": (
        ("grpo", 'name = "arithmetic"', 'name = "nowhere.jsonl"'),
        "[task] name: nowhere.jsonl: no such file or folder",
    ),
    "a model": (("grpo", 'name = "tiny"', 'name = "./nowhere"'), "[model] name: ./nowhere: no such file or folder"),
    "examples": (
        ("sft", "samples_per_question = 4", 'source = "nowhere.jsonl"'),
        "[data] source: nowhere.jsonl: no such file",
    ),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("options", [(), ("--rl-plan",), ("-n2",)])
def test_a_file_that_is_not_there_is_told_before_anything_is_made(project, file, options):
    (method, old, new), words = FILES[file]
    recipe = small_recipe(method)
    line = recipe[: recipe.index(old)].count("\n") + 1
    project.write(
        **{"suites/recipes/small.toml": recipe.replace(old, new), "test_it": ASKS.replace("before", "trained")}
    )
    assert f"small.toml:{line}: {words}" in said_of(project.pytest(*options))


def said_of(result: pytest.RunResult) -> str:
    """The one line that names what is not there."""
    assert result.ret != 0
    for trace in INSIDE:
        assert trace not in result.stdout.str()
    (said,) = [each for each in result.outlines if "nowhere" in each and not each.startswith("ERROR ")]
    return said


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("--rl-model=./nowhere", "[model] name: ./nowhere: no such"),
        ("--rl-set=model.name=~nobody-here/nowhere", "[model] name: ~nobody-here/nowhere: no such"),
        ("--rl-set=task.name=nowhere.jsonl", "[task] name: nowhere.jsonl: no such"),
    ],
)
def test_what_an_option_gave_is_no_line_of_the_recipe(project, option, place):
    project.write(test_it=ASKS)
    said = said_of(project.pytest(option))
    assert said.startswith(place)
    assert said.endswith(f"(under {option.replace('=', ' ', 1)})")


def test_a_recipe_needs_what_the_one_that_it_starts_from_needs(project):
    given = small_recipe("sft").replace("samples_per_question = 4", 'source = "nowhere.jsonl"')
    child = small_recipe(model='from_recipe = "parent"')
    project.write(**{"suites/recipes/parent.toml": given, "suites/recipes/child.toml": child, "test_it": ASKS})
    assert "parent.toml:" in said_of(project.pytest("--rl-recipe=child"))


@pytest.mark.parametrize(
    "test", ["def test_it(recipe, audit, questions):\n    assert audit.rewards\n", "def test_it(rl_run):\n    pass\n"]
)
def test_what_asks_no_model_needs_none(project, test):
    recipe = project.small.replace('name = "tiny"', 'name = "./nowhere"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_it": test})
    project.pytest("test_it.py").assert_outcomes(passed=1)


def test_a_server_may_call_its_model_by_a_path(project):
    recipe = project.small.replace('name = "tiny"', 'endpoint = "http://127.0.0.1:9/v1"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_it": ASKS})
    assert project.pytest("--collect-only", "-q", "--rl-model=/models/nowhere.gguf").ret == 0


def test_a_call_from_python_is_told_before_the_base_model_is_asked(tmp_path):
    given = small_recipe("sft").replace("samples_per_question = 4", 'source = "nowhere.jsonl"')
    (tmp_path / "small.toml").write_text(given)
    with pytest.raises(RecipeError, match=r"small\.toml:\d+: \[data\] source: nowhere\.jsonl: no such file"):
        harness.run(tmp_path / "small.toml", runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
