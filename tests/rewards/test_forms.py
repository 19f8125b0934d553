"""The form of answers: finding boxes, tags and thoughts, who says which form, worked solutions and prompts in it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.recipe import TaskSection
from harness.rewards import Grade, answer_form, format_tags, resolve_reward, reward_function, score_all
from harness.rewards.audit import answer_in, audit_rewards
from harness.store.errors import RewardError
from harness.tasks import load_questions
from harness.tasks.forms import (
    FORMS,
    behind_thought,
    closing_boxes,
    in_form,
    last_boxed,
    last_tagged,
    opened_by,
)

BOXES = [
    # text, last box
    ("", None),
    ("no box: 18", None),
    (r"\boxed{18}", "18"),
    (r"so \boxed{ 18 }.", " 18 "),
    (r"\boxed {18}", "18"),
    ("\\boxed\n{18}", "18"),
    (r"\boxed{1} then \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\boxed{5}}", "5"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{5 \} 6}", r"5 \} 6"),
    (r"\boxed{a \\}", r"a \\"),
    (r"\\boxed{18}", "18"),
    (r"\boxed{}", None),
    (r"\boxed{ }", None),
    (r"\boxed{} and \boxed{5} and \boxed{}", "5"),
    (r"\boxed{5", None),
    (r"\boxed{3} then \boxed{5", "3"),
    (r"\boxed{ \boxed{5}", "5"),
    (r"\boxed{\frac{1}{2}", None),
    (r"} \boxed{5} {", "5"),
    (r"\boxed 5", None),
    (r"\boxedword{5}", None),
    (r"\fbox{5}", None),
    (r"boxed{5}", None),
    (r"\{\boxed{5}\}", "5"),
]


@pytest.mark.parametrize(("text", "last"), BOXES)
def test_boxes(text, last):
    assert last_boxed(text) == last


HOSTILE = {
    "nested braces": r"\boxed{" + "{" * 10_000 + "7" + "}" * 10_000 + "}",
    "unclosed nested braces": r"\boxed{" + "{" * 10_000,
    "nested boxes": r"\boxed{" * 100_000 + "7" + "}" * 100_000,
    "openings only": r"\boxed{" * 100_000,
    "empty boxes": r"\boxed{ }" * 100_000,
    "megabyte inside": r"\boxed{" + "7" * 1_000_000 + "}",
    "megabyte of backslashes": "\\" * 1_000_000,
    "blanks after each box": (r"\boxed" + " " * 1_000) * 1_000,
    "one long blank": r"\boxed" + " " * 1_000_000,
    "closing braces": "}" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_takes_linear_time(name):
    start = time.process_time()
    last_boxed(HOSTILE[name])
    assert time.process_time() - start < 2.0


def test_nested_boxes_end_in_the_innermost():
    assert last_boxed(HOSTILE["nested boxes"]) == "7"


PLAIN = st.text(st.characters(exclude_characters="\\{}"), max_size=40)
# Text with balanced braces: concatenations of plain text and {balanced}.
BALANCED = st.recursive(PLAIN, lambda inner: st.tuples(PLAIN, inner, PLAIN).map(lambda t: f"{t[0]}{{{t[1]}}}{t[2]}"))


@settings(deadline=None)
@given(before=PLAIN, content=BALANCED, after=PLAIN)
def test_what_is_boxed_comes_back(before, content, after):
    expected = content if content.strip() else None
    text = f"{before}\\boxed{{{content}}}{after}"
    assert last_boxed(text) == expected


@settings(deadline=None)
@given(st.text(max_size=100))
def test_a_cut_off_box_is_no_answer(text):
    assert last_boxed("\\boxed{" + text.replace("}", "").replace("boxed", "")) is None


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("", []),
        (r"\boxed{1}", ["1"]),
        (r"\boxed{1} and \boxed{2}, \boxed{3}.", ["1", "2", "3"]),
        (r"\boxed{0}. So $x = \boxed{1}$ or $x_2=\boxed{2}$", ["1", "2"]),
        (r"\(\boxed{1}\) \text{ and } \(\boxed{2}\)", ["1", "2"]),
        (r"\boxed{1} no \boxed{2}", ["2"]),
        (r"\boxed{1}-\boxed{2}", ["2"]),
        (r"\boxed{\boxed{5}}", ["5"]),
        (r"\boxed{1}, \boxed{2} \boxed{}", ["1", "2"]),
    ],
)
def test_boxes_that_follow_one_another(text, boxes):
    assert closing_boxes(text) == boxes


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
def test_tags(text, content):
    assert last_tagged(text, "answer") == content


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
def test_what_a_prompt_opens(prompt, opened):
    assert opened_by(prompt) == opened


@settings(deadline=None)
@given(st.text(alphabet="<think>/ a\n", max_size=60), st.text(alphabet="<think>/ a\n", max_size=60))
def test_what_stands_behind_the_last_end_counts(thought, said):
    found = behind_thought(f"{thought}</think>{said}")
    assert found == behind_thought(said)
    assert "</think>" not in found
    assert "<think>" not in found
    assert behind_thought(f"{said.replace('<', '')}<think>{thought.replace('</think>', '')}") == said.replace("<", "")


SHIPPED_FORMS = [
    (["boxed_numeric"], "box"),
    (["boxed_exact", "answer_in_tags"], "box"),
    (["math_equivalent"], "box"),
    (["answer_in_tags"], "tags"),
    (["length_penalty", "answer_in_tags", "boxed_numeric"], "tags"),
    (["answer_in_tags", "format_tags"], "thought"),
    (["format_tags", "answer_in_tags"], "thought"),
    (["boxed_numeric", "format_tags"], "box"),
    (["format_boxed"], "box"),
    (["repetition_penalty"], None),
    (["choice", "format_boxed"], "letter"),
    (["f1", "exact"], "line"),
    (["json_schema"], "json"),
]


@pytest.mark.parametrize(("names", "form"), SHIPPED_FORMS)
def test_the_form_of_shipped_rewards(names, form):
    assert answer_form(names) == form


def says(completion, ground_truth):
    _, mark, said = completion.rpartition("####")
    return Grade(said.strip() or None, bool(mark) and said.strip() == ground_truth)


def test_a_grader_of_ones_own_may_say_its_form(user):
    user.says, user.silent = reward_function(says, form="hashes"), reward_function(says)
    assert answer_form(["users_own:says", "boxed_numeric"]) == "hashes"
    assert answer_form(["users_own:silent", "boxed_numeric"]) is None
    assert answer_form(["boxed_numeric", "users_own:silent"]) == "box"
    for name in ("users_own:says", "users_own:silent"):  # tried, where it does not say
        audit = audit_rewards({name: 1.0})
        assert (audit.form, audit.right, audit.wrong) == ("hashes", 1.0, 0.0)
        assert audit.disagreements == ()
        (scored,) = score_all(["?"], ["#### 42"], {"ground_truth": ["42"]}, {name: 1.0})
        assert (scored.status, dict(scored.grades)) == ("correct", {})


def test_a_plain_function_may_say_its_form(user):
    def reads(prompts, completions, ground_truth, **columns):
        return [float(f"<answer>{truth}</answer>" in each) for each, truth in zip(completions, ground_truth)]  # noqa: B905

    user.reads = reads
    assert answer_form(["users_own:reads"]) is None
    reads.form = "tags"
    assert answer_form(["users_own:reads"]) == "tags"
    reads.form = "tag"
    with pytest.raises(RewardError, match="users_own:reads: there is no form 'tag'; did you mean 'tags'"):
        answer_form(["users_own:reads"])


def test_an_unknown_form_is_named():
    with pytest.raises(RewardError, match="reward function says: there is no form 'boxes'; did you mean 'box'"):
        reward_function(says, form="boxes")
    with pytest.raises(
        RewardError, match="there is no form 'xml'; write one of box, tags, thought, hashes, plain, line, letter, json"
    ):
        reward_function(says, form="xml")


SOLUTIONS = [
    # solution, form, in that form; the ground truth is 42
    (r"6 * 7 = 42, so it is \boxed{42}.", "box", r"6 * 7 = 42, so it is \boxed{42}."),
    (r"6 * 7 = 42, so it is \boxed{42}.", "tags", "6 * 7 = 42, so it is <answer>42</answer>."),
    (r"6 * 7 = 42, so it is \boxed{42}.", "hashes", "6 * 7 = 42, so it is 42.\n#### 42"),
    (r"6 * 7 = 42, so it is \boxed{42}.", "plain", "6 * 7 = 42, so it is 42."),
    (r"So \boxed{42}.", "thought", "<think>\nSo 42.\n</think>\n<answer>42</answer>"),
    (r"\boxed{6}, then \boxed{42}", "tags", r"\boxed{6}, then <answer>42</answer>"),
    (r"It is $\boxed{\frac{84}{2}}$.", "tags", r"It is $<answer>\frac{84}{2}</answer>$."),
    ("Six sevens.\n#### 42", "box", "Six sevens.\nThe answer is \\boxed{42}."),
    ("Six sevens.\n#### 42", "tags", "Six sevens.\nThe answer is <answer>42</answer>."),
    ("Six sevens.\n#### 42", "hashes", "Six sevens.\n#### 42"),
    ("Six sevens.", "box", "Six sevens.\nThe answer is \\boxed{42}."),
    ("Six sevens.", "tags", "Six sevens.\nThe answer is <answer>42</answer>."),
    ("Six sevens.", "hashes", "Six sevens.\n#### 42"),
    ("Six sevens.", "plain", "Six sevens.\nThe answer is 42"),
    ("Six sevens.", "thought", "<think>\nSix sevens.\n</think>\n<answer>42</answer>"),
    ("<answer>42</answer>", "tags", "<answer>42</answer>"),
    ("So <answer> 42 </answer>", "box", r"So \boxed{42}"),
    ("<think>6 * 7</think>\n<answer>42</answer>", "thought", "<think>6 * 7</think>\n<answer>42</answer>"),
    (r"<think>\boxed{42}</think> So.", "box", "<think>\\boxed{42}</think> So.\nThe answer is \\boxed{42}."),
    (r"<think>6 * 7</think> So \boxed{42}", "thought", "<think>\n6 * 7 So 42\n</think>\n<answer>42</answer>"),
    (r"Cut \boxed{4", "box", "Cut \\boxed{4\nThe answer is \\boxed{42}."),
    ("Six sevens.", "line", "Six sevens.\nAnswer: 42"),
    ("", "letter", "Answer: 42"),
    ("Six sevens.", "json", "Six sevens."),
    (r"So \boxed{42}.", "line", "So 42.\nAnswer: 42"),
    ("Six sevens.\n#### 42", "letter", "Six sevens.\nAnswer: 42"),
    ("Six sevens.\nAnswer: 42", "line", "Six sevens.\nAnswer: 42"),
    ("Six sevens.\nAnswer: 42", "hashes", "Six sevens.\n#### 42"),
    ("Six sevens.\nAnswer: 42", "tags", "Six sevens.\nThe answer is <answer>42</answer>."),
]


@pytest.mark.parametrize(("solution", "form", "written"), SOLUTIONS)
def test_solutions_in_a_form(solution, form, written):
    assert in_form(solution, "42", form) == written


@settings(deadline=None)
@given(st.text(alphabet="ab 4\n.#$", max_size=30), st.integers(0, 99), st.sampled_from(sorted(FORMS)))
def test_what_is_shown_is_what_is_paid(steps, answer, before):
    """Whatever form a solution comes in, it is right in the form that it is given in, and stays as it then is."""
    solution = f"{steps.replace('####', '')} {answer_in(before, str(answer)).removeprefix('<think>We add.</think>')}"
    for form, name in {"box": "boxed_exact", "tags": "answer_in_tags", "thought": "answer_in_tags"}.items():
        written = in_form(solution, str(answer), form)
        assert resolve_reward(name).grade(written, str(answer)).correct
        assert in_form(written, str(answer), form) == written
        assert form != "thought" or "<think>\n\n" in written or format_tags(["?"], [written]) == [1.0]


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        rows = [{"question": f"{split} {n}?", "answer": str(n), "solution": f"It is {n}."} for n in range(6)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("form", [*FORMS, None])
@pytest.mark.parametrize("name", ["arithmetic", "folder"])
def test_a_task_asks_shows_and_teaches_one_form(folder, name, form):
    source = "arithmetic" if name == "arithmetic" else str(folder)
    task = TaskSection(name=source, train_questions=4, test_questions=4, few_shot=2)
    loaded, plain = load_questions(task, form=form), load_questions(task)
    asks = {
        "box": r"\boxed{}",
        "tags": "<answer></answer>",
        "thought": "in <think></think>",
        "hashes": "####",
        "json": "```json",
    }
    asks |= dict.fromkeys(("line", "letter"), '"Answer: "')
    for question, same in zip((*loaded.train, *loaded.test), (*plain.train, *plain.test), strict=True):
        assert asks.get(form or "box", "final answer") in question.prompt[0]["content"]
        shown = [turn["content"] for turn in question.prompt if turn["role"] == "assistant"]
        assert len(shown) == 2
        for text in (*shown, question.solution or ""):
            if form is not None:
                assert in_form(text, "-1", form) == text or form == "plain"
        if form is None:  # nothing is claimed
            assert question == same
        if form == "box" and name == "arithmetic":
            assert question == same
    own = task.model_copy(update={"system_prompt": ""})
    assert load_questions(own, form=form).test[0].prompt[0]["role"] == "user"
