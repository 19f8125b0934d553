"""The form of answers: who says it, and worked solutions and prompts in it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.recipe import TaskSection
from harness.rewards import Grade, answer_form, format_tags, resolve_reward, reward_function, score_all
from harness.rewards.audit import answer_in, audit_rewards
from harness.store.errors import RewardError
from harness.tasks import load_questions
from harness.tasks.forms import FORMS, in_form

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
]


@pytest.mark.parametrize(("names", "form"), SHIPPED_FORMS)
def test_the_form_of_shipped_rewards(names: list[str], form: str | None) -> None:
    assert answer_form(names) == form


def says(completion: str, ground_truth: str) -> Grade:
    _, mark, said = completion.rpartition("####")
    return Grade(said.strip() or None, bool(mark) and said.strip() == ground_truth)


def test_a_grader_of_ones_own_may_say_its_form(user: ModuleType) -> None:
    user.says, user.silent = reward_function(says, form="hashes"), reward_function(says)  # type: ignore[attr-defined]
    assert answer_form(["users_own:says", "boxed_numeric"]) == "hashes"
    assert answer_form(["users_own:silent", "boxed_numeric"]) is None
    assert answer_form(["boxed_numeric", "users_own:silent"]) == "box"
    for name in ("users_own:says", "users_own:silent"):  # tried, where it does not say
        audit = audit_rewards({name: 1.0})
        assert (audit.form, audit.right, audit.wrong) == ("hashes", 1.0, 0.0)
        assert audit.disagreements == ()
        (scored,) = score_all(["?"], ["#### 42"], {"ground_truth": ["42"]}, {name: 1.0})
        assert (scored.status, dict(scored.grades)) == ("correct", {})


def test_a_plain_function_may_say_its_form(user: ModuleType) -> None:
    def reads(prompts, completions, ground_truth, **columns):  # type: ignore[no-untyped-def]
        return [float(f"<answer>{truth}</answer>" in each) for each, truth in zip(completions, ground_truth)]  # noqa: B905

    user.reads = reads  # type: ignore[attr-defined]
    assert answer_form(["users_own:reads"]) is None
    reads.form = "tags"  # type: ignore[attr-defined]
    assert answer_form(["users_own:reads"]) == "tags"
    reads.form = "tag"  # type: ignore[attr-defined]
    with pytest.raises(RewardError, match="users_own:reads: there is no form 'tag'; did you mean 'tags'"):
        answer_form(["users_own:reads"])


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(RewardError, match="reward function says: there is no form 'boxes'; did you mean 'box'"):
        reward_function(says, form="boxes")
    with pytest.raises(RewardError, match="there is no form 'xml'; write one of box, tags, thought, hashes, plain"):
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
]


@pytest.mark.parametrize(("solution", "form", "written"), SOLUTIONS)
def test_solutions_in_a_form(solution: str, form: str, written: str) -> None:
    assert in_form(solution, "42", form) == written


@settings(deadline=None)
@given(st.text(alphabet="ab 4\n.#$", max_size=30), st.integers(0, 99), st.sampled_from(sorted(FORMS)))
def test_what_is_shown_is_what_is_paid(steps: str, answer: int, before: str) -> None:
    """Whatever form a solution comes in, it is right in the form that it is given in, and stays as it then is."""
    solution = f"{steps.replace('####', '')} {answer_in(before, str(answer)).removeprefix('<think>We add.</think>')}"
    for form, name in {"box": "boxed_exact", "tags": "answer_in_tags", "thought": "answer_in_tags"}.items():
        written = in_form(solution, str(answer), form)
        assert resolve_reward(name).grade(written, str(answer)).correct  # type: ignore[attr-defined]
        assert in_form(written, str(answer), form) == written
        assert form != "thought" or "<think>\n\n" in written or format_tags(["?"], [written]) == [1.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        rows = [{"question": f"{split} {n}?", "answer": str(n), "solution": f"It is {n}."} for n in range(6)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("form", [*FORMS, None])
@pytest.mark.parametrize("name", ["arithmetic", "folder"])
def test_a_task_asks_shows_and_teaches_one_form(folder: Path, name: str, form: str | None) -> None:
    source = "arithmetic" if name == "arithmetic" else str(folder)
    task = TaskSection(name=source, train_questions=4, test_questions=4, few_shot=2)
    loaded, plain = load_questions(task, form=form), load_questions(task)
    asks = {"box": r"\boxed{}", "tags": "<answer></answer>", "thought": "in <think></think>", "hashes": "####"}
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
