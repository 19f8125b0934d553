"""The penalties and the tags: tables, TRL's own functions beside ours, and what any text must give."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import answer_in_tags, format_tags, length_penalty, repetition_penalty, score_all
from harness.rewards.settings import Rewards
from harness.store.errors import RewardError
from harness.tasks.tags import last_tagged


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


TAGS = [
    ("", None),
    ("42", None),
    ("<answer>42</answer>", "42"),
    ("<answer>1</answer><answer>2</answer>", "2"),
    ("<answer>1</answer><answer> </answer>", "1"),
    ("<answer>1</answer><answer>2", "1"),
    ("<answer><answer>1</answer></answer>", "1"),
    ("</answer>1<answer>", None),
    ("<Answer>1</Answer>", None),
    ("<answer >1</answer>", None),
]


@pytest.mark.parametrize(("text", "content"), TAGS)
def test_tags(text: str, content: str | None) -> None:
    assert last_tagged(text, "answer") == content
    assert answer_in_tags.grade(text, "42").extracted == content


@pytest.mark.parametrize(
    ("content", "extracted"),
    [(r"\boxed{42}", "42"), (r"\boxed{ 42 }", "42"), (r"\boxed{4}2", r"\boxed{4}2"), (r"\boxed{}", r"\boxed{}")],
)
def test_a_box_around_the_whole_answer_is_taken_off(content: str, extracted: str) -> None:
    assert answer_in_tags.grade(f"<answer>{content}</answer>", "42").extracted == extracted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>a</think><answer>b</answer>", 1.0),
        (" <think>\na\n</think>\n\n<answer> b </answer>\n", 1.0),
        ("<think></think><answer>b</answer>", 0.0),
        ("<think>a</think><answer> </answer>", 0.0),
        ("<think>a</think>so<answer>b</answer>", 0.0),
        ("<think>a</think><answer>b</answer> done", 0.0),
        ("<answer>b</answer><think>a</think>", 0.0),
        ("<think>a</think><answer>b</answer><answer>c</answer>", 0.0),
        ("<think>a <answer>c</answer></think><answer>b</answer>", 0.0),
        ("<answer>b</answer>", 0.0),
        ("", 0.0),
    ],
)
def test_format_tags(text: str, value: float) -> None:
    assert format_tags(["?"], [text]) == [value]


@settings(deadline=None)
@given(st.text(alphabet="</answer> 1think\\boxed{}", max_size=200))
def test_any_text_is_read_without_error(text: str) -> None:
    assert answer_in_tags.grade(text, "1").correct in (True, False)
    assert format_tags(["?"], [text]) in ([0.0], [1.0])
    (penalty,) = repetition_penalty(["?"], [text])
    assert penalty is not None
    assert -1.0 < penalty <= 0.0
