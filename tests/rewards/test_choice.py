"""Multiple choice: options as data sets have them, and what holds for any answer; its cases are the audit's."""

from __future__ import annotations

import json
import time
from string import ascii_uppercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.recipe.catalog import load_recipe
from harness.recipe.needs import check_needs
from harness.rewards import RewardCalls, Rewards, choice
from harness.rewards.audit import check_golds
from harness.store.errors import RecipeError, RewardError
from harness.tasks import Question

CITIES = ["London", "Paris", "New York", "York"]


@pytest.mark.parametrize(
    ("choices", "truth", "answer", "correct"),
    [
        (CITIES, "B", "B", True),
        (CITIES, "Paris", "B", True),
        (CITIES, "1", "Paris", True),  # a place, from 0
        (CITIES, "1", "1", False),  # the model sees letters
        (CITIES, "1", "2", False),
        (CITIES, "4", "D", None),  # there is no fifth
        (CITIES, "Lyon", "B", None),
        (CITIES, "E", "E", None),
        ({"text": CITIES, "label": ["1", "2", "3", "4"]}, "2", "2", True),
        ({"text": CITIES, "label": ["1", "2", "3", "4"]}, "2", "2. Paris", True),
        ({"text": CITIES, "label": ["1", "2", "3", "4"]}, "2", "3", False),
        ({"text": CITIES}, "C", "(C) New York", True),
        ({"W": "wax", "X": "xylem"}, "X", "Answer: X", True),
        ({"W": "wax", "X": "xylem"}, "X", "wax", False),
        (["5", "6", "7"], "6", "Answer: 6", True),  # a text, and no place
        (["5", "6", "7"], "6", "B", True),
        (["3", "1", "0", "2"], "3", "Answer: A", None),  # a text and the place of another
        (["3", "1", "0", "2"], "3", "Answer: D", None),
        (["0", "1", "2"], "1", "Answer: B", True),  # a text at its place
        (["3", "1", "0", "2"], "D", "Answer: D", True),
        (["same", "same", "other"], "A", "same", False),  # names two
        (["Vitamin C", "Vitamin D"], "A", "A. Vitamin C", True),
        (["Vitamin C", "Vitamin A", "Vitamin B"], "A", "A. Vitamin C", True),
        (["Vitamin C", "Vitamin A", "Vitamin B"], "A", "Vitamin C", True),
        (["A", "B", "Both A and B"], "C", "Answer: (C) Both A and B", True),
        (["True", "False"], "B", "Answer: B. False", True),
        (['"Yes"', '"No"'], "A", 'Answer: "Yes"', True),
        ({"A": "one", "B": "two", "C": None}, "C", "none", False),
        (None, "B", "Answer: (B) Paris", True),
        (None, "B", "Answer: Paris", False),
        (None, "Paris", "Answer: Paris", None),  # of which options?
        (None, "N", "Answer: N", True),
        (None, "N", "Answer: N, O", False),
        (None, "N", "Answer: O\nAnswer: N", False),
        (None, "B", "Answer: B. Not enough is said", True),  # which may be its text
        (None, "B", "Answer: B, which is wrong", False),
    ],
)
def test_options(choices, truth, answer, correct):
    assert choice.grade(answer, truth, choices=choices).correct is correct


@pytest.mark.parametrize(("truth", "right"), [("letter", None), ("text", "A"), ("place", "D"), (None, None)])
def test_a_recipe_says_what_the_ground_truth_is(truth, right):
    grades = {
        letter: choice.configured(truth=truth).grade(letter, "3", choices=["3", "1", "0", "2"]) for letter in "AD"
    }
    assert {letter: grade.correct for letter, grade in grades.items()} == {
        letter: None if right is None else letter == right for letter in "AD"
    }


def test_a_reading_of_the_ground_truth_that_is_none():
    with pytest.raises(RewardError, match="truth must be one of 'letter', 'text', 'place', not 'index'"):
        RewardCalls(Rewards.from_table({"choice": {"weight": 1.0, "truth": "index"}}))


NO_OPTIONS = [[], "A) London B) Paris", 4, {"text": ["a", "b"], "label": ["A"]}, ["x"] * 27, {"": "x", "B": "y"},
              {" A": "x", "A": "y"}]  # fmt: skip


@pytest.mark.parametrize("choices", NO_OPTIONS)
def test_options_that_are_none(choices):
    assert choice.grade("A", "A", choices=choices).status == "unscored"
    with pytest.raises(RewardError, match=r"the options of a question are a list of at most 26 texts, or \{ text"):
        RewardCalls(Rewards.from_table({"choice": {"weight": 1.0, "options": choices}}))


@pytest.mark.parametrize("letter", ["\u0130", "\u0131", "\u212a", "\u1e9e", "\ufb01", "\uff22"])
def test_letters_whose_case_folds_otherwise(letter):
    for completion in (f"Answer: {letter}", letter, f"({letter})", f"Answer: B\n({letter})"):
        for choices in (None, CITIES, {letter: "x", "B": "y"}):
            assert choice.grade(completion, "B", choices=choices).correct in (True, False)
            choice.grade(completion, letter, choices=choices)


def test_a_recipe_gives_options_for_all_questions():
    rewards = Rewards.from_table({"choice": {"weight": 1.0, "options": ["yes", "no"]}})
    columns = {"ground_truth": ["no", "A"], "options": ["a column of this name", "is nothing to it"]}
    assert RewardCalls(rewards)(["?"] * 2, ["No.", "B"], columns) == {"choice": [1.0, 0.0]}
    assert RewardCalls({"choice": 1.0})(["?"] * 2, ["A", "A"], columns) == {"choice": [None, 1.0]}
    with pytest.raises(RewardError, match='reward "choice": the options of a question are a list'):
        RewardCalls(Rewards.from_table({"choice": {"weight": 1.0, "options": "yes"}}))
    with pytest.raises(RewardError, match=r"unknown parameter 'option'; did you mean 'options'\?"):
        RewardCalls(Rewards.from_table({"choice": {"weight": 1.0, "option": ["yes"]}}))


def test_a_question_without_options_is_refused_before_training(tmp_path):
    rows = [{"id": f"q{n}", "question": f"{n}?", "answer": "A", "choices": CITIES[: n % 4]} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = '[task]\nname = "rows.jsonl"\ntrain_questions = 2\ntest_questions = 2\n'
    (tmp_path / "my.toml").write_text(f'[model]\nname = "tiny"\n{task}[rewards]\nchoice = 1.0\n')
    with pytest.raises(
        RecipeError, match=r"my.toml:\d+: \[rewards\] choice: question rows/all/q0: the options of a question are"
    ):
        check_needs(load_recipe(tmp_path / "my.toml"))


def test_the_audit_writes_a_place_as_a_letter():
    """And refuses questions whose options are none, with their ids."""
    rows = [("1", CITIES), ("Paris", CITIES), ("C", None), ("1", []), ("3", ["3", "1", "0", "2"])]
    questions = [Question(f"{truth}-{n}", "?", truth, "test", columns={"choices": choices})
                 for n, (truth, choices) in enumerate(rows)]  # fmt: skip
    check = check_golds(RewardCalls({"choice": 1.0}), "choice", "letter", questions)
    assert check.refused == ("1-3", "3-4")


def test_a_column_gives_the_options_of_each_question():
    rows = {"ground_truth": ["Paris", "Rome"], "choices": [CITIES, ["Rome", "Oslo"]]}
    assert choice(["?"] * 2, ["Answer: B", "Answer: B"], **rows) == [1.0, 0.0]


# No letter stands alone in them: it might be that of an option.
WORDS = st.lists(st.text("abdefghklmnop", min_size=2, max_size=6), min_size=1, max_size=3).map(" ".join)
DRESSED = ["{}", "({})", "**{}**", "Answer: {}", "**Answer:** {}.", r"\boxed{{{}}}", "<answer>{}</answer>", "#### {}"]


@settings(deadline=None)
@given(st.sampled_from(DRESSED), st.sampled_from("ABCD"), st.sampled_from("ABCD"), WORDS)
def test_the_letter_of_an_answer_and_no_other_is_paid(dressed, letter, truth, before):
    answer = f"{before}\n{dressed.format(letter)}"
    for choices in (None, CITIES):
        assert choice.grade(answer, truth, choices=choices).correct is (letter == truth)


@settings(deadline=None)
@given(st.sampled_from(DRESSED), st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.sampled_from([" ", "\n", " or "]))
def test_two_letters_are_never_paid(dressed, one, other, between):
    if one != other:
        apart = f"{dressed.format(one)}{between}{dressed.format(other)}"
        for answer in (apart, dressed.format(f"{one}{between}{other}")):
            assert not choice.grade(answer, one, choices=CITIES).correct
            assert not choice.grade(answer, other, choices=CITIES).correct


@settings(deadline=None)
@given(st.lists(WORDS.map(lambda text: " ".join(text.split())), min_size=2, max_size=6, unique=True), st.data())
def test_a_text_names_its_option(choices, data):
    place = data.draw(st.integers(0, len(choices) - 1))
    for said in (choices[place], f"Answer: {ascii_uppercase[place]}. {choices[place]}"):
        grade = choice.grade(said, choices[place], choices=choices)
        assert (grade.extracted, grade.correct) == (ascii_uppercase[place], True)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["A", "B", "(", ")", "**", "Answer:", " ", "\n", "or", "is", "\\boxed{", "}", "."])))
def test_no_two_truths_are_paid_for_one_answer(pieces):
    paid = [truth for truth in "ABCD" if choice.grade("".join(pieces), truth, choices=CITIES).correct]
    assert len(paid) <= 1


SLOW = ["Answer: B or " * 50_000, r"\boxed{" * 100_000 + "B" + "}" * 100_000, "answer " + " " * 500_000, "A " * 300_000,
        "<answer>" * 100_000, "B\n" * 200_000, "Answer:" + "\n" * 500_000, "best " * 100_000]  # fmt: skip


@pytest.mark.parametrize("answer", SLOW, ids=lambda text: text[:12])
def test_answers_made_to_be_slow(answer):
    start = time.process_time()
    choice.grade(answer, "B", choices=CITIES)
    assert time.process_time() - start < 2.0
