import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.store.errors import TaskError
from harness.store.question import Question
from harness.tasks.arithmetic import OPERATIONS, arithmetic_questions

seeds = st.integers(0, 2**32)
chosen_operations = st.lists(st.sampled_from(OPERATIONS), min_size=1, unique=True)
CALCULATE = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


@given(train_seed=seeds, test_seed=seeds)
@settings(max_examples=20)
def test_train_and_test_share_no_text_whatever_the_seeds(train_seed, test_seed):
    train = {question.text for question in arithmetic_questions("train", 300, seed=train_seed, largest=3)}
    test = {question.text for question in arithmetic_questions("test", 100, seed=test_seed, largest=3)}
    assert not train & test


@given(seed=seeds, operations=chosen_operations, largest=st.integers(1, 40))
@settings(max_examples=50)
def test_texts_and_ids_are_unique(seed, operations, largest):
    questions = arithmetic_questions("test", 60, seed=seed, operations=operations, largest=largest)
    assert len({question.text for question in questions}) == 60
    assert len({question.id for question in questions}) == 60


@given(seed=seeds, operations=chosen_operations, largest=st.integers(1, 40))
@settings(max_examples=50)
def test_solution_is_right(seed, operations, largest):
    for question in arithmetic_questions("train", 30, seed=seed, operations=operations, largest=largest):
        a, symbol, b, result, boxed = re.fullmatch(
            r"(\d+) ([-+*]) (\d+) = (\d+), so the answer is \\boxed\{(\d+)\}", question.solution
        ).groups()
        assert CALCULATE[symbol](int(a), int(b)) == int(result) >= 0
        assert boxed == result == question.ground_truth
        assert sorted([a, b]) == sorted(re.findall(r"\d+", question.text))
        assert 1 <= min(int(a), int(b)) <= max(int(a), int(b)) <= largest


@given(seed=seeds, fewer=st.integers(0, 50), more=st.integers(50, 200))
@settings(max_examples=20)
def test_asking_for_more_keeps_the_first_ones(seed, fewer, more):
    assert arithmetic_questions("test", fewer, seed=seed) == arithmetic_questions("test", more, seed=seed)[:fewer]


def test_questions_stay_what_they_are():
    # Whoever changes templates, names or the hash makes every kept evaluation incomparable and the model's training
    # questions other ones.
    question = arithmetic_questions("test", 2)[1]
    assert question == Question(
        id="arithmetic/test/b655a9193392",
        text="Grace has 2 bags with 7 coins in each. How many coins does Grace have in all?",
        ground_truth="14",
        split="test",
        solution="2 * 7 = 14, so the answer is \\boxed{14}",
    )


def test_seed_sets_the_order_alone():
    zero, one = (arithmetic_questions("test", 106, seed=seed, operations=["add"], largest=1) for seed in (0, 1))
    assert zero != one
    assert set(zero) == set(one)


def test_splits_cover_everything_and_test_has_a_fifth():
    train = arithmetic_questions("train", 1547, operations=["multiply"], largest=2)
    test = arithmetic_questions("test", 373, operations=["multiply"], largest=2)
    everything = 4 * 12 * 10 * 2 * 2  # templates, names, items and both operands
    assert len({*train, *test}) == everything
    assert 0.18 < len(test) / everything < 0.22
    for question in [*train, *test]:
        assert question.id.startswith(f"arithmetic/{question.split}/")


def test_order_of_the_operations_does_not_matter():
    assert arithmetic_questions("train", 9, operations=["multiply", "add"]) == arithmetic_questions(
        "train", 9, operations=["add", "multiply", "add"]
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1 apple "), (2, "2 apples ")],
)
def test_nouns_agree_with_their_number(number, text):
    questions = arithmetic_questions("train", 1000, operations=["subtract"], largest=2)
    apples = [q.text for q in questions if "apple" in q.text and q.solution.startswith(f"{number} ")]
    assert apples
    assert all(text in question for question in apples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "no split 'dev': write 'train' or 'test'"),
        ({"count": -1}, "ask for 0 or more"),
        ({"largest": 0}, "largest >= 1, not 0"),
        ({"operations": ["add", "divide"]}, "no operation 'divide': choose from add, subtract, multiply"),
        ({"operations": []}, "at least one operation: choose from add, subtract, multiply"),
        ({"count": 10_000, "largest": 2}, r"arithmetic has \d+ test questions .* 10000 were asked for"),
    ],
)
def test_impossible_requests_say_what_to_write_instead(arguments, message):
    with pytest.raises(TaskError, match=message):
        arithmetic_questions(**{"split": "test", "count": 1, **arguments})
