"""The contract with TRL: signature, names, completion formats, and the errors for a dataset that does not fit."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from harness.rewards import (
    Grade,
    boxed_exact,
    boxed_numeric,
    completion_text,
    format_boxed,
    math_equivalent,
    reward_function,
)
from harness.store.errors import RewardError

ALL = (boxed_exact, boxed_numeric, math_equivalent, format_boxed)


def undecided(completion: str, ground_truth: str) -> Grade:
    return Grade(extracted=completion, correct=None)


@pytest.mark.parametrize("function", ALL, ids=lambda function: function.__name__)
def test_called_as_trl_calls_it(function: object) -> None:
    assert callable(function)
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


@pytest.mark.parametrize("function", ALL, ids=lambda function: function.__name__)
def test_functions_keep_their_name_and_pickle(function: object) -> None:
    assert getattr(function, "__name__", None) in ("boxed_exact", "boxed_numeric", "math_equivalent", "format_boxed")
    assert pickle.loads(pickle.dumps(function)) is function


def test_a_grader_of_ones_own() -> None:
    reward = reward_function(undecided)
    assert reward.__name__ == "undecided"
    assert reward.grade("<think>x</think>y", "z") == Grade(extracted="y", correct=None)
    assert reward(["?"], ["x"], ground_truth=["x"]) == [None]
    assert reward_function(undecided, name="other").__name__ == "other"


def test_no_ground_truth_is_no_reward() -> None:
    assert boxed_numeric(["?", "?"], [r"\boxed{1}", r"\boxed{1}"], ground_truth=[None, 1]) == [None, 1.0]


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
def test_columns_that_do_not_fit(columns: dict[str, object], message: str) -> None:
    with pytest.raises(RewardError, match=message):
        boxed_numeric(["?"], [r"\boxed{7}"], **columns)


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
def test_completion_formats(completion: object, text: str) -> None:
    assert completion_text(completion) == text


@pytest.mark.parametrize("completion", [None, 7, {"content": "x"}, ["text"], [{"role": "assistant", "content": 7}]])
def test_other_completions_are_refused(completion: object) -> None:
    with pytest.raises(RewardError, match="must be text"):
        completion_text(completion)


def test_importing_rewards_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness.rewards\n"
        "heavy = {'torch', 'transformers', 'trl', 'sympy', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert result.returncode == 0, result.stderr
