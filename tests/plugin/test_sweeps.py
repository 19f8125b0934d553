"""``--rl-set 'train.learning_rate=[1e-6, 5e-6]'``: parameters as seeds are, each its own run, name and test id."""

from __future__ import annotations

from tests.small_recipes import small_recipe

RATES = "--rl-set=train.learning_rate=[1e-6, 5e-6]"


def test_each_value_has_a_test_id_that_k_takes(project):
    project.write(test_x="def test_x(recipe):\n    assert recipe.swept\n")
    result = project.pytest("-v", RATES, "--rl-set=seeds=[0, 1]")
    result.assert_outcomes(passed=4)
    for rate in ("1e-6", "5e-6"):
        for seed in (0, 1):
            result.stdout.fnmatch_lines([f"*test_x[[]small-lr-{rate}-seed{seed}[]] PASSED*"])
    project.pytest(RATES, "-k", "lr-5e-6").assert_outcomes(passed=1, deselected=1)


def test_a_mistake_is_told_when_tests_are_collected(project):
    project.write(test_x="def test_x(verdicts):\n    pass\n")
    for given, said in {
        "train.learning_rate=[1e-6, 'fast']": "learning_rate: must be a number without quotes, not 'fast'",
        "gate.margin=[0.05, 0.1]": "gate.margin decides no result, so all its values are of one run; give it one value",
    }.items():
        result = project.pytest(f"--rl-set={given}")
        assert said in result.stdout.str()
        assert result.ret == 2
    result = project.pytest(RATES, "--rl-update-baselines=new")
    assert "train.learning_rate has several values and a recipe has one baseline a seed" in result.stdout.str()


def test_methods_of_a_sweep_are_held_against_each_other(project):
    project.write(**{"suites/recipes/small.toml": small_recipe("sft"), "test_m": "def test_m(rl_runs):\n    pass\n"})
    result = project.pytest("--co", "-q", "--rl-set=train.method=['sft', 'dpo']")
    assert "test_m.py::test_m[small-method-sft+small-method-dpo]" in result.outlines
