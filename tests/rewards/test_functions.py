"""The contract with TRL: signature, names, completion formats, and the errors for a dataset that does not fit."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import (
    Rewards,
    boxed_exact,
    boxed_numeric,
    completion_text,
    format_boxed,
    length_penalty,
    math_equivalent,
    repetition_penalty,
    score_all,
)
from harness.store.errors import RewardError

ALL = (boxed_exact, boxed_numeric, math_equivalent, format_boxed)


@pytest.mark.parametrize("function", ALL, ids=lambda function: function.__name__)
def test_called_as_trl_calls_it(function):
    values = function(
        prompts=["?", "?"],
        completions=[[{"role": "assistant", "content": r"\boxed{7}"}], [{"role": "assistant", "content": "no"}]],
        completion_ids=[[1], [2]],
        ground_truth=["7", "7"],
        trainer_state=object(),
        log_extra=print,
        log_metric=print,
    )
    assert values == [1.0, 0.0]
    assert all(type(value) is float for value in values)
    assert function.__name__ in ("boxed_exact", "boxed_numeric", "math_equivalent", "format_boxed")
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, r'boxed_numeric needs the dataset column "ground_truth"; it has none besides the prompts'),
        ({"solution": ["7"], "answer": ["7"], "trainer_state": object()}, r"it has answer, solution$"),
        ({"ground_truth": ["7", "8"]}, r'"ground_truth" has 2 values for 1 completions'),
        ({"ground_truth": "7"}, r'"ground_truth" must be a list, not a value of type str'),
        ({"ground_truth": [["7"]]}, r'"ground_truth" of row 0 must be text, not a value of type list'),
    ],
)
def test_columns_that_do_not_fit(columns, message):
    with pytest.raises(RewardError, match=message):
        boxed_numeric(["?"], [r"\boxed{7}"], **columns)
    assert boxed_numeric(["?"] * 2, [r"\boxed{1}"] * 2, ground_truth=[None, 1]) == [None, 1.0], "no truth is no reward"


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ([], ""),
        ([{"role": "assistant", "content": "said"}], "said"),
        ([{"role": "assistant", "content": None}], ""),
        (
            [
                {"role": "assistant", "content": "first"},
                {"role": "tool", "content": r"\boxed{7}"},
                {"role": "user", "content": r"\boxed{8}"},
                {"role": "assistant", "content": "last"},
            ],
            "first\nlast",
        ),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}], "a"),
    ],
)
def test_completion_formats(completion, text):
    assert completion_text(completion) == text


@pytest.mark.parametrize("completion", [None, 7, {"content": "x"}, ["text"], [{"role": "assistant", "content": 7}]])
def test_other_completions_are_refused(completion):
    with pytest.raises(RewardError, match="must be text"):
        completion_text(completion)


def test_importing_rewards_loads_nothing_heavy():
    code = (
        "import sys, harness.rewards\n"
        "heavy = {'torch', 'transformers', 'trl', 'sympy', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert result.returncode == 0, result.stderr


@settings(deadline=None)
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=20), st.integers(1, 1000), st.integers(0, 1000))
def test_length_penalty_is_trls(lengths, soft, more):
    from trl.rewards import get_soft_overlong_punishment

    theirs = get_soft_overlong_punishment(max_completion_len=soft + more, soft_punish_cache=soft)
    ids = [[0] * length for length in lengths]
    ours = length_penalty(
        ["?"] * len(ids), [""] * len(ids), completion_ids=ids, max_tokens=soft + more, soft_tokens=soft
    )
    assert ours == pytest.approx(theirs(completion_ids=ids))


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 4))
def test_repetition_penalty_is_trls(words, size):
    from trl.rewards import get_repetition_penalty_reward

    theirs = get_repetition_penalty_reward(ngram_size=size)(completion_ids=[words])
    assert repetition_penalty(["?"], [" ".join(map(str, words))], ngram_size=size) == pytest.approx(theirs)


def test_parameters_and_parts_reach_the_record():
    rewards = Rewards.from_table(
        {"boxed_numeric": 1.0, "length_penalty": {"weight": 0.5, "max_tokens": 40, "soft_tokens": 20}}
    )
    columns = {"ground_truth": ["7"] * 2, "completion_tokens": [20, 30]}
    first, second = score_all(["?"] * 2, [r"\boxed{7}"] * 2, columns, rewards)
    assert (first.reward, first.rewards) == (1.0, {"boxed_numeric": 1.0, "length_penalty": 0.0})
    assert (second.reward, second.rewards) == (0.75, {"boxed_numeric": 1.0, "length_penalty": -0.5})
    assert second.status == "correct"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_tokens": 0, "soft_tokens": 1}, "max_tokens must be a whole number of 1 or more, not 0"),
        ({"max_tokens": 4, "soft_tokens": 1.5}, "soft_tokens must be a whole number of 1 or more, not 1.5"),
        ({"max_tokens": 4, "soft_tokens": 5}, "soft_tokens = 5 must not be more than max_tokens = 4"),
        ({"max_tokens": 4, "soft_tokens": 2}, "needs the column completion_tokens or completion_ids"),
    ],
)
def test_length_penalties_that_make_no_sense(parameters, message):
    with pytest.raises(RewardError, match=message):
        length_penalty(["?"], ["x"], **parameters)
