"""What each grader decides: one table for all, and what any text must give."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import (
    Grade,
    answer_in_tags,
    boxed_exact,
    boxed_numeric,
    format_tags,
    math_equivalent,
    resolve_reward,
    reward_function,
    score_all,
)
from harness.rewards.functions import tags_exact
from harness.rewards.parse import normalize

# One answer a line, by kind: {"kind", "graders", "completion", "ground_truth", "reward"}. What they extract from it is
# written down in tests/golden.
KINDS = defaultdict(list)
for line in Path(__file__).with_name("cases.jsonl").read_text(encoding="utf-8").splitlines():
    KINDS[json.loads(line)["kind"]].append(json.loads(line))


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str) -> None:
    wrong = []
    for row in KINDS[kind]:
        for name in row["graders"]:
            (reward,) = resolve_reward(name)(["?"], [row["completion"]], ground_truth=[row["ground_truth"]])
            if reward != row["reward"]:
                wrong.append((name, row["completion"], row["ground_truth"], reward))
    assert wrong == []


@pytest.mark.parametrize(
    ("completion", "statuses"),
    [
        ("<answer>42</answer>", ("correct", "correct")),
        ("<answer> 42.0</answer>", ("wrong", "correct")),
        ("<think><answer>42</answer></think><answer>41</answer>", ("wrong", "wrong")),
        ("42", ("no_answer", "no_answer")),
    ],
)
def test_strictly_and_flexibly_in_tags(completion: str, statuses: tuple[str, str]) -> None:
    assert (tags_exact.grade(completion, "42").status, answer_in_tags.grade(completion, "42").status) == statuses


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paris", r"\text{ paris }", True),
        ("the  Eiffel\ntower", "The Eiffel Tower.", True),
        (r"\dfrac{a}{b}", r"\frac{a}{b}", True),
        (r"\left(1, 2\right)", "(1, 2)", True),
        ("$x$", "x", True),
        (r"\frac{1}{23}", r"\frac{12}{3}", False),
        ("a b", "ab", False),
        (r"\leftarrow", "arrow", False),
    ],
)
def test_normalized_text(one: str, other: str, same: bool) -> None:
    assert (normalize(one) == normalize(other)) is same


@pytest.mark.parametrize(
    "answer",
    [
        "_a " * 3_300,
        "*a " * 3_300,
        "$" + "a " * 4_900,
        "{" * 9_000,
        "\\[" * 5_000,
        r"\boxed{1} " * 10_000,
        "a." * 5_000,
    ],
)
def test_answers_made_to_be_slow(answer: str) -> None:
    start = time.process_time()
    for function in (answer_in_tags, boxed_numeric, math_equivalent):
        assert not function.grade(f"<answer>{answer}</answer> \\boxed{{{answer}}}", "42").correct
    assert time.process_time() - start < 2.0


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.text(alphabet="abc .$", max_size=30))
def test_every_grader_accepts_the_ground_truth(value: int, words: str) -> None:
    for function in (boxed_exact, boxed_numeric, math_equivalent):
        assert function.grade(f"{words}\\boxed{{{value}}}{words}", str(value)).correct is True


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_numbers_are_the_same_only_if_equal(answer: int, truth: int) -> None:
    for function in (boxed_exact, boxed_numeric, math_equivalent):
        assert function.grade(f"\\boxed{{{answer}}}", str(truth)).correct is (answer == truth)


@settings(deadline=None)
@given(st.text(max_size=100), st.text(max_size=20))
def test_no_text_makes_a_grader_raise(completion: str, truth: str) -> None:
    for function in (boxed_exact, boxed_numeric):
        assert function.grade(f"\\boxed{{{completion}}}", truth).correct in (True, False)


# Pieces of boxes, braces and ends of lines of every kind, so that few texts are without one.
PIECES = st.sampled_from(
    [
        r"\boxed{",
        r"\boxed",
        "boxed{",
        "{",
        "}",
        "\\",
        " ",
        "\n",
        "\r",
        "\u2028",
        "1",
        "18",
        "-",
        ".",
        r"\frac",
        "<",
        "$",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join)


@settings(deadline=None, max_examples=500)
@given(TEXTS, TEXTS | st.sampled_from(["", " ", "1", "18"]))
def test_boxed_exact_is_the_courses_function(completion: str, truth: str) -> None:
    found = re.search(r"\\boxed\{(.*?)\}", completion)
    if "<think>" in completion or "</think>" in completion:
        return
    grade = boxed_exact.grade(completion, truth)
    assert grade.extracted == (found[1] if found else None)
    assert grade.correct is (found is not None and found[1] == truth)
    for same in (found[1] if found else "",):  # the ground truth that it wants
        assert boxed_exact(["?"], [completion], ground_truth=[same]) == [float(found is not None)]


DRESSINGS = ["{}", "${}$", "$${}$$", r"\({}\)", "**{}**", "{}.", "{} dollars", "\n{}\n", r"\boxed{{{}}}", "`{}`"]


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.lists(st.sampled_from(DRESSINGS), max_size=2))
def test_dressing_changes_no_number(value: int, truth: int, layers: list[str]) -> None:
    content = str(value)
    for layer in layers:
        content = layer.format(content)
    if answer_in_tags.grade(f"<answer>{content}</answer>", str(truth)).correct:
        assert value == truth


@settings(deadline=None)
@given(st.text(alphabet="*_`$\\boxed{}()[] .4", max_size=60))
def test_any_dressing_is_read_without_error(content: str) -> None:
    assert answer_in_tags.grade(f"<answer>{content}</answer>", "4").correct in (True, False)


@pytest.mark.parametrize("opened", ["<think>", "<think>\n", "<think>\n\n"])
def test_a_thought_that_a_prompt_in_text_opens(opened: str) -> None:
    """As a trainer gives prompts that are not chats; of chats, the harness puts it before the completion."""
    prompt = f"<|user|>6 * 7?<|assistant|>{opened}"
    assert format_tags([prompt] * 2, ["6 * 7</think><answer>42</answer>", "<answer>42</answer>"]) == [1.0, 0.0]
    assert boxed_numeric([prompt] * 2, [r"\boxed{42}", r"so</think>\boxed{42}"], ground_truth=["42"] * 2) == [0.0, 1.0]
    assert boxed_numeric(["Say <think>!"], [r"\boxed{42}"], ground_truth=["42"]) == [1.0]


def test_a_grader_of_ones_own_reads_behind_it_too() -> None:
    def last_word(completion: str, ground_truth: str) -> Grade:
        words = completion.split()
        return Grade(words[-1] if words else None, bool(words) and words[-1] == ground_truth)

    reward = reward_function(last_word)
    texts = ["<think>42</think> so 42", "<think>so 42", "so 42", "<think>x</think>"]
    assert reward(["?"] * 4, texts, ground_truth=["42"] * 4) == [1.0, 0.0, 1.0, 0.0]
    assert [reward.grade(text, "42").extracted for text in texts] == ["42", None, "42", None]


def test_strict_and_flexible_are_those_of_the_form() -> None:
    rewards = {"answer_in_tags": 1.0}
    texts = ["<answer>42</answer>", "<answer>42.0</answer>", r"\boxed{42}"]
    scored = score_all(["?"] * 3, texts, {"ground_truth": ["42"] * 3}, rewards)
    strict, flexible = ([each.grades[name].status for each in scored] for name in ("tags_exact", "answer_in_tags"))
    assert strict == ["correct", "wrong", "no_answer"]
    assert flexible == ["correct", "correct", "no_answer"]
    assert set(scored[0].grades) == {"tags_exact", "answer_in_tags"}
