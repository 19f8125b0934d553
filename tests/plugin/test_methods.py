"""Suites of several training methods in an inner pytest: which recipes a test runs with, warm-ups, comparisons."""

from __future__ import annotations

import json

import pytest

from tests.inner_pytest import REPOSITORY
from tests.small_recipes import small_recipe

SFT = small_recipe("sft")
WARMED = small_recipe(model='from_recipe = "sft"').replace("max_steps = 4", "max_steps = 2")
MARKED = """\
import pytest

@pytest.mark.method("sft")
def test_sft(recipe):
    assert recipe.train.method == "sft"

@pytest.mark.method("grpo", "dpo")
def test_others(recipe):
    assert recipe.train.method in ("grpo", "dpo")

def test_any(recipe):
    pass

def test_none():
    pass
"""


@pytest.fixture
def mixed(project):
    project.write(**{"suites/recipes/sft.toml": SFT, "suites/recipes/dpo.toml": small_recipe("dpo")})
    return project


def test_the_marker_keeps_a_test_to_its_methods(mixed):
    mixed.write(test_marked=MARKED)
    result = mixed.pytest("-v", "--strict-markers")
    result.assert_outcomes(passed=1 + 2 + 3 + 1)
    for name in ("test_sft[sft-seed0]", "test_others[dpo-seed0]", "test_others[small-seed0]", "test_any[sft-seed0]"):
        result.stdout.fnmatch_lines([f"*{name.replace('[', '[[]')} PASSED*"])


def test_what_no_recipe_trains_by_is_left_out(mixed):
    mixed.write(test_marked=MARKED)
    for workers in ((), ("-n2",)):
        result = mixed.pytest("--rl-recipe", "small", *workers)
        result.assert_outcomes(passed=3, deselected=0 if workers else 1)
        assert "skipped" not in result.stdout.str()
    (mixed.path / "test_marked.py").unlink()
    mixed.write(test_only='import pytest\npytestmark = pytest.mark.method("sft")\ndef test_x(verdicts):\n    pass\n')
    result = mixed.pytest("--rl-recipe", "small")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["rl-harness: no recipe here trains by the method that these tests are of*small"])


def test_a_plan_says_what_is_learnt_from(mixed):
    mixed.write(**{"suites/recipes/warmed.toml": WARMED, "test_x": "def test_x(verdicts):\n    pass\n"})
    given = SFT.replace("samples_per_question = 4", 'source = "given.jsonl"\n[lora]\nr = 4')
    worked = SFT.replace("samples_per_question = 4", 'source = "solutions"')
    mixed.write(**{"suites/recipes/given.toml": given, "suites/recipes/worked.toml": worked})
    mixed.write(**{"given.jsonl": ""})
    lines = mixed.pytest("--rl-plan").stdout
    for expected in (
        "  samples: 96 answers to 24 training questions, to learn from",
        "  train: sft, at most 4 optimizer steps of 8 examples (at most 96)",
        "  train: dpo, at most 4 optimizer steps of 8 pairs (at most 96)",
        "  train: sft, at most 4 optimizer steps of 8 examples (at most 24)",
        "  train: sft, LoRA of rank 4, 4 optimizer steps of 8 examples each, from given.jsonl",
        "  model: tiny, as sft trains it with the same seed (made first if need be); task: arithmetic",
    ):
        assert expected in lines.lines, expected


STARTS = """
import pytest

@pytest.mark.rl_recipe("warmed", "sft")
def test_x(trained, before):
    pass

@pytest.mark.rl_recipe("warmed", "sft")
def test_y(after):
    pass
"""


@pytest.fixture(scope="module")
def trained(shared_project):
    """A session of the suite that compares methods, and of a recipe that starts from what another trains."""
    project = shared_project
    (project.path / "suites/recipes/small.toml").unlink()
    for name, text in (("sft", SFT), ("dpo", small_recipe("dpo")), ("warmed", WARMED)):
        project.write(**{f"suites/recipes/{name}.toml": text})
    project.write(test_methods=(REPOSITORY / "suites/test_methods.py").read_text(), test_starts=STARTS)
    result = project.pytest("-v", "--rl-in-process", torch=True)
    result.assert_outcomes(passed=3 + 4)
    runs = {name: next((project.path / "rl-runs").glob(name)) for name in ("sft", "dpo", "warmed")}
    return project, result, runs


def test_a_recipe_starts_from_what_another_trained(trained):
    """Its base answers as the parent's policy does after."""
    _, _, runs = trained
    after, before = (
        [json.loads(line)["completion"] for line in (runs[name] / stage / "records.jsonl").open()]
        for name, stage in (("sft", "after"), ("warmed", "before"))
    )
    assert sorted(before) == sorted(after)
    job = json.loads((runs["warmed"] / "train/job.json").read_text())
    assert job["model"] == str((runs["sft"] / "train/final").resolve())


def test_the_comparison_is_kept_and_shown(trained):
    _, result, runs = trained
    result.stdout.fnmatch_lines(
        [
            "methods compared*",
            "  method *accuracy*points per second",
            "  dpo *",
            "  sft *",
            "  dpo and sft: sft *points*",
        ]
    )
    first, second = (json.loads((runs[name] / "methods.json").read_text()) for name in ("dpo", "sft"))
    assert first == second
    assert [row["method"] for row in first["rows"]] == ["dpo", "sft"]
    assert {row["completions"] for row in first["rows"]} == {96}
    assert first["rows"][0]["sampled_tokens"] == first["rows"][1]["sampled_tokens"] > 0


def test_another_model_takes_the_place_of_the_other_recipe(trained):
    project, *_ = trained
    lines = project.pytest("--rl-plan", "--rl-recipe", "warmed", "--rl-model", "tiny").outlines
    assert "  model: tiny; task: arithmetic" in lines
    assert not [line for line in lines if "as sft trains it" in line]


def test_a_cycle_is_an_error_of_collection(mixed):
    mixed.write(**{"suites/recipes/warmed.toml": WARMED.replace('"sft"', '"warmed"'), "test_x": STARTS})
    result = mixed.pytest("--rl-recipe", "warmed")
    assert result.ret != 0
    assert "warmed.toml:4: [model] from_recipe: warmed starts from warmed: no recipe" in result.stdout.str()
