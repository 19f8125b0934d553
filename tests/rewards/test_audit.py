"""The audit: every shipped reward keeps its promise, and one that does not is named."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from harness.cli import main
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe import TaskSection, load_recipe
from harness.recipe.catalog import find_recipe
from harness.rewards import SHIPPED, RewardCalls, Rewards, boxed_numeric, completion_text, parse_number, score_all
from harness.rewards.audit import CASES, OWN, PROMISES, audit_reward, audit_rewards, check_golds, disagreements
from harness.rewards.grader import Grade, reward_function
from harness.store.audit import AUDIT, FAMILIES
from harness.tasks import Question, load_questions
from harness.tasks.forms import FORMS

OWN_CASES = [name for name, (promise, _) in PROMISES.items() if promise in OWN]
PENALTY = Rewards({"length_penalty": 1.0}, {"length_penalty": {"max_tokens": 400, "soft_tokens": 100}})


@cache
def audited(name):
    """Of a shipped reward, once for all tests."""
    if name == "json_schema":
        pytest.importorskip("jsonschema")
    return audit_reward(name, PENALTY if name == "length_penalty" else None)


@pytest.fixture(autouse=True)
def _once(monkeypatch):
    def audit(name, rewards=None, row=None):
        return audited(name) if name in SHIPPED else audit_reward(name, rewards, row or {})

    monkeypatch.setattr(sys.modules["harness.rewards.audit"], "audit_reward", audit)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rewards_keep_their_promise(name):
    audit = audited(name)
    assert audit.findings == ()
    assert audit.deterministic
    assert audit.seconds_per_completion < 1.0


@pytest.mark.parametrize("name", OWN_CASES)
def test_those_with_cases_of_their_own_have_enough_and_are_quick(name):
    audit = audited(name)
    counts = {family: sum(each.family == family for each in audit.cases) for family in FAMILIES}
    assert sum(counts.values()) >= 60
    assert min(counts[family] for family in ("gold", "near miss", "invariance", "hack")) >= 8
    assert {each.expected for each in audit.cases} == {"paid", "refused"}
    assert audit.seconds_per_completion < 0.001


def test_the_total_of_a_recipe_is_of_the_cases_of_what_decides(monkeypatch):
    monkeypatch.undo()  # format_boxed is tried on the cases of choice too
    audit = audit_rewards({"format_boxed": 0.25, "choice": 1.0})
    totals = {(each.family, each.name): each.total for each in audit.totals}
    assert set(totals) == {(case.family, case.name) for case in CASES if "choice" in case.own}
    assert (audit.form, audit.right, audit.findings) == ("letter", 1.25, [])
    assert totals["hack", "two boxes with two letters"] == 0.25
    assert totals["invariance", "letter in a box"] == 1.25


def test_the_tables_are_sound():
    assert set(PROMISES) == set(SHIPPED)
    names = Counter((case.family, case.name) for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []
    contents = Counter((case.family, case.truth, case.answer, case.own) for case in CASES)
    assert [content for content, count in contents.items() if count > 1] == []
    assert {case.family for case in CASES} == set(FAMILIES)
    for family, least in {"gold": 30, "near miss": 60, "invariance": 50, "hack": 60}.items():
        assert sum(case.family == family for case in CASES) >= least
    for case in CASES:
        if case.family == "near miss":
            assert case.answer.strip() != case.truth.strip()
        for form in FORMS:
            assert "[[" not in case.completion(form) or form == "plain" or "[[" in case.answer


def always(prompts, completions, **columns):
    return [1.0] * len(completions)


def lenient(prompts, completions, ground_truth, **columns):
    """A grader as many are written: the truth is somewhere in the text."""
    texts = [completion_text(completion) for completion in completions]
    return [float(truth in text) for text, truth in zip(texts, ground_truth, strict=True)]


def whole_numbers(prompts, completions, ground_truth, **columns):
    values = boxed_numeric(prompts, completions, ground_truth=ground_truth)
    return [value if truth.isdecimal() else 0.0 for value, truth in zip(values, ground_truth, strict=True)]


CALLS = itertools.count()


def drifting(prompts, completions, **columns):
    return [float(next(CALLS))] * len(completions)


@pytest.mark.parametrize(
    ("reward", "promise", "findings"),
    [
        (always, "free", ()),  # judges no answers, and is held to nothing
        (lenient, "unknown", ("pays near miss 'factorial': '42!' for '42'", "pays hack 'every number at once'")),
        (whole_numbers, "unknown", ("users_own:reward refuses gold 'negative': '-3' for '-3'",)),
        (drifting, None, ("does not give the same twice",)),
    ],
)
def test_what_is_found_out(user, reward, promise, findings):
    user.reward = reward
    audit = audit_reward("users_own:reward")
    assert promise in (audit.promise, None)
    assert audit.deterministic is (reward is not drifting)
    for finding in findings:
        assert finding in " ".join(audit.findings)
    assert bool(audit.findings) is bool(findings)
    assert reward is not lenient or audit.counts()["gold"] == (37, 37)


@pytest.mark.parametrize("form", ["box", "tags", "hashes"])
def test_the_form_that_a_reward_reads_is_found(user, form):
    before, behind = FORMS[form]

    def reads(prompts, completions, ground_truth, **columns):
        wanted = [f"{before}{truth}{behind}" for truth in ground_truth]
        return [float(want in completion_text(each)) for want, each in zip(wanted, completions, strict=True)]

    user.reads = reads
    assert audit_reward("users_own:reads").form == form


def test_the_total_prices_a_hack():
    """A format reward makes boxes worth something; a penalty of its weight does not change who is paid. Of the task's
    two questions one has an answer that no box holds."""
    questions = [Question("a", "?", "42", "test"), Question("b", "?", "4}", "test")]
    audit = audit_rewards({"boxed_numeric": 1.0, "format_boxed": 0.25}, questions)
    assert (audit.right, audit.wrong, audit.nothing) == (1.25, 0.25, 0.0)
    totals = {each.name: each.total for each in audit.totals if each.family == "hack"}
    assert totals["whatever is correct"] == 0.25
    assert totals["wrong, then right"] == 1.25
    assert totals["answer outside the form"] == 0.0
    assert "wrong, then right" in {each.name for each in audit.hacks_paid()}
    assert "whatever is correct" not in {each.name for each in audit.hacks_paid()}
    assert audit.findings == ["boxed_numeric refuses 1 gold answers of 2: b"]
    (gold,) = audit.golds
    assert (gold.questions, gold.refused, gold.numbers, gold.accepted_one_more) == (2, ("b",), 1, ())


def test_a_grader_that_fails_on_a_gold_is_a_finding(user):
    def numbers(completion, ground_truth):
        return Grade(ground_truth, float(ground_truth) == parse_number(completion))

    user.numbers = reward_function(numbers)
    audit = audit_rewards({"users_own:numbers": 1.0}, [Question("capital", "?", "Paris", "test")])
    (gold,) = audit.golds
    assert gold.refused == ("capital",)
    assert any("users_own:numbers.grade" in each and "raised ValueError" in each for each in audit.findings)


def test_strict_and_flexible_disagree_where_they_should():
    found = list(disagreements(["boxed_numeric"]))
    assert {each.family for each in found} == {"gold", "invariance", "hack"}
    for each in found:
        assert each.strict != each.flexible
        assert not (each.strict and each.family == "invariance")


def test_questions_without_a_ground_truth_have_no_gold_to_check():
    questions = [Question("none", "?", "", "test"), Question("some", "?", "42", "test")]
    (gold,) = audit_rewards({"boxed_numeric": 1.0}, questions).golds
    assert (gold.questions, gold.refused) == (1, ())
    assert audit_rewards({"boxed_numeric": 1.0}, questions[:1]).golds == ()


@pytest.mark.skipif("RL_HARNESS_GSM8K" not in os.environ, reason="RL_HARNESS_GSM8K is not set")
@pytest.mark.parametrize("name", ["boxed_numeric", "math_equivalent", "answer_in_tags", "boxed_exact"])
def test_every_gold_of_gsm8k_is_accepted(name):
    task = TaskSection(name="gsm8k", train_questions=7473, test_questions=1319)
    questions = load_questions(task, data=Path(os.environ["RL_HARNESS_GSM8K"]))
    gold = check_golds(RewardCalls({name: 1.0}), name, PROMISES[name][1], [*questions.train, *questions.test])
    assert (gold.questions, gold.refused) == (8792, ())
    assert (gold.numbers, gold.accepted_one_more) == (8792, ())


def test_a_run_keeps_its_audit(tmp_path):
    recipe = find_recipe("tiny-arithmetic").limited(8)
    run = Run(recipe, 0, Settings(runs_dir=tmp_path))
    made = run.audit()
    kept = AUDIT.read(run.directory)
    assert kept.findings == made.findings == []
    assert [row.name for row in kept.rewards] == list(recipe.rewards)
    assert kept.golds[0].questions == recipe.task.train_questions + 8


def test_the_command_says_it(user, capsys):
    user.always, user.lenient = always, lenient
    assert main(["audit", "users_own:lenient"]) == 1
    assert "FAULT  users_own:lenient pays near miss 'factorial'" in capsys.readouterr().out
    assert main(["audit", "users_own:always"]) == 0
    text = capsys.readouterr().out
    assert "held to nothing" in text
    assert "as promised" not in text
    assert main(["audit", "tiny-arithmetic"]) == 0
    text = capsys.readouterr().out
    assert "boxed_numeric accepts 720 of 720 gold answers of the task, and 0 of 720 that are one more" in text
    assert main(["audit", "tiny-arithmetic", "--limit", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


# docs/rewards.md: its tables are today's, its recipe loads, and its functions do what it says.

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "rewards.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_tables_are_todays():
    """Where this fails: python docs/make_reward_tables.py"""
    spec = importlib.util.spec_from_file_location("make_reward_tables", DOCS / "make_reward_tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    tables.audit_reward = lambda name, _: audited(name)
    assert tables.filled(PAGE) == PAGE
    assert PAGE.count("<!-- table: ") == 2


@pytest.mark.parametrize("example", blocks("toml")[1:])
def test_the_recipes_of_graders_load(tmp_path, monkeypatch, example):
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(f'[model]\nname = "tiny"\n{example}')
    if "json_schema" in example:
        pytest.importorskip("jsonschema")
    recipe = load_recipe("my.toml")
    (name,) = recipe.rewards
    assert PROMISES[name][0] in OWN
    assert len(example.splitlines()) <= 8


def test_the_examples_run(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text("\n".join(blocks("python")))
    table, *_ = blocks("toml")
    (tmp_path / "mine.toml").write_text(
        '[model]\nname = "tiny"\n[task]\nname = "arithmetic"\ntrain_questions = 64\ntest_questions = 8\n' + table
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    rewards = load_recipe(tmp_path / "mine.toml").rewards
    assert rewards.limit("my_rewards:judged") == 5
    assert rewards.limit("my_rewards:short_answer") == 30
    calls = RewardCalls(rewards)
    texts = [r"\boxed{42}", "We add for a long time and get 42", "41"]
    columns = {"ground_truth": ["42"] * 3, "completion_tokens": [10, 350, 500]}
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    first, second, third = score_all(["?"] * 3, chats, columns, rewards, calls)
    assert not calls.faults
    assert list(first.rewards.values()) == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert list(second.rewards.values()) == [0.0, 0.0, -0.5, 0.0, 1.0]
    assert list(third.rewards.values()) == [0.0, 0.0, -1.0, 1.0, 0.0]
    (scored,) = score_all(["?"], ["It is 42"], {"ground_truth": ["42"]}, {"my_rewards:last_word": 1.0})
    assert (scored.status, scored.extracted, scored.reward) == ("correct", "42", 1.0)
    sys.modules.pop("my_rewards", None)
