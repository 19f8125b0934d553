"""Every option has an ini twin, the option wins, and a bad value is one sentence."""

from __future__ import annotations

import re

import pytest

from harness.plugin.options import OPTIONS

# Prints what the plugin made of options and ini keys, without running anything.
SHOW = """
from harness.plugin.options import OPTIONS, PATHS, get_option, get_path

def test_show(pytestconfig):
    print()
    for name, _, _ in OPTIONS:
        print(f"{name} = {(get_path if name in PATHS else get_option)(pytestconfig, name)!s}")
"""
SETTINGS = """
def test_show(rl_run, recipe, pytestconfig):
    print("data =", rl_run.settings.data, "model =", recipe.model.name, "source =", recipe.source)
"""


def shown(result: pytest.RunResult) -> dict[str, str]:
    assert result.ret == 0, result.stdout.str()
    return dict(re.findall(r"^([a-z-]+) = (.*)$", result.stdout.str(), re.MULTILINE))


def test_help_has_every_option_in_one_group(project):
    text = project.pytest("--help").stdout.str()
    group = re.search(r"^post-training \(rl-harness\):\n(.*?)^\S", text, re.MULTILINE | re.DOTALL)
    assert group is not None
    assert re.findall(r"^  (--rl-[a-z-]+)", group[1], re.MULTILINE) == [f"--rl-{name}" for name, _, _ in OPTIONS]
    assert text.count("--rl-plan") >= 2, "the ini twin says whose twin it is"
    for name, _, _ in OPTIONS:
        assert re.search(rf"^  rl_{name.replace('-', '_')} \(", text, re.MULTILINE), f"no ini key for {name}"


# option: (in the ini file, given as an option, what the ini key gives, what the option gives)
CASES = {
    "recipe": ("a\n  b", "c", "['a', 'b']", "['c']"),
    "model": ("org/one", "org/two", "org/one", "org/two"),
    "endpoint": ("http://one/v1", "http://two/v1", "http://one/v1", "http://two/v1"),
    "data": ("one.jsonl", "two.jsonl", "one.jsonl", "two.jsonl"),
    "limit": ("7", "8", "7", "8"),
    "nproc": ("2", "4", "2", "4"),
    "set": ("x.y=1\n  x.z=2", "x.y=3", "['x.y=1', 'x.z=2']", "['x.y=3']"),
    "name": ("one", "two", "one", "two"),
    "device": ("cpu", "mps", "cpu", "mps"),
    "runs-dir": ("kept", "elsewhere", "{root}/kept", "{root}/sub/elsewhere"),
    "report-dir": ("page", "elsewhere", "{root}/page", "{root}/sub/elsewhere"),
    "recipes-dir": ("own", "../other", "{root}/own", "{root}/sub/../other"),
    "fresh": ("true", None, "True", "True"),
    "strict": ("true", None, "True", "True"),
    "stop-early": ("true", None, "True", "True"),
    "update-baselines": ("new", "all", "new", "all"),
    "baselines-dir": ("kept", "elsewhere", "{root}/kept", "{root}/sub/elsewhere"),
    "allow-dirty": ("true", None, "True", "True"),
    "pr-comment": ("one.md", "two.md", "one.md", "two.md"),
    "in-process": ("yes", None, "True", "True"),
}
DEFAULTS = {
    "runs-dir": "{root}/rl-runs",
    "report-dir": "{root}/rl-report",
    "recipes-dir": "{root}/suites/recipes",
    "baselines-dir": "{root}/suites/baselines",
}


def test_ini_twins_and_options_that_override_them(project):
    """Paths on the command line are relative to the caller's folder, and those of the ini file to its own."""
    assert set(CASES) == {name for name, _, _ in OPTIONS} - {"plan"}, "an option without a case"
    project.write(test_show=SHOW)
    (project.path / "sub").mkdir()
    root = str(project.path)

    found = shown(project.pytest("-s"))
    assert {name: found[name] for name in CASES} == {
        name: DEFAULTS.get(name, "None").format(root=root) for name in CASES
    }

    keys = "".join(f"rl_{name.replace('-', '_')} = {case[0]}\n" for name, case in CASES.items())
    project.write(**{"pytest.ini": f"[pytest]\n{keys}"})
    found = shown(project.pytest("-s"))
    assert {name: found[name] for name in CASES} == {name: case[2].format(root=root) for name, case in CASES.items()}

    options = [f"--rl-{name}={case[1]}" if case[1] else f"--rl-{name}" for name, case in CASES.items()]
    found = shown(project.pytest("-s", *options, "../test_show.py", folder="sub"))
    assert {name: found[name] for name in CASES} == {name: case[3].format(root=root) for name, case in CASES.items()}


def test_a_path_that_stands_apart_moves_no_root_directory(project, tmp_path_factory):
    """Without an ini file; with one, pytest finds its way."""
    runs = tmp_path_factory.mktemp("elsewhere")
    project.write(test_show=SHOW)
    assert shown(project.pytest("-s", "test_show.py", "--rl-runs-dir", str(runs)))["runs-dir"] == str(runs)
    (project.path / "pytest.ini").unlink()
    result = project.pytest("test_show.py", "--rl-runs-dir", str(runs))
    assert result.ret == 4
    assert f"; write --rl-runs-dir={runs}" in result.stderr.str()
    found = shown(
        project.pytest("-s", "test_show.py", f"--rl-runs-dir={runs}", "--rl-strict", "--rl-data", "test_show.py")
    )
    assert found["recipes-dir"] == f"{project.path}/suites/recipes"


@pytest.mark.parametrize("from_ini", [False, True], ids=["option", "ini"])
def test_files_that_options_name(project, from_ini):
    """--rl-recipe, --rl-data and --rl-model find files where the user wrote their names."""
    home = project.path if from_ini else project.path / "sub"
    project.write(test_show=SETTINGS)
    (project.path / "sub").mkdir()
    (home / "model").mkdir()
    (home / "mine.toml").write_text(project.small.replace('"arithmetic"', '"gsm8k"'))
    (home / "d.jsonl").touch()
    if from_ini:
        project.write(**{"pytest.ini": "[pytest]\nrl_recipe = mine.toml\nrl_data = d.jsonl\nrl_model = model\n"})
        options = []
    else:
        options = ["--rl-recipe=mine.toml", "--rl-data=d.jsonl", "--rl-model=model"]
    result = project.pytest("-s", *options, "../test_show.py", folder="sub")
    assert f"data = {home}/d.jsonl model = {home}/model source = {home}/mine.toml" in result.stdout.str()


def test_overrides_reach_the_recipe(project):
    project.write(test_show="def test_show(recipe):\n    print(recipe.train.arguments, recipe.task)\n")
    options = ("--rl-set=train.max_steps=2", "--rl-set=task.system_prompt=Be brief.", "--rl-limit=6")
    text = project.pytest("-s", *options).stdout.str()
    assert "'max_steps': 2" in text
    assert "system_prompt='Be brief.'" in text
    assert "train_questions=6 test_questions=6" in text


# (options, ini file, what one sentence says)
MISTAKES = [
    (["--rl-limit=few"], "", "argument --rl-limit: invalid int value: 'few'"),
    ([], "rl_update_baselines = some", "ini key rl_update_baselines must be 'new' or 'all', not 'some'"),
    ([], "rl_limit = few", "ini key rl_limit must be a whole number, not 'few'"),
    ([], "rl_plan = perhaps", "ini key rl_plan: invalid truth value 'perhaps'"),
    (["--rl-nproc=0"], "", "nproc_per_node: must be 1 or more, not 0 (under --rl-nproc 0)"),
    (["--rl-limit=0"], "", "a limit of 0 questions leaves nothing to ask; give 1 or more"),
    (["--rl-set=train.max_steps"], "", "an override is written key=value"),
    (["--rl-set=train.max_step=2"], "", "did you mean 'max_steps'? (under --rl-set"),
    (
        ["--rl-set=train.learning_rate=[1e-4,"],
        "",
        "train.learning_rate: the value [1e-4, is not valid TOML: Invalid value",
    ),
    (["--rl-set=task.system_prompt='Be brief"], "", "task.system_prompt: the value 'Be brief is not valid TOML"),
    (["--rl-name="], "", "'' is no name for a run"),
    (["--rl-plan", "--rl-name=" + 61 * "x"], "", "is no name for a run: it is longer than 60"),
    (["--rl-recipe=smal"], "", "no recipe named 'smal'; did you mean 'small'?"),
    (["--rl-recipe=none.toml"], "", "none.toml: no such recipe file"),
]


@pytest.mark.parametrize(("options", "ini", "sentence"), MISTAKES)
def test_a_bad_value_is_one_sentence(project, options, ini, sentence):
    project.write(**{"pytest.ini": f"[pytest]\n{ini}\n", "test_show.py": SETTINGS})
    result = project.pytest(*options)
    assert result.ret not in (0, 5)
    everything = result.stdout.str() + result.stderr.str()
    assert sentence in everything
    for trace in ("Traceback", "harness/", "INTERNALERROR"):
        assert trace not in everything.replace(str(project.path), "")
