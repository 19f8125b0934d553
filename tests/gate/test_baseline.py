"""Baseline files: what is written is read back, and what is wrong with one is said in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gate.baseline import (
    Baseline,
    BaselineError,
    differences,
    find_baseline,
    prompt_fingerprint,
    question_content,
    read_baseline,
    write_baseline,
)
from harness.store.question import Question

BASELINE = Baseline(
    recipe="made-up",
    seed=0,
    samples=4,
    prompt="p1",
    grader="g1",
    engine="transformers",
    decoding={"max_new_tokens": 48, "temperature": 1.0},
    versions={"torch": "2.13.0", "trl": None},
    commit="abc",
    date="2026-11-22",
    model="m1",
    correct={"task/b": 4, "task/a": 0, "task/c": 3},
    content={"task/b": "11111111", "task/a": "22222222", "task/c": "33333333"},
    recipe_toml="[train]\n",
    chat_template_kwargs={},
)


def test_a_question_without_a_grade_is_kept_without_a_count(tmp_path) -> None:
    """It was asked, so a run that asks it too differs in nothing; it makes no pair."""
    undecided = replace(BASELINE, correct={"task/b": 4, "task/c": 3})
    write_baseline(tmp_path / "made-up-0.toml", undecided)
    again = read_baseline(tmp_path / "made-up-0.toml", "made-up")
    assert (again.correct, again.content) == (undecided.correct, BASELINE.content)
    assert again.accuracy == 7 / 8
    assert differences(again, BASELINE) == []


def first(count: int) -> dict[str, str]:
    return dict(list(BASELINE.content.items())[:count])


def test_round_trip_keeps_the_order_of_questions(tmp_path):
    path = tmp_path / "made-up-0.toml"
    write_baseline(path, BASELINE)
    read = read_baseline(path, "made-up")
    assert list(read.correct.items()) == list(BASELINE.correct.items())
    assert replace(read, versions=BASELINE.versions) == BASELINE
    assert read.accuracy == pytest.approx(7 / 12)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 4), min_size=1, max_size=5))
def test_any_question_id_survives(tmp_path_factory, correct):
    path = tmp_path_factory.mktemp("baseline") / "made-up-0.toml"
    baseline = replace(BASELINE, correct=correct, content=dict.fromkeys(correct, "00000000"))
    write_baseline(path, baseline)
    assert read_baseline(path, "made-up").correct == correct


def test_one_line_a_question(tmp_path):
    path = tmp_path / "made-up-0.toml"
    write_baseline(path, BASELINE)
    before = path.read_text().splitlines()
    write_baseline(path, replace(BASELINE, correct={**BASELINE.correct, "task/a": 2}))
    changed = [new for new, old in zip(path.read_text().splitlines(), before, strict=True) if new != old]
    assert len(changed) == 2, "the question and the checksum"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[: len(text) // 2], "torn or not a baseline"),
        (lambda text: "", "torn or not a baseline"),
        (lambda text: text.replace("[chat_template_kwargs]", ""), "torn or not a baseline"),
        (lambda text: text.replace("correct = 3", "correct = 4"), "edited by hand"),
        (lambda text: text.replace("max_new_tokens = 48", "max_new_tokens = 64"), "edited by hand"),
        (lambda text: "\n".join([*text.splitlines()[:-2], text.splitlines()[-1], text.splitlines()[-2]]), "edited"),
    ],
)
def test_spoilt_files(tmp_path, spoil, message):
    path = tmp_path / "made-up-0.toml"
    write_baseline(path, BASELINE)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(BaselineError, match=message):
        read_baseline(path, "made-up")


def test_every_cut_is_noticed(tmp_path):
    path = tmp_path / "made-up-0.toml"
    write_baseline(path, BASELINE)
    text = path.read_text()
    for length in range(0, len(text.rstrip("\n")), 7):
        path.write_text(text[:length])
        with pytest.raises(BaselineError):
            read_baseline(path, "made-up")


def test_foreign_and_missing(tmp_path):
    path = tmp_path / "made-up-0.toml"
    with pytest.raises(FileNotFoundError):
        read_baseline(path, "made-up")
    write_baseline(path, BASELINE)
    with pytest.raises(BaselineError, match="baseline of recipe made-up, not of other"):
        read_baseline(path, "other")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"content": first(2)}, []),
        ({"versions": {"torch": "2.14.0"}, "commit": "def", "model": "m2", "date": "2027-01-01"}, []),
        ({"prompt": "p2"}, ["the prompt"]),
        ({"chat_template_kwargs": {"think": False}}, ["the prompt (chat_template_kwargs {} → {'think': False})"]),
        ({"grader": "g2"}, ["the grader"]),
        ({"engine": "vllm"}, ["transformers → vllm"]),
        ({"decoding": {"max_new_tokens": 64, "temperature": 1.0}}, ["max_new_tokens 48 → 64"]),
        ({"decoding": {"max_new_tokens": 48}}, ["temperature 1.0 → None"]),
        ({"content": {**BASELINE.content, "task/a": "99999999"}}, ["1 of 3 differ, first task/a"]),
        ({"content": dict(reversed(BASELINE.content.items()))}, ["2 of 3 differ, first task/c"]),
        ({"content": {**BASELINE.content, "task/d": "44444444"}}, ["4 asked, 3 before"]),
        ({"prompt": "p2", "grader": "g2"}, ["the prompt", "the grader"]),
    ],
)
def test_differences_are_named(change, named):
    found = differences(BASELINE, replace(BASELINE, **change))
    assert len(found) == len(named)
    assert all(word in sentence for word, sentence in zip(named, found, strict=True))


def test_own_seed_first_then_the_lowest(tmp_path):
    assert find_baseline(tmp_path, "made-up", 3) == tmp_path / "made-up-3.toml"
    for seed in (10, 2):
        write_baseline(tmp_path / f"made-up-{seed}.toml", BASELINE)
    (tmp_path / "made-up-er-1.toml").write_text("")
    assert find_baseline(tmp_path, "made-up", 3) == tmp_path / "made-up-2.toml"
    assert find_baseline(tmp_path, "made-up", 10) == tmp_path / "made-up-10.toml"


def test_fingerprints_see_what_they_should():
    question = Question(
        "t/1", "2 + 2?", "4", "test", None, ({"role": "system", "content": "s"}, {"role": "user", "content": "2 + 2?"})
    )
    other = replace(question, text="2 + 3?", prompt=(question.prompt[0], {"role": "user", "content": "2 + 3?"}))
    assert question_content(question) != question_content(other)
    assert question_content(question) != question_content(replace(question, ground_truth="5"))
    assert prompt_fingerprint([question]) == prompt_fingerprint([question, other])
    told = replace(question, prompt=({"role": "system", "content": "t"}, question.prompt[1]))
    assert prompt_fingerprint([question]) != prompt_fingerprint([told])


RECIPE = "description = \"\\\"x\\\" and '''y'''\"\n\n[train]\nlearning_rate = 0.0001\n"


def test_what_the_chat_template_was_told_is_kept(tmp_path):
    path, told = tmp_path / "made-up-0.toml", {"enable_thinking": False, "controls": {"length": "short"}}
    write_baseline(path, replace(BASELINE, chat_template_kwargs=told))
    assert read_baseline(path, "made-up").chat_template_kwargs == told


def test_the_recipe_is_readable_and_under_the_checksum(tmp_path):
    path = tmp_path / "made-up-0.toml"
    write_baseline(path, replace(BASELINE, recipe_toml=RECIPE))
    assert "\nlearning_rate = 0.0001\n" in path.read_text()
    assert read_baseline(path, "made-up").recipe_toml == RECIPE
    path.write_text(path.read_text().replace("learning_rate = 0.0001", "learning_rate = 0.0002"))
    with pytest.raises(BaselineError, match="edited by hand"):
        read_baseline(path, "made-up")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_any_recipe_survives(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("baseline") / "made-up-0.toml"
    write_baseline(path, replace(BASELINE, recipe_toml=text))
    assert read_baseline(path, "made-up").recipe_toml == text
