"""Regular expressions: patterns of a recipe and of a question, and that none holds up a training; its cases are the
audit's."""

from __future__ import annotations

import re
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.recipe.catalog import load_recipe
from harness.rewards import RewardCalls, Rewards, regex
from harness.rewards.patterns import SECONDS
from harness.store.errors import RecipeError, RewardError


@pytest.mark.parametrize(
    ("parameters", "truth", "answer", "correct"),
    [
        ({}, r"\d+", "Answer: 12", True),
        ({"pattern": r"\d+"}, "unread", "Answer: 12", True),
        ({"pattern": r"\d+"}, r"[a-z]+", "Answer: abc", False),
        ({"pattern": r"\d+"}, "(", "Answer: 12", True),
        ({}, "(", "Answer: 12", None),
        ({}, "a" * 6_000, "Answer: 12", None),
        ({"search": True}, r"\d+", "Answer: at 12 or so", True),
        ({"search": True}, r"^\d+", "Answer: at 12 or so", False),
        ({"search": True}, r"\d+", "12 in passing.\nAnswer: none", False),
        ({}, r"\*\*\w+\*\*", "Answer: **bold**", True),  # as it stands
        ({}, r"\w+", "Answer: **bold**", True),  # and undressed
        ({}, r"\d+", "", False),
    ],
)
def test_patterns(parameters, truth, answer, correct):
    assert regex.configured(**parameters).grade(answer, truth).correct is correct


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('pattern = "("', r"my.toml:\d+: \[rewards\] regex: pattern \'\(\' is no regular expression: missing \)"),
        ('pattern = "a*", search = true', r"pattern 'a\*' is found in every answer, also in an empty one"),
        ("pattern = '(?R)', search = true", r"pattern '\(\?R\)' takes too long on an empty answer"),
        ("pattern = 7", "pattern must be text, not 7"),
        ('pattern = "a", search = "yes"', "search must be true or false, not 'yes'"),
        ('patern = "a"', r"unknown parameter 'patern'; did you mean 'pattern'\?"),
    ],
)
def test_a_pattern_is_checked_at_collection(tmp_path, table, message):
    task = '[task]\nname = "arithmetic"\ntrain_questions = 64\ntest_questions = 8\n'
    rewards = f"[rewards]\nregex = {{ weight = 1.0, {table} }}\n"
    (tmp_path / "my.toml").write_text(f'[model]\nname = "tiny"\n{task}{rewards}')
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "my.toml")


HOSTILE = "Answer: " + "a" * 60 + "!"


@pytest.mark.parametrize("on_a_thread", [False, True])
def test_a_pattern_that_backtracks_for_ever_is_stopped(on_a_thread):
    calls = RewardCalls(Rewards({"regex": 1.0}, {"regex": {"pattern": "(a|aa)+"}}))
    found = []

    def work():
        started = time.process_time()
        found.append(calls(["?"] * 2, [HOSTILE, "aaa"], {"ground_truth": ["", ""]}))
        found.append(time.process_time() - started)

    if on_a_thread:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()
    values, seconds = found
    assert values == {"regex": [None, 1.0]}
    assert seconds < 4 * SECONDS
    (sentence,) = calls.faults.sentences()
    assert 'reward "regex" gave no value for 1 of 2 completions: the grader did not decide in time' in sentence


@settings(deadline=None)
@given(st.text("ab1 -", min_size=1, max_size=12), st.sampled_from([r"\w+", r"[ab]*1?", r"(a|b)+", r"\S+-\S+", "ab"]))
def test_it_is_pythons_match(text, pattern):
    wanted = re.fullmatch(pattern, text.strip()) is not None
    assert regex.grade(f"Answer: {text}", pattern).correct is (wanted and bool(text.strip()))


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=20))
def test_no_text_and_no_pattern_makes_it_raise(completion, pattern):
    grade = regex.grade(completion, pattern)
    assert grade.correct in (True, False, None)
    assert regex.grade(completion, re.escape(completion.strip())).correct is not None


@settings(deadline=None)
@given(st.text("abc", min_size=1, max_size=9), st.text("abc", min_size=1, max_size=9))
def test_an_escaped_text_is_matched_by_itself_alone(one, other):
    assert regex.grade(f"Answer: {other}", re.escape(one)).correct is (one == other)


def test_a_pattern_that_is_no_text_is_refused_in_python_too():
    with pytest.raises(RewardError, match="pattern must be text"):
        regex(["?"], ["a"], ground_truth=["a"], pattern=["a"])
