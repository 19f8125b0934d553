"""What is collected: readable ids, recipes by name, file or object, and mistakes in words."""

from __future__ import annotations

import pytest

IDS = "def test_x(recipe):\n    pass\n"


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


def test_ids_name_recipe_and_seed_and_tests_of_one_stand_together(project):
    """So that one policy is in memory at a time: tests are ordered by recipe and seed, across modules."""
    project.write(**{"suites/recipes/other.toml": f"seeds = [3, 14]\n{project.small}", "test_a": IDS, "test_b": IDS})
    each = ("other-seed3", "other-seed14", "small-seed0")
    expected = [f"test_{file}.py::test_x[{name}]" for name in each for file in "ab"]
    assert collected(project.pytest("--collect-only", "-q")) == expected


def test_shipped_recipes_where_a_project_has_none(project):
    (project.path / "suites/recipes/small.toml").unlink()
    project.write(test_ids=IDS)
    found = collected(project.pytest("--collect-only", "-q"))
    assert "test_ids.py::test_x[tiny-arithmetic-seed0]" in found
    assert len(found) >= 3


MARKED = """
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
"""
OWN = """
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
"""


def test_marker_with_names_files_and_objects(project):
    project.write(**{"suites/recipes/other.toml": project.small, "test_marked": MARKED})
    result = project.pytest("-sv", "--strict-markers")
    result.assert_outcomes(passed=6)
    ran = {line.split("::")[1].split()[0] for line in collected(result)}
    assert {each for each in ran if "alike" not in each} == {
        "test_by_name[other-seed0]",
        "test_by_object[built-seed1]",
        "test_by_object[built-seed2]",
        "test_by_object[small-seed0]",
    }
    for rate in ("rate 0.0001", "rate 1e-05"):
        assert rate in result.stdout.str(), "recipes of one name that differ are runs of their own"


def test_own_fixtures_come_first(project):
    """Names as plain as ``device`` may be taken: a project's own fixture wins and nothing of ours is parametrized."""
    project.write(**{"suites/recipes/wrong.toml": "this is not TOML", "test_own": OWN})
    result = project.pytest("-v")
    result.assert_outcomes(passed=1)
    assert "test_own.py::test_own PASSED" in result.stdout.str()
    assert "rl-harness ===" not in result.stdout.str()


@pytest.mark.parametrize("options", [[], ["-n2"], ["--continue-on-collection-errors"]])
def test_a_wrong_recipe_is_told_once_in_words(project, options):
    """However many files have tests of it; a file without any is collected as ever. tests/recipe has the words."""
    project.write(**{"suites/recipes/small.toml": project.small.replace("max_steps", "max_step")})
    project.write(test_a=IDS, test_b=IDS, test_c=IDS.replace("recipe", ""))
    result = project.pytest(*options)
    text = result.stdout.str()
    assert result.ret not in (0, 5)
    (line,) = {line for line in result.outlines if "did you mean" in line and not line.startswith("ERROR ")}
    assert "small.toml:15: " in line
    assert text.count("did you mean 'max_steps'?") == 1 + text.count("ERROR test_a.py - ")
    assert "ERROR test_b.py" not in text
    assert "1 passed" in text or "--continue-on-collection-errors" not in options
    for trace in ("Traceback", "pydantic", "/harness/", "INTERNALERROR", "raise "):
        assert trace not in text
    assert not (project.path / "rl-runs").exists()


def test_recipes_that_cannot_run_here_are_left_out_and_counted(project):
    """With the reason of each with ``-v``, and where the command asks for some of them."""
    project.write(
        **{
            "suites/recipes/big.toml": f'requires = ["gpu"]\n{project.small}',
            "suites/recipes/slow.toml": f'requires = ["request"]\n{project.small}',
            "test_device.py": "def test_needs_device(device):\n    pass\ndef test_needs_none(recipe):\n    pass\n",
        }
    )
    count = "  2 recipes not for this machine (1 GPU, 1 on request{})"
    big, slow = (
        "not run: recipe big requires a GPU and {}",
        "not run: recipe slow runs when asked for: --rl-recipe slow",
    )
    all_the_same = "--rl-device cpu runs it all the same: 80 answers, at most 1,920 tokens, 4 optimizer steps"
    for options, (passed, left), said in (
        ([], (4, 2), [count.format("; -v lists them")]),
        (["-n2"], (4, 0), [count.format("; -v lists them")]),
        (["-v", "--rl-device=cpu"], (4, 2), [count.format(""), big.format("this is to run on the CPU"), slow]),
        (["--rl-recipe=slow", "--rl-recipe=big"], (3, 1), [big.format(f"none is visible; {all_the_same}")]),
        (["-k", "needs_device"], (1, 5), [big.format("none is visible"), slow]),
        (["--rl-recipe=big", "--rl-device=cpu"], (2, 0), []),
    ):
        result = project.pytest(*options, CUDA_VISIBLE_DEVICES="")
        assert result.ret == 0
        result.assert_outcomes(passed=passed, deselected=left)
        assert sorted(line for line in result.outlines if line.lstrip().startswith(("not run: ", "2 recipes"))) == said


@pytest.mark.parametrize("options", [[], ["-n2"]])
def test_a_session_of_which_nothing_can_run_is_no_pass_and_says_why(project, options):
    project.write(
        **{
            "suites/recipes/big.toml": f'requires = ["gpu"]\n{project.small}',
            "test_it": "def test_it(device):\n    pass\n",
        }
    )
    why = "not run: recipe big requires a GPU and none is visible"
    named = f"{why}; --rl-device cpu runs it all the same: "
    for asked, said in ((["--rl-recipe=big"], named), (["-k", "big"], why), (["test_it.py::test_it[big-seed0]"], why)):
        result = project.pytest(*asked, *options, CUDA_VISIBLE_DEVICES="")
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        (line,) = [line for line in result.outlines if line.startswith("not run: ")]
        assert line.startswith(said)
        assert (line == why) == (said == why)
    plan = project.pytest("--rl-plan", "--rl-recipe=big", CUDA_VISIBLE_DEVICES="")
    assert [line for line in plan.outlines if line.startswith(f"  {named}")]


def test_a_recipe_beside_its_tests_is_asked_for_by_its_file(project):
    tests = """\
import pathlib, pytest

@pytest.mark.rl_recipe(str(pathlib.Path(__file__).with_name("far.toml")))
def test_needs_device(device):
    pass
"""
    project.write(**{"apart/far.toml": f'requires = ["request"]\n{project.small}', "apart/test_far": tests})
    result = project.pytest("apart")
    result.assert_outcomes(deselected=1)
    asked = ["--rl-recipe", "apart/far.toml"]
    assert f"not run: recipe far runs when asked for: {' '.join(asked)}" in result.outlines
    project.pytest("apart", *asked).assert_outcomes(passed=1)


def test_strict_markers_without_xdist(project):
    """xdist is no requirement, and it is xdist that knows the marker that keeps a recipe's tests on one worker."""
    project.write(test_ids=IDS)
    project.pytest("--strict-markers", "-W", "error", "-p", "no:xdist", torch=None).assert_outcomes(passed=1)
