"""docs/rewards.md: its tables are today's, its recipe loads, and its functions do what it says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness.recipe import load_recipe
from harness.rewards import RewardCalls, score_all
from harness.rewards.audit.rivals import first_box, last_number, ours, readings

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "rewards.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def make_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reward_tables", DOCS / "make_reward_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_todays() -> None:
    """Where this fails: python docs/make_reward_tables.py"""
    assert make_tables().filled(PAGE) == PAGE
    assert PAGE.count("<!-- table: ") == 4


def test_ours_is_right_wherever_it_is_held_to_something() -> None:
    read = list(readings())
    assert len(read) > 200
    assert all(each.right["boxed_numeric"] for each in read)
    for name in ("first box", "last number"):
        assert sum(not each.right[name] for each in read) > 10


@pytest.mark.parametrize(
    ("text", "truth", "first", "last", "own"),
    [
        (r"\boxed{42}", "42", True, True, True),
        (r"\boxed{1,200}", "1200", True, True, True),
        (r"\boxed{41}, no: \boxed{42}", "42", False, True, True),
        (r"\boxed{\frac{3}{4}}", "3/4", False, False, True),
        (r"\boxed{42}. I checked it 3 times", "42", True, False, True),
        ("42", "42", False, True, False),
    ],
)
def test_the_readers(text: str, truth: str, first: bool, last: bool, own: bool) -> None:
    assert (first_box(text, truth), last_number(text, truth), ours(text, truth)) == (first, last, own)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rewards.py").write_text("\n".join(blocks("python")))
    (table,) = blocks("toml")
    (tmp_path / "mine.toml").write_text(
        '[model]\nname = "tiny"\n[task]\nname = "arithmetic"\ntrain_questions = 64\ntest_questions = 8\n' + table
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    rewards = load_recipe(tmp_path / "mine.toml").rewards
    assert rewards.limit("my_rewards:judged") == 5
    assert rewards.limit("my_rewards:short_answer") == 30
    calls = RewardCalls(rewards)
    texts = [r"\boxed{42}", "We add for a long time and get 42", "41"]
    columns = {"ground_truth": ["42"] * 3, "completion_tokens": [10, 350, 500]}
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    first, second, third = score_all(["?"] * 3, chats, columns, rewards, calls)
    assert not calls.faults
    assert list(first.rewards.values()) == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert list(second.rewards.values()) == [0.0, 0.0, -0.5, 0.0, 1.0]
    assert list(third.rewards.values()) == [0.0, 0.0, -1.0, 1.0, 0.0]
    (scored,) = score_all(["?"], ["It is 42"], {"ground_truth": ["42"]}, {"my_rewards:last_word": 1.0})
    assert (scored.status, scored.extracted, scored.reward) == ("correct", "42", 1.0)
    sys.modules.pop("my_rewards", None)
