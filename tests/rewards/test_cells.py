"""Reward functions that no other process can import: what they are called, and what decides their values."""

from __future__ import annotations

import itertools
import linecache
import re
import sys

import pytest

from harness.rewards import boxed_numeric, cells, reward_version
from harness.rewards.grader import turn_texts
from harness.rewards.registry import raised, resolve_reward, reward_name
from harness.store.errors import RewardError

NUMBERS = itertools.count()


@pytest.fixture
def cell(monkeypatch):
    """``cell(source)`` runs it as a notebook's cell does, in one namespace; functions are known until the test ends."""
    monkeypatch.setattr(cells, "_FUNCTIONS", {})
    names = {"__name__": "__main__"}

    def run(source: str, keep_source: bool = True) -> dict:
        file = f"<cell {next(NUMBERS)}>"
        if keep_source:
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), names)
        return names

    return run


REWARD = """
import re
BONUS, WORDS = 0.5, {"a", "b"}
PATTERN = re.compile("x+")
def value(text): return BONUS * len(PATTERN.findall(text))
def mine(completions, **columns):
    return [value(each[0]["content"]) for each in completions]
"""


def version(cell, source: str) -> str:
    return reward_version(reward_name(cell(source)["mine"]))


def test_a_function_of_a_cell_has_a_name_in_this_process(cell):
    mine = cell(REWARD)["mine"]
    assert reward_name(mine) == "__main__:mine"
    assert resolve_reward("__main__:mine") is mine
    assert cells.is_of_cell("__main__:mine")


def test_a_function_that_can_be_imported_keeps_its_module(cell):
    assert reward_name(boxed_numeric) == "boxed_numeric"
    assert reward_name(turn_texts) == "harness.rewards.grader:turn_texts"
    assert not cells.is_of_cell("harness.rewards.grader:turn_texts")


@pytest.mark.parametrize(
    "changed",
    [
        ("0.5", "0.6"),  # a value that a function of another cell uses
        ('"x+"', '"x*"'),
        ("BONUS *", "BONUS +"),
        ("value(each", "2 * value(each"),
    ],
)
def test_what_it_uses_decides_too(cell, changed):
    first = version(cell, REWARD)
    assert version(cell, REWARD) == first
    assert version(cell, REWARD.replace(*changed)) != first


def test_what_it_does_not_use_decides_nothing(cell):
    first = version(cell, REWARD)
    assert version(cell, REWARD.replace('"b"', '"c"') + "\nOTHER = 3\ndef other(): return OTHER\n") == first


DEFAULT = "LIMIT = {}\ndef mine(completions, limit=LIMIT, **columns): return [limit] * len(completions)\n"
CLOSED = "def make(n):\n    def mine(completions, **columns): return [n]\n    return mine\nmine = make({})"
GRADER = (
    "from harness.rewards import Grade, reward_function\n"
    "def says(completion, truth): return Grade(completion, completion == truth + '{}')\n"
    "mine = reward_function(says)"
)
OBJECT = "class Judge:\n    def value(self): return {}\ndef mine(completions, **columns): return [Judge().value()]\n"

WRAPS = """
from functools import wraps
def twice(function):
    @wraps(function)
    def doubled(completions, **columns): return [{} * each for each in function(completions, **columns)]
    return doubled
@twice
def mine(completions, **columns): return [1.0] * len(completions)
"""
WRAPPED = """
from functools import wraps
def told(function):
    @wraps(function)
    def mine(completions, **columns): return mine.__wrapped__(completions)
    return mine
@told
def mine(completions, **columns): return [{}] * len(completions)
"""
CACHED = """
from functools import lru_cache
@lru_cache
def value(text): return {} if text else value(text[1:])
def mine(completions, **columns): return [value(each) for each in completions]
"""
PART = """
from functools import partial
def power(base, exponent): return base ** exponent
value = partial(power, {})
def mine(completions, **columns): return [value(2) for each in completions]
"""
PART_KEYWORD = PART.replace("{}", "exponent={}").replace("value(2)", "value(base=2)")
PART_FUNCTION = PART.replace("base **", "{} * base **").replace("power, {}", "power, 3")
BUILTIN = PART.replace("power, {}", "(max, min)[{} - 1], 3")


@pytest.mark.parametrize(
    "source",
    [DEFAULT, CLOSED, GRADER, OBJECT, WRAPS, WRAPPED, CACHED, PART, PART_KEYWORD, PART_FUNCTION, BUILTIN],
)
def test_defaults_closures_graders_and_classes_decide(cell, source):
    names = [reward_name(cell(source.format(1))["mine"]) for _ in range(2)]
    first = reward_version(names[0])
    assert reward_version(reward_name(cell(source.format(2))["mine"])) != first
    assert reward_version(reward_name(cell(source.format(1))["mine"])) == first


def test_a_module_of_the_users_own_decides_by_its_file(cell, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (helpers := tmp_path / "own_helpers.py").write_text("def value(): return 1")
    source = "import json, own_helpers\ndef mine(completions, **columns): return [own_helpers.value(), json.dumps(1)]"
    try:
        first = version(cell, source)
        assert version(cell, source) == first
        helpers.write_text("def value(): return 2")
        assert version(cell, source) != first
    finally:
        sys.modules.pop("own_helpers", None)


def test_a_set_of_words_counts_alike_in_every_process(cell):
    source = "WORDS = {}\ndef mine(completions, **columns): return [len(WORDS)] * len(completions)\n"
    assert version(cell, source.format({"b", "a"})) == version(cell, source.format({"a", "b"}))
    assert version(cell, source.format({"a", "c"})) != version(cell, source.format({"a", "b"}))


@pytest.mark.parametrize(
    ("source", "keep", "says"),
    [
        ("mine = lambda completions, **columns: [0.0]", True, "a lambda has no name to be kept by"),
        ("def mine(completions, **columns): return [0.0]", False, "mine has no source, so kept results could not"),
        (
            "def make():\n    def mine(completions, **columns): return [later]\n    return mine\n    later = 1\n"
            "mine = make()",
            True,
            "mine uses later, which has no value yet",
        ),
        ("from functools import partial\nmine = partial(print)", True, "reward of type partial: give a function"),
    ],
)
def test_what_no_result_could_be_matched_to_is_refused(cell, source, keep, says):
    with pytest.raises(RewardError, match=re.escape(says)):
        reward_name(cell(source, keep)["mine"])


@pytest.mark.parametrize(
    ("file", "place"), [("/tmp/ipykernel_7/42.py", "in line 2 of its cell"), ("/tmp/mine.py", "at mine.py:2")]
)
def test_an_exception_is_told_with_the_line_of_the_cell(file, place):
    names: dict = {}
    exec(compile("def mine():\n    return 1 / 0", file, "exec"), names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["mine"]()
    assert raised(caught.value) == f"raised ZeroDivisionError {place}: division by zero"


def test_a_recipe_that_names_one_says_where_it_was():
    assert not hasattr(sys.modules["__main__"], "gone")
    with pytest.raises(RewardError, match=r"defined in a notebook or a script.*beside the recipe"):
        resolve_reward("__main__:gone")
