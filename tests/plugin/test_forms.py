"""Recipes whose answers stand in tags, or in a form of the user's own: what is rewarded is asked, shown and tested."""

from __future__ import annotations

import json

import pytest

from tests.inner_pytest import REPOSITORY
from tests.small_recipes import small_recipe

OWN = """
import re
from harness.rewards import Grade, reward_function

def last(text):
    return (re.findall("#### *(.*)", text) or [None])[-1]

def says(completion, ground_truth):
    return Grade(last(completion), last(completion) == ground_truth)

declared = reward_function(says, form="hashes")
silent = reward_function(says)

def plain(prompts, completions, ground_truth, **columns):
    texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
    return [float(last(text) == truth) for text, truth in zip(texts, ground_truth)]
"""
REWARDS = {
    "tags": "answer_in_tags = 1.0",
    "thought": "answer_in_tags = 1.0\nformat_tags = 0.2",
    "declared": '"own:declared" = 1.0',
    "silent": '"own:silent" = 1.0',
    "plain": '"own:plain" = 1.0',
}
# What the system prompt asks for, and how a worked example ends, by recipe: where nothing is claimed, as in the task.
SHOWN = {
    "tags": ("in <answer></answer>", "<answer>%s</answer>"),
    "thought": ("in <think></think>", "</think>\n<answer>%s</answer>"),
    "declared": ("behind ####", "\n#### %s"),
    "silent": ("in \\boxed{}", "\\boxed{%s}"),
    "plain": ("in \\boxed{}", "\\boxed{%s}"),
}
LOOKS = f"""
SHOWN = {SHOWN!r}

def test_asked_shown_and_taught(recipe, questions):
    asked, ends = SHOWN[recipe.name]
    for question in (*questions.train, *questions.test):
        system, *turns = [turn["content"] for turn in question.prompt]
        assert asked in system
        assert len(turns) == 5
        assert question.solution.endswith(ends % question.ground_truth)
        before, behind = ends.split("%s")
        for worked in turns[1:-1:2]:
            assert worked.endswith(behind) and worked.removesuffix(behind).rpartition(before)[2].isdecimal()
"""


@pytest.fixture
def project(project):
    project.write(own=OWN, test_looks=LOOKS, test_rewards=(REPOSITORY / "suites" / "test_rewards.py").read_text())
    (project.path / "suites/recipes/small.toml").unlink()
    for name, rewards in REWARDS.items():
        recipe = small_recipe().replace("[train]", f"few_shot = 2\n\n[rewards]\n{rewards}\n\n[train]", 1)
        project.write(**{f"suites/recipes/{name}.toml": recipe})
    return project


def test_the_suite_of_rewards_asks_in_the_form_that_they_read(project):
    result = project.pytest("test_rewards.py", "test_looks.py")
    # One that is a plain function has no grades, so its gold answers are not asked one by one.
    result.assert_outcomes(passed=6 * len(REWARDS) - 1, skipped=1)


def test_tags_are_graded_strictly_and_flexibly(project):
    """Of answers in tags, by a model that boxes: its own are no answers, those of a worked example are."""
    project.write(
        test_grades="""
from harness.rewards.grading import grade, summarise
from harness.store.records import Generation

def test_grades(recipe, questions):
    first, second, *others = questions.test
    answers = [first.solution, second.solution.replace("<answer>", "<answer>+"), "no"]
    made = [Generation(q.id, 0, 0, q.prompt, text, "stop", 1, 1) for q, text in zip(questions.test, answers)]
    records = grade(made, {q.id: q for q in questions.test}, recipe.rewards)
    assert [each.status for each in records] == ["correct", "correct", "no_answer"]
    summary = summarise(records, [each.question_id for each in records], 1)
    assert (summary.strict_accuracy, summary.flexible_accuracy) == (1 / 3, 2 / 3)
"""
    )
    project.pytest("test_grades.py", "--rl-recipe=tags", "--rl-recipe=thought").assert_outcomes(passed=2)


def test_solutions_are_taught_in_tags(project):
    recipe = small_recipe("sft").replace("samples_per_question = 4", 'source = "solutions"')
    recipe = recipe.replace("[train]", "[rewards]\nanswer_in_tags = 1.0\n\n[train]", 1)
    project.write(
        **{
            "suites/recipes/tags.toml": recipe,
            "test_trains": "def test_trains(trained):\n    assert trained.metrics\n",
        }
    )
    project.pytest("test_trains.py", "--rl-recipe=tags").assert_outcomes(passed=1)
    (data,) = project.path.glob("rl-runs/tags-*/train/data.jsonl")
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    assert len(rows) == 24
    for row in rows:
        assert "<answer></answer>" in row["prompt"][0]["content"]
        assert row["completion"][0]["content"].endswith("</answer>")
        assert "boxed" not in row["completion"][0]["content"]
