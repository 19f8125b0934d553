"""The contract with TRL: signature, names, completion formats, and the errors for a dataset that does not fit."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import (
    Grade,
    Rewards,
    answer_in_tags,
    boxed_exact,
    boxed_numeric,
    completion_text,
    format_boxed,
    format_tags,
    length_penalty,
    math_equivalent,
    repetition_penalty,
    reward_function,
    score_all,
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


@settings(deadline=None)
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=20), st.integers(1, 1000), st.integers(0, 1000))
def test_length_penalty_is_trls(lengths: list[int], soft: int, more: int) -> None:
    from trl.rewards import get_soft_overlong_punishment

    theirs = get_soft_overlong_punishment(max_completion_len=soft + more, soft_punish_cache=soft)
    ids = [[0] * length for length in lengths]
    ours = length_penalty(
        ["?"] * len(ids), [""] * len(ids), completion_ids=ids, max_tokens=soft + more, soft_tokens=soft
    )
    assert ours == pytest.approx(theirs(completion_ids=ids))


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 4))
def test_repetition_penalty_is_trls(words: list[int], size: int) -> None:
    from trl.rewards import get_repetition_penalty_reward

    theirs = get_repetition_penalty_reward(ngram_size=size)(completion_ids=[words])
    assert repetition_penalty(["?"], [" ".join(map(str, words))], ngram_size=size) == pytest.approx(theirs)


def test_parameters_and_parts_reach_the_record() -> None:
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
def test_length_penalties_that_make_no_sense(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(RewardError, match=message):
        length_penalty(["?"], ["x"], **parameters)


@settings(deadline=None)
@given(st.text(alphabet="</answer> 1think\\boxed{}", max_size=200))
def test_any_text_in_tags_is_read(text: str) -> None:
    assert answer_in_tags.grade(text, "1").correct in (True, False)
    assert format_tags(["?"], [text]) in ([0.0], [1.0])
    (penalty,) = repetition_penalty(["?"], [text])
    assert penalty is not None
    assert -1.0 < penalty <= 0.0
