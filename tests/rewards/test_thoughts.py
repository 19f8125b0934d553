"""Answers behind thoughts, and answers that are dressed in their tags: tables, and what any text must give."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import (
    SHIPPED,
    Grade,
    answer_in_tags,
    behind_thought,
    boxed_exact,
    boxed_numeric,
    format_boxed,
    format_tags,
    math_equivalent,
    resolve_reward,
    reward_function,
    score_all,
)
from harness.rewards.answer_in_tags import tags_exact
from harness.tasks.thought import opened_by

GRADERS = [resolve_reward(name) for name in SHIPPED if hasattr(resolve_reward(name), "grade")] + [tags_exact]

# completion with [[..]] for an answer in the form that a grader reads, and whether it says 42
THOUGHTS = [
    ("<think>6 * 7</think>[[42]]", True),
    ("<think>\n6 * 7\n</think>\n\nThe answer is [[42]].", True),
    ("<think>[[41]]? No, [[40]].</think> [[42]]", True),
    ("maybe [[41]]\n</think>\nThe answer is [[42]]", True),
    ("</think>[[42]]", True),
    ("<think></think>[[42]]", True),
    ("<think>a</think> [[41]] <think>b</think> [[42]]", True),
    ("<think>a <think>b</think> c</think> [[42]]", True),
    ("<think>a</think></think> [[42]]", True),
    ("<think>6 * 7</think> [[42]] <think>Let me see", True),
    ("<think>[[42]] wait", False),
    ("<think>[[42]]", False),
    ("<think>it is [[42]] but\n\n", False),
    ("<think>maybe [[42]]</think> The answer is forty-one.", False),
    ("<think>[[42]]</think>", False),
    ("<think>[[42]]</think>[[41]]", False),
    ("maybe [[42]]\n</think>\nThe answer is [[41]]", False),
    ("[[42]]</think>", False),
    ("<think>a</think><think>[[42]]", False),
    ("<think>a</think>[[41]]<think>[[42]]", False),
    ("[[42]] <think>a</think>", False),
]


@pytest.mark.parametrize(("template", "right"), THOUGHTS)
@pytest.mark.parametrize("function", GRADERS, ids=lambda function: function.__name__)
def test_every_grader_reads_behind_the_thought(function, template: str, right: bool) -> None:
    before, behind = ("<answer>", "</answer>") if function.form == "tags" else (r"\boxed{", "}")
    completion = template.replace("[[", before).replace("]]", behind)
    assert function.grade(completion, "42").correct is right
    assert function(["?"], [completion], ground_truth=["42"]) == [float(right)]
    chat = [{"role": "assistant", "content": completion}]
    assert function([[{"role": "user", "content": "?"}]], [chat], ground_truth=["42"]) == [float(right)]


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        (r"<think>a</think>\boxed{7}", 1.0),
        (r"\boxed{6}</think>\boxed{7}", 1.0),
        (r"<think>\boxed{7}</think>7", 0.0),
        (r"<think>\boxed{7}", 0.0),
    ],
)
def test_a_box_in_the_thought_is_not_the_form(completion: str, value: float) -> None:
    assert format_boxed(["?"], [completion]) == [value]


@pytest.mark.parametrize("opened", ["<think>", "<think>\n", "<think>\n\n"])
def test_a_thought_that_a_prompt_in_text_opens(opened: str) -> None:
    """As a trainer gives prompts that are not chats; of chats, the harness puts it before the completion."""
    prompt = f"<|user|>6 * 7?<|assistant|>{opened}"
    assert format_tags([prompt] * 2, ["6 * 7</think><answer>42</answer>", "<answer>42</answer>"]) == [1.0, 0.0]
    assert boxed_numeric([prompt] * 2, [r"\boxed{42}", r"so</think>\boxed{42}"], ground_truth=["42"] * 2) == [0.0, 1.0]
    assert boxed_numeric(["Say <think>!"], [r"\boxed{42}"], ground_truth=["42"]) == [1.0]


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("", ""),
        ("<think>", "<think>"),
        ("a<think>\n", "<think>\n"),
        ("<think>\n\n</think>\n\n", ""),
        ("<think> a", ""),
        ("</think>", ""),
        ("think>", ""),
    ],
)
def test_what_a_prompt_opens(prompt: str, opened: str) -> None:
    assert opened_by(prompt) == opened


def test_a_grader_of_ones_own_reads_behind_it_too() -> None:
    def last_word(completion: str, ground_truth: str) -> Grade:
        words = completion.split()
        return Grade(words[-1] if words else None, bool(words) and words[-1] == ground_truth)

    reward = reward_function(last_word)
    texts = ["<think>42</think> so 42", "<think>so 42", "so 42", "<think>x</think>"]
    assert reward(["?"] * 4, texts, ground_truth=["42"] * 4) == [1.0, 0.0, 1.0, 0.0]
    assert [reward.grade(text, "42").extracted for text in texts] == ["42", None, "42", None]


@settings(deadline=None)
@given(st.text(alphabet="<think>/ a\n", max_size=60), st.text(alphabet="<think>/ a\n", max_size=60))
def test_what_stands_behind_the_last_end_counts(thought: str, said: str) -> None:
    found = behind_thought(f"{thought}</think>{said}")
    assert found == behind_thought(said)
    assert "</think>" not in found
    assert "<think>" not in found
    assert behind_thought(f"{said.replace('<', '')}<think>{thought.replace('</think>', '')}") == said.replace("<", "")


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


EXACT = [
    # completion, ground truth, extracted
    (r"\boxed{18} \boxed{19}", "18", "18"),
    (r"\boxed{ 18}", "18", " 18"),
    (r"\boxed{ 18}", " 18", " 18"),
    (r"\boxed{} \boxed{18}", "18", ""),
    (r"\boxed{}", "", ""),
    (r"\boxed{ } \boxed{18}", "18", " "),
    (r"\boxed {18}", "18", None),
    ("\\boxed{1\n8} \\boxed{18}", "18", "18"),
    ("\\boxed{\\boxed{18\n} \\boxed{18}", "18", "18"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", r"\frac{1"),
    (r"\boxed{\boxed{18}}", "18", r"\boxed{18"),
    (r"\boxed{18", "18", None),
]


@pytest.mark.parametrize(("completion", "truth", "extracted"), EXACT)
def test_first_boxes_as_courses_read_them(completion: str, truth: str, extracted: str | None) -> None:
    assert boxed_exact.grade(completion, truth) == Grade(extracted, extracted == truth)


DRESSED = [
    # what stands in the tags, ground truth, whether it is that
    (r"$\boxed{42}$", "42", True),
    (r"$$\boxed{42}$$", "42", True),
    (r"\(\boxed{42}\)", "42", True),
    (r"\[\boxed{42}\]", "42", True),
    ("\\[\n\\boxed{42}\n\\]", "42", True),
    (r"\boxed{42}.", "42", True),
    (r"$\boxed{42}$.", "42", True),
    (r"\(\boxed{42}\).", "42", True),
    (r"\boxed{42} dollars", "42", True),
    (r"$\boxed{42}$ dollars.", "42", True),
    (r"\boxed{42}\text{ dollars}", "42", True),
    (r"\boxed{42 dollars}", "42", True),
    (r"\$\boxed{42}", "42", True),
    (r"\boxed{\$42}", "42", True),
    (r"\boxed{42}\%", "42", True),
    (r"\boxed{\boxed{42}}", "42", True),
    (r"\boxed{\frac{84}{2}}", "42", True),
    (r"-\boxed{3}", "-3", True),
    ("**42**", "42", True),
    ("**42**.", "42", True),
    ("**42.**", "42", True),
    ("__42__", "42", True),
    ("*42*", "42", True),
    ("`42`", "42", True),
    ("**42** dollars", "42", True),
    (r"**\boxed{42}**", "42", True),
    (r"**$\boxed{42}$**", "42", True),
    (r"$\boxed{\text{Paris}}$", "Paris", True),
    ("**Paris**.", "Paris", True),
    ("$42$.", "42", True),
    (" \n42\n ", "42", True),
    (r"$\boxed{41}$", "42", False),
    ("**41**", "42", False),
    (r"not \boxed{42}", "42", False),
    (r"\neq \boxed{42}", "42", False),
    (r"\boxed{42} or \boxed{43}", "42", False),
    (r"\boxed{41} \boxed{42}", "42", False),
    (r"\boxed{2} \boxed{1/2}", "5/2", False),
    (r"\boxed{4}2", "42", False),
    (r"4\boxed{2}", "42", False),
    (r"\boxed{42}.5", "42", False),
    (r"\boxed{42} million", "42", False),
    (r"\boxed{42}!", "42", False),
    (r"\boxed{42}^2", "42", False),
    (r"\boxed{42}x", "42", False),
    (r"-\boxed{42}", "42", False),
    (r"\boxed{}", "42", False),
    ("**", "42", False),
    ("2**3**4", "234", False),
    ("4*2*", "42", False),
    ("**4**2", "42", False),
]


@pytest.mark.parametrize(("content", "truth", "right"), DRESSED)
def test_dressed_answers_in_tags(content: str, truth: str, right: bool) -> None:
    completion = f"<think>6 * 7</think><answer>{content}</answer>"
    assert answer_in_tags(["?"], [completion], ground_truth=[truth]) == [float(right)]


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


def test_strict_and_flexible_are_those_of_the_form() -> None:
    rewards = {"answer_in_tags": 1.0}
    texts = ["<answer>42</answer>", "<answer>42.0</answer>", r"\boxed{42}"]
    scored = score_all(["?"] * 3, texts, {"ground_truth": ["42"] * 3}, rewards)
    strict, flexible = ([each.grades[name].status for each in scored] for name in ("tags_exact", "answer_in_tags"))
    assert strict == ["correct", "wrong", "no_answer"]
    assert flexible == ["correct", "correct", "no_answer"]
    assert set(scored[0].grades) == {"tags_exact", "answer_in_tags"}


def test_symbolic_answers_behind_a_thought() -> None:
    text = r"<think>\boxed{\sqrt{3}}?</think>\boxed{\frac{\sqrt{2}}{2}}"
    assert math_equivalent(["?"] * 2, [text] * 2, ground_truth=[r"\frac{1}{\sqrt{2}}", r"\sqrt{3}"]) == [1.0, 0.0]
