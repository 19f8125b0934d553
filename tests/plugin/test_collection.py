"""What is collected: readable ids, recipes by name, file or object, and mistakes in words."""

from __future__ import annotations

from textwrap import dedent

import pytest

IDS = "def test_x(recipe):\n    pass\n"


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


def test_ids_name_recipe_and_seed(project):
    recipe = project.small
    project.write(**{"suites/recipes/other.toml": f"seeds = [3, 14]\n{recipe}", "test_ids": IDS})
    result = project.pytest("--collect-only", "-q")
    assert collected(result) == [
        "test_ids.py::test_x[other-seed3]",
        "test_ids.py::test_x[other-seed14]",
        "test_ids.py::test_x[small-seed0]",
    ]
    result = project.pytest("-q", "-k", "other and seed14", "--collect-only")
    assert collected(result) == ["test_ids.py::test_x[other-seed14]"]


def test_shipped_recipes_where_a_project_has_none(project):
    (project.path / "suites/recipes/small.toml").unlink()
    project.write(test_ids=IDS)
    result = project.pytest("--collect-only", "-q")
    assert "test_ids.py::test_x[tiny-arithmetic-seed0]" in collected(result)
    assert len(collected(result)) >= 3


def test_tests_of_a_recipe_stand_together(project):
    """So that one policy is in memory at a time: tests are ordered by recipe and seed, across modules."""
    recipe = project.small
    project.write(**{"suites/recipes/other.toml": recipe, "test_a": IDS, "test_b": IDS})
    assert [line.split("[")[1] for line in collected(project.pytest("--collect-only", "-q"))] == [
        "other-seed0]",
        "other-seed0]",
        "small-seed0]",
        "small-seed0]",
    ]


def test_marker_with_names_files_and_objects(project):
    recipe = project.small
    project.write(
        **{
            "suites/recipes/other.toml": recipe,
            "mine.toml": recipe,
            "test_marked.py": """
from textwrap import dedent

import pytest
from harness.recipe import ModelSection, Recipe, TaskSection, TrainSection

built = Recipe(
    name="built",
    seeds=[1, 2],
    model=ModelSection(name="tiny"),
    task=TaskSection(name="arithmetic", train_questions=32, test_questions=8),
    train=TrainSection(arguments={"per_device_train_batch_size": 16, "num_generations": 4}),
)

@pytest.mark.rl_recipe("other")
def test_by_name(recipe):
    assert recipe.name == "other"

@pytest.mark.rl_recipe(built, "small")
def test_by_object(recipe, rl_run):
    assert recipe is built or recipe.name == "small"

@pytest.mark.rl_recipe(*(built.override({"train.learning_rate": rate, "seeds": [0]}) for rate in (1e-4, 1e-5)))
def test_built_alike(recipe, rl_run, request):
    rates = [recipe.train.arguments["learning_rate"], rl_run.recipe.train.arguments["learning_rate"]]
    assert rates == [request.node.callspec.params["rl_run"][0].train.arguments["learning_rate"]] * 2
    print("rate", rates[0])
""",
        }
    )
    result = project.pytest("-s", "--strict-markers", "--collect-only", "-q")
    assert sorted(line.split("::")[1] for line in collected(result) if "alike" not in line) == [
        "test_by_name[other-seed0]",
        "test_by_object[built-seed1]",
        "test_by_object[built-seed2]",
        "test_by_object[small-seed0]",
    ]
    result = project.pytest("-s", "--strict-markers")
    result.assert_outcomes(passed=6)
    assert "rate 0.0001" in result.stdout.str()
    assert "rate 1e-05" in result.stdout.str(), "recipes of one name that differ are runs of their own"


def test_own_fixtures_come_first(project):
    """Names as plain as ``device`` may be taken: a project's own fixture wins and nothing of ours is parametrized."""
    project.write(
        **{
            "suites/recipes/wrong.toml": "this is not TOML",
            "test_own.py": """
from textwrap import dedent

import pytest

@pytest.fixture
def recipe():
    return "pancakes"

@pytest.fixture
def device():
    return "toaster"

@pytest.fixture
def policy(device):
    return f"no {device} in the bath"

def test_own(recipe, device, policy):
    assert (recipe, device, policy) == ("pancakes", "toaster", "no toaster in the bath")
""",
        }
    )
    result = project.pytest("-v")
    result.assert_outcomes(passed=1)
    assert "test_own.py::test_own PASSED" in result.stdout.str()
    assert "rl-harness ===" not in result.stdout.str()


# what a recipe's text is changed to: (old, new, what the message holds)
WRONG = {
    "unknown key": ("max_steps = 4", "max_step = 4", ["small.toml:15: ", "max_step", "did you mean 'max_steps'?"]),
    "unknown section": ("[evaluate]", "[evaluation]", ["small.toml:19: ", "evaluation", "did you mean 'evaluate'?"]),
    "bad batch": ("num_generations = 4", "num_generations = 5", ["small.toml:14: ", "num_generations", "multiple"]),
    "not TOML": ("max_steps = 4", "max_steps = ", ["small.toml:15: not valid TOML"]),
    "reward": ("[train]", "[rewards]\nboxed_numerics = 1.0\n[train]", ["did you mean 'boxed_numeric'?"]),
    "limit 0": ("test_questions = 8", "test_questions = 0", ["small.toml:9: ", "test_questions"]),
}


@pytest.mark.parametrize(("wrong", "workers"), [*((wrong, 0) for wrong in WRONG), ("unknown key", 2)])
def test_a_wrong_recipe_is_a_collection_error_in_words(project, wrong, workers):
    old, new, said = WRONG[wrong]
    recipe = project.small
    assert recipe.count(old) == 1
    project.write(**{"suites/recipes/small.toml": recipe.replace(old, new), "test_ids": IDS})
    result = project.pytest(f"-n{workers}", "suites", "test_ids.py")
    assert result.ret not in (0, 5)
    text = result.stdout.str()
    (line,) = {line for line in result.outlines if "small.toml" in line and not line.startswith("ERROR ")}
    for part in said:
        assert part in line
    for trace in ("Traceback", "pydantic", "/harness/", "INTERNALERROR", "raise "):
        assert trace not in text
    assert not (project.path / "rl-runs").exists()


@pytest.mark.parametrize("options", [[], ["-n2"], ["--continue-on-collection-errors"]])
def test_a_wrong_recipe_is_told_once_a_session(project, options):
    """However many files have tests of it; a file without any is collected as ever."""
    recipe = project.small
    project.write(**{"suites/recipes/small.toml": recipe.replace("max_steps", "max_step")})
    project.write(test_a=IDS, test_b=IDS, test_c=IDS.replace("recipe", ""))
    result = project.pytest(*options)
    text = result.stdout.str()
    assert "INTERNALERROR" not in text
    assert result.ret not in (0, 5)
    assert text.count("did you mean 'max_steps'?") == 1 + text.count("ERROR test_a.py - ")
    assert "ERROR test_b.py" not in text
    assert "1 passed" in text or "--continue-on-collection-errors" not in options


def test_recipes_that_cannot_run_here_are_skipped_with_the_reason(project):
    recipe = project.small
    project.write(
        **{
            "suites/recipes/big.toml": f'requires = ["gpu"]\n{recipe}',
            "suites/recipes/slow.toml": f'requires = ["request"]\n{recipe}',
            "test_device.py": "def test_needs_device(device):\n    pass\ndef test_needs_none(recipe):\n    pass\n",
        }
    )
    for workers in ("-n0", "-n2"):
        result = project.pytest(workers, CUDA_VISIBLE_DEVICES="")
        result.assert_outcomes(passed=4, skipped=2)
        for line in (
            "not run: recipe big requires a GPU and none is visible",
            "not run: recipe slow runs when asked for: --rl-recipe slow",
        ):
            assert result.outlines.count(line) == 1, result.stdout.str()
    result = project.pytest("-rs", "--rl-recipe=slow", "--rl-recipe=big", CUDA_VISIBLE_DEVICES="")
    result.assert_outcomes(passed=3, skipped=1)
    named = project.pytest("--rl-recipe=big", "--rl-device=cpu", CUDA_VISIBLE_DEVICES="")
    named.assert_outcomes(passed=2)
    result = project.pytest("--rl-device=cpu", CUDA_VISIBLE_DEVICES="")
    assert "not run: recipe big requires a GPU and this is to run on the CPU" in result.outlines


def test_a_recipe_beside_its_tests_is_asked_for_by_its_file(project):
    recipe = (project.path / "suites/recipes/small.toml").read_text()
    tests = """\
    import pathlib, pytest

    @pytest.mark.rl_recipe(str(pathlib.Path(__file__).with_name("far.toml")))
    def test_needs_device(device):
        pass
    """
    project.write(**{"apart/far.toml": f'requires = ["request"]\n{recipe}', "apart/test_far": dedent(tests)})
    result = project.pytest("-rs", "apart")
    result.assert_outcomes(skipped=1)
    asked = ["--rl-recipe", "apart/far.toml"]
    result.stdout.fnmatch_lines([f"*recipe far runs when asked for: {' '.join(asked)}"])
    project.pytest("apart", *asked).assert_outcomes(passed=1)


def test_strict_markers_without_xdist(project):
    """xdist is no requirement, and it is xdist that knows the marker that keeps a recipe's tests on one worker."""
    project.write(test_ids=IDS)
    project.pytest("--strict-markers", "-W", "error", "-p", "no:xdist").assert_outcomes(passed=1)
