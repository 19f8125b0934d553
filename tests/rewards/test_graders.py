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
    repetition_penalty,
    resolve_reward,
    reward_function,
    score_all,
)
from harness.rewards.parse import normalize

# One answer a line, by kind: {"kind", "graders", "completion", "ground_truth", "reward"}. What they extract from it is
# written down in tests/golden.
KINDS = defaultdict(list)
for line in Path(__file__).with_name("cases.jsonl").read_text(encoding="utf-8").splitlines():
    KINDS[json.loads(line)["kind"]].append(json.loads(line))


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind):
    wrong = []
    for row in KINDS[kind]:
        for name in row["graders"]:
            (reward,) = resolve_reward(name)(["?"], [row["completion"]], ground_truth=[row["ground_truth"]])
            if reward != row["reward"]:
                wrong.append((name, row["completion"], row["ground_truth"], reward))
    assert wrong == []


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
def test_normalized_text(one, other, same):
    assert (normalize(one) == normalize(other)) is same


SLOW = ["_a " * 3_300, "*a " * 3_300, "$" + "a " * 4_900, "{" * 9_000, "\\[" * 5_000, "a." * 5_000]


@pytest.mark.parametrize("answer", [*SLOW, r"\boxed{1} " * 10_000])
def test_answers_made_to_be_slow(answer):
    start = time.process_time()
    for function in (answer_in_tags, boxed_numeric, math_equivalent):
        assert not function.grade(f"<answer>{answer}</answer> \\boxed{{{answer}}}", "42").correct
    assert time.process_time() - start < 2.0


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30), st.text(alphabet="abc .$", max_size=30))
def test_numbers_are_the_same_only_if_equal(answer, truth, words):
    for function in (boxed_exact, boxed_numeric, math_equivalent):
        for right in (truth, answer):
            assert function.grade(f"{words}\\boxed{{{answer}}}{words}", str(right)).correct is (answer == right)


@settings(deadline=None)
@given(
    st.text(max_size=100) | st.text(alphabet="*_`$</answer> 1.4think\\boxed{}()[]", max_size=200), st.text(max_size=20)
)
def test_no_text_makes_a_function_raise(text, truth):
    for function in (boxed_exact, boxed_numeric, answer_in_tags):
        for completion in (text, f"\\boxed{{{text}}}", f"<answer>{text}</answer>"):
            assert function.grade(completion, truth).correct in (True, False)
    assert format_tags(["?"], [text]) in ([0.0], [1.0])
    (penalty,) = repetition_penalty(["?"], [text])
    assert penalty is not None
    assert -1.0 < penalty <= 0.0


# Pieces of boxes, braces and ends of lines of every kind, so that few texts are without one.
PIECES = st.sampled_from(
    [r"\boxed{", r"\boxed", "boxed{", "{", "}", "\\", " ", "\n", "\r", "\u2028", "1", "18", "-", ".", r"\frac", "<",
     "$"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join)


@settings(deadline=None, max_examples=500)
@given(TEXTS, TEXTS | st.sampled_from(["", " ", "1", "18"]))
def test_boxed_exact_is_the_courses_function(completion, truth):
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
def test_dressing_changes_no_number(value, truth, layers):
    content = str(value)
    for layer in layers:
        content = layer.format(content)
    if answer_in_tags.grade(f"<answer>{content}</answer>", str(truth)).correct:
        assert value == truth


@pytest.mark.parametrize("opened", ["<think>", "<think>\n", "<think>\n\n"])
def test_a_thought_that_a_prompt_in_text_opens(opened):
    """As a trainer gives prompts that are not chats; of chats, the harness puts it before the completion."""
    prompt = f"<|user|>6 * 7?<|assistant|>{opened}"
    assert format_tags([prompt] * 2, ["6 * 7</think><answer>42</answer>", "<answer>42</answer>"]) == [1.0, 0.0]
    assert boxed_numeric([prompt] * 2, [r"\boxed{42}", r"so</think>\boxed{42}"], ground_truth=["42"] * 2) == [0.0, 1.0]
    assert boxed_numeric(["Say <think>!"], [r"\boxed{42}"], ground_truth=["42"]) == [1.0]


def test_a_grader_of_ones_own_reads_behind_it_too():
    def last_word(completion, ground_truth):
        words = completion.split()
        return Grade(words[-1] if words else None, bool(words) and words[-1] == ground_truth)

    reward = reward_function(last_word)
    texts = ["<think>42</think> so 42", "<think>so 42", "so 42", "<think>x</think>"]
    assert reward(["?"] * 4, texts, ground_truth=["42"] * 4) == [1.0, 0.0, 1.0, 0.0]
    assert [reward.grade(text, "42").extracted for text in texts] == ["42", None, "42", None]
    assert (reward.__name__, reward_function(last_word, name="other").__name__) == ("last_word", "other")


def test_strict_and_flexible_are_those_of_the_form():
    rewards = {"answer_in_tags": 1.0}
    texts = ["<answer>42</answer>", "<answer>42.0</answer>", r"\boxed{42}"]
    texts.append("<think><answer>42</answer></think><answer>41</answer>")
    scored = score_all(["?"] * 4, texts, {"ground_truth": ["42"] * 4}, rewards)
    strict, flexible = ([each.grades[name].status for each in scored] for name in ("tags_exact", "answer_in_tags"))
    assert strict == ["correct", "wrong", "no_answer", "wrong"]
    assert flexible == ["correct", "correct", "no_answer", "wrong"]
    assert set(scored[0].grades) == {"tags_exact", "answer_in_tags"}
