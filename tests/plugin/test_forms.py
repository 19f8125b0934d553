"""Recipes whose answers stand in tags, or in a form of the user's own: what is rewarded is asked, shown and tested."""

from __future__ import annotations

import json

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
TESTS = f"""
import pytest
from harness.rewards.grading import grade, summarise
from harness.store.records import Generation

SHOWN = {SHOWN!r}

@pytest.mark.rl_recipe(*SHOWN)
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

@pytest.mark.rl_recipe("tags", "thought")
def test_grades(recipe, questions):
    # Of answers in tags, by a model that boxes: its own are no answers, those of a worked example are.
    first, second, *others = questions.test
    answers = [first.solution, second.solution.replace("<answer>", "<answer>+"), "no"]
    made = [Generation(q.id, 0, 0, q.prompt, text, "stop", 1, 1) for q, text in zip(questions.test, answers)]
    records = grade(made, {{q.id: q for q in questions.test}}, recipe.rewards)
    assert [each.status for each in records] == ["correct", "correct", "no_answer"]
    summary = summarise(records, [each.question_id for each in records], 1)
    assert (summary.strict_accuracy, summary.flexible_accuracy) == (1 / 3, 2 / 3)

@pytest.mark.rl_recipe("taught")
def test_trains(trained):
    assert trained.metrics
"""


def test_what_is_rewarded_is_asked_shown_graded_and_taught(project):
    project.write(own=OWN, test_forms=TESTS, test_rewards=(REPOSITORY / "suites" / "test_rewards.py").read_text())
    (project.path / "suites/recipes/small.toml").unlink()
    for name, rewards in REWARDS.items():
        recipe = small_recipe().replace("[train]", f"few_shot = 2\n\n[rewards]\n{rewards}\n\n[train]", 1)
        project.write(**{f"suites/recipes/{name}.toml": recipe})
    taught = small_recipe("sft").replace("samples_per_question = 4", 'source = "solutions"').replace("= 4", "= 1")
    taught = taught.replace("[train]", "[rewards]\nanswer_in_tags = 1.0\n\n[train]", 1)
    project.write(**{"suites/recipes/taught.toml": taught})
    result = project.pytest("--rl-in-process", torch=True)
    # One that is a plain function has no grades, so its gold answers are not asked one by one.
    result.assert_outcomes(passed=5 * (len(REWARDS) + 1) - 1 + len(SHOWN) + 2 + 1, skipped=1)
    (data,) = project.path.glob("rl-runs/taught/train/data.jsonl")
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    assert len(rows) == 24
    for row in rows:
        assert "<answer></answer>" in row["prompt"][0]["content"]
        assert row["completion"][0]["content"].endswith("</answer>")
        assert "boxed" not in row["completion"][0]["content"]
