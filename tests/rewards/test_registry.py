"""Names of rewards: shipped, the user's own, misspelt; and the fingerprint of what decides their values."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from harness.recipe import load_recipe
from harness.rewards import SHIPPED, RewardCalls, Rewards, resolve_reward, reward_version
from harness.rewards.registry import PACKAGES
from harness.store.errors import RewardError
from harness.store.versions import REWARDS
from harness.training.job import Job
from tests.small_recipes import small_recipe

SOURCE = """
LIMIT = 3

def short(prompts, completions, **columns):
    return [float(len(text) <= LIMIT) for text in completions]
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """An importable module ``my_rewards_here`` in a folder of its own."""
    path = tmp_path / "my_rewards_here.py"
    path.write_text(SOURCE)
    (tmp_path / "broken_rewards_here.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "raising_rewards_here.py").write_text("raise ValueError('not today')\n")
    (tmp_path / "torn_rewards_here.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield path
    for name in ("my_rewards_here", "broken_rewards_here", "raising_rewards_here", "reexporting_here"):
        sys.modules.pop(name, None)


def test_shipped_names_resolve_to_functions_of_that_name():
    graders = {
        "boxed_exact",
        "boxed_numeric",
        "math_equivalent",
        "answer_in_tags",
        "choice",
        "exact",
        "f1",
        "regex",
        "json_schema",
    }
    assert set(SHIPPED) == graders | {"format_boxed", "format_tags", "length_penalty", "repetition_penalty"}
    assert {name for name in SHIPPED if hasattr(resolve_reward(name), "grade")} == graders
    assert [resolve_reward(name).__name__ for name in SHIPPED] == list(SHIPPED)


def test_a_function_of_the_users(user_module):
    function = resolve_reward("my_rewards_here:short")
    assert function(prompts=["?", "?"], completions=["abc", "abcd"]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boxed_numerc", r'no reward "boxed_numerc"; did you mean "boxed_numeric"\? .*"package\.module:function"'),
        ("zzz", r'no reward "zzz"; those shipped are boxed_numeric, .*"package\.module:function"'),
        ("", r'no reward ""'),
        ("my_rewards_here.short", r'written "package\.module:function"'),
        ("my_rewards_here:", r'written "package\.module:function"'),
        (":short", r'written "package\.module:function"'),
        ("my rewards:short", r'written "package\.module:function"'),
        ("..:short", r'written "package\.module:function"'),
        ("my_rewards_here:shrot", r'my_rewards_here\.py has no "shrot"; did you mean "my_rewards_here:short"\?'),
        ("my_rewards_here:LIMIT", r'"LIMIT" is a value of type int, not a function'),
        ("nowhere_at_all:f", r'there is no module "nowhere_at_all" on Python\'s path'),
        ("nowhere_at_all.deeper:f", r'there is no module "nowhere_at_all" on Python\'s path'),
        ("my_rewards_here.deeper:f", r'no module "my_rewards_here.deeper"'),
        (
            "broken_rewards_here:f",
            r"_here raised ModuleNotFoundError at broken_rewards_here\.py:1: .*no_such_module",
        ),
        ("torn_rewards_here:f", r"raised SyntaxError: .*torn_rewards_here\.py, line 1"),
        (
            "raising_rewards_here:f",
            r"importing \w+ raised ValueError at raising_rewards_here\.py:1: not today",
        ),
    ],
)
def test_names_that_do_not_resolve(user_module, name, message):
    with pytest.raises(RewardError, match=message):
        resolve_reward(name)


def test_shipped_rewards_are_known_by_their_versions():
    assert {name: reward_version(name) for name in (*SHIPPED, "tags_exact") if name not in PACKAGES} == {
        name: f"version {version}" for name, version in REWARDS.items() if name not in PACKAGES
    }
    libraries = "".join(rf", {package} \d[^ ,]*" for package in PACKAGES["math_equivalent"])
    assert re.fullmatch(f"version {REWARDS['math_equivalent']}{libraries}", reward_version("math_equivalent"))


def test_rewards_depend_on_the_versions_of_what_they_compute_with(monkeypatch):
    before = {name: reward_version(name) for name in SHIPPED}
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.0.1")
    changed = {name for name in SHIPPED if reward_version(name) != before[name]}
    assert changed == set(PACKAGES) == {"math_equivalent", "regex", "json_schema"}


def test_a_users_function_may_build_on_shipped_rewards(user_module, monkeypatch):
    before = reward_version("my_rewards_here:short")
    assert re.fullmatch("source [0-9a-f]{16}", before)
    monkeypatch.setitem(REWARDS, "boxed_numeric", 99)
    assert reward_version("my_rewards_here:short") != before


def test_a_users_fingerprint_follows_the_file(user_module):
    before = reward_version("my_rewards_here:short")
    user_module.write_text(SOURCE.replace("\n", "\r\n"), newline="")
    assert reward_version("my_rewards_here:short") == before
    user_module.write_text(SOURCE + "# more\n")
    assert reward_version("my_rewards_here:short") != before


def test_a_fingerprint_follows_the_defining_module_too(user_module):
    user_module.with_name("reexporting_here.py").write_text("from my_rewards_here import short\n")
    before = reward_version("reexporting_here:short")
    user_module.write_text(SOURCE + "# more\n")
    assert reward_version("reexporting_here:short") != before


def test_functions_without_source_have_no_fingerprint():
    with pytest.raises(RewardError, match="has no Python source file"):
        reward_version("math:fsum")


@pytest.fixture
def two_folders(tmp_path, monkeypatch):
    """Two folders with modules of the same names, and what is left of them in this process."""
    for number, name in enumerate(("one", "two"), 1):
        folder = tmp_path / name
        (folder / "same_package").mkdir(parents=True)
        (folder / "same_helper.py").write_text(f"VALUE = {number}.0\n")
        (folder / "same_package" / "inner.py").write_text("from same_helper import VALUE\n" + RETURNS)
        (folder / "same_rewards.py").write_text("import same_helper\nVALUE = same_helper.VALUE\n" + RETURNS)
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path / "one"), str(tmp_path / "two")])
    yield tmp_path / "one", tmp_path / "two"
    for name in [name for name in sys.modules if name.startswith("same_")]:
        del sys.modules[name]


RETURNS = "def reward(completions, **columns):\n    return [VALUE for _ in completions]\n"


@pytest.mark.parametrize("name", ["same_rewards:reward", "same_package.inner:reward"])
def test_two_folders_may_have_modules_of_one_name(two_folders, name):
    """Each recipe gets its own, with what that imports from beside it, in either order and again."""
    one, two = map(str, two_folders)
    path = list(sys.path)
    for folder, value in [(one, 1.0), (two, 2.0), (one, 1.0), (two, 2.0)]:
        assert resolve_reward(name, folder)(prompts=["?"], completions=["a"]) == [value]
    assert resolve_reward(name)(prompts=["?"], completions=["a"]) == [1.0], "the first stays in sys.modules"
    assert resolve_reward(name, two) is resolve_reward(name, two)
    assert reward_version(name, one) == reward_version(name)
    assert sys.path == path
    if name.startswith("same_rewards"):
        (two_folders[1] / "same_rewards.py").write_text("# more\n")
        assert reward_version(name, two) != reward_version(name, one)


def test_a_recipes_rewards_are_of_its_folder(two_folders):
    for folder, value in zip(two_folders, (1.0, 2.0), strict=True):
        rewards = Rewards.from_table({"same_rewards:reward": 1.0}, folder=str(folder))
        assert RewardCalls(rewards)(["?"], ["a"], {}) == {"same_rewards:reward": [value]}
        recipe = folder / "recipe.toml"
        recipe.write_text(small_recipe() + '[rewards]\n"same_rewards:reward" = 1.0\n')
        for made in (load_recipe(recipe), load_recipe(recipe).override({"seeds": [1]})):
            assert RewardCalls(made.rewards)(["?"], ["a"], {}) == {"same_rewards:reward": [value]}


def test_a_job_knows_the_folder_of_its_rewards(two_folders, tmp_path):
    rewards = Rewards.from_table({"same_rewards:reward": 1.0}, folder=str(two_folders[1]))
    job = Job("grpo", "tiny", "cpu", "float32", 0, rewards, {}, [])
    job.write(tmp_path)
    assert RewardCalls(Job.read(tmp_path).rewards)(["?"], ["a"], {}) == {"same_rewards:reward": [2.0]}


def test_a_module_that_is_not_beside_the_recipe_is_found_as_before(user_module, tmp_path):
    (tmp_path / "empty").mkdir()
    assert resolve_reward("my_rewards_here:short", str(tmp_path / "empty")) is resolve_reward("my_rewards_here:short")
