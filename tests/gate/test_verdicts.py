"""Every word of the gate, on counts that can be checked by hand."""

# ruff: noqa: E501 (one case a row)

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.gate import Verdict, accuracy_interval, judge_accuracy, judge_improvement, judge_training, verdicts
from harness.store.run_files import PASSES, WARNS, Word
from harness.store.words import percent, points

Means = dict[str, float]


def sides(*runs: tuple[int, float, float]) -> tuple[Means, Means, list[str]]:
    """Means before and after and the order, from (questions, before, after) in turn."""
    values = [(before, after) for count, before, after in runs for _ in range(count)]
    order = [f"q{n}" for n in range(len(values))]
    before, after = ({q: pair[side] for q, pair in zip(order, values, strict=True)} for side in (0, 1))
    return before, after, order


GAINED, LOST, KEPT, MISSED = (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)


def judged(*runs: tuple[int, tuple[float, float]], **asked: Any) -> Verdict:
    settings = {"min_improvement": None, "margin": 0.05, "alpha": 0.05, **asked}
    return judge_improvement(*sides(*((count, *pair) for count, pair in runs)), **settings)


# Runs of questions, what is asked, the word, and how its sentence ends.
IMPROVEMENTS = [
    # 5 of 5 discordant pairs gained: 1/32 <= alpha; 4 of 4: 1/16 > alpha
    ([(5, GAINED)], {}, "IMPROVED", "0.0 % → 100.0 %, 5 gained and 0 lost of 5 questions; luck alone would pass for a gain in at most 5 % of such tests (alpha .05)"),
    ([(4, GAINED)], {}, "INCONCLUSIVE", "4 gained and 0 lost of 4 questions; this may be luck (alpha .05); 4 questions: any gain could go unseen, even if every answer turned right; 5 points were asked for (that needs about 270)"),
    ([(5, GAINED)], {"alpha": 0.03}, "INCONCLUSIVE", "; this may be luck (alpha .03); 5 questions: any gain could go unseen, even if every answer turned right; 5 points were asked for (that needs about 320)"),
    ([(5, LOST)], {}, "REGRESSED", "100.0 % → 0.0 %, 0 gained and 5 lost of 5 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05)"),
    # 16 of 200 is the first look: alpha 16/200 = .004 >= 2^-16
    ([(200, GAINED)], {}, "IMPROVED", "200 gained and 0 lost of 200 questions; luck alone would pass for a gain in at most 5 % of such tests (alpha .05); clear after the first 16 questions"),
    ([(200, LOST)], {"min_improvement": 0.3}, "REGRESSED", "(a gain of 30 points is asked for), 0 gained and 200 lost of 200 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05); clear after the first 16 questions"),
    ([(200, KEPT)], {"min_improvement": 0.3}, "NOT_IMPROVED", "100.0 % → 100.0 % (a gain of 30 points is asked for), 0 gained and 0 lost of 200 questions; a gain of 30 points or more is ruled out, wrongly in at most 10 % of such tests"),
    ([(200, KEPT)], {}, "INCONCLUSIVE", "; neither better nor worse beyond luck (alpha .05); a gain of 5 points or more is ruled out, wrongly in at most 10 % of such tests"),
    ([(200, MISSED)], {"min_improvement": 0.0}, "INCONCLUSIVE", "; neither better nor worse beyond luck (alpha .05); a gain of 5 points or more is ruled out, wrongly in at most 10 % of such tests"),
    ([(3, KEPT)], {}, "INCONCLUSIVE", "0 gained and 0 lost of 3 questions; no answer turned right or wrong; 3 questions: any gain could go unseen, even if every answer turned right; 5 points were asked for (that needs about 270)"),
    ([(6, GAINED), (3, LOST), (51, KEPT)], {"margin": 0.1}, "INCONCLUSIVE", "6 gained and 3 lost of 60 questions; this may be luck (alpha .05); 60 questions: a gain of less than about 13 points could go unseen, 10 were asked for (that needs about 99)"),
    ([(40, KEPT)], {"asked": 16}, "INCONCLUSIVE", "0 gained and 0 lost of 16 questions (40 planned); no answer turned right or wrong; 24 were not asked"),
    # certainly better, and less than was asked for
    ([(10, GAINED), (90, KEPT)], {"min_improvement": 0.2, "margin": 0.2}, "INCONCLUSIVE", "90.0 % → 100.0 % (a gain of 20 points is asked for), 10 gained and 0 lost of 100 questions; a gain beyond luck (alpha .05), but of 10 points only"),
    # 5 points gained are 5 points, whatever 0.35 - 0.30 is in floating point; 1/32 is .031, alpha 64/100 is .032
    ([(5, GAINED), (30, KEPT), (65, MISSED)], {"min_improvement": 0.05}, "IMPROVED", "30.0 % → 35.0 % (a gain of 5 points is asked for), 5 gained and 0 lost of 100 questions; luck alone would pass for a gain in at most 5 % of such tests (alpha .05); clear after the first 64 questions"),
    # certain at a look, taken back later: neither red nor green
    ([(40, GAINED), (60, LOST)], {"margin": 0.001}, "INCONCLUSIVE", "better on the first 16 questions, but not on all; ask more questions"),
    ([(40, LOST), (60, GAINED)], {"margin": 0.001}, "INCONCLUSIVE", "worse on the first 16 questions, but not on all; ask more questions"),
    ([(32, GAINED), (32, LOST)], {"margin": 0.001}, "INCONCLUSIVE", "better on the first 16 questions, but not on all; ask more questions"),
]  # fmt: skip


@pytest.mark.parametrize(("runs", "asked", "word", "ending"), IMPROVEMENTS)
def test_improvement(runs: list[Any], asked: dict[str, Any], word: str, ending: str) -> None:
    verdict = judged(*runs, **asked)
    assert (verdict.gate, verdict.verdict) == ("improvement", word)
    assert verdict.sentence.endswith(ending)


def test_the_sentence_says_whose_alpha_it_is() -> None:
    verdict = judged((200, GAINED), alpha=0.05 / 7, gates=7)
    assert "in at most 0.714 % of such tests (alpha .05 shared by 7 gates); clear" in verdict.sentence
    assert (verdict.numbers["alpha"], verdict.numbers["gates"]) == (0.05 / 7, 7)


def test_stopped_early_the_gain_asked_for_must_be_sure() -> None:
    """64 of 64 gained are a gain beyond luck; of how many points takes an interval that holds at any time."""
    asked: dict[str, Any] = {"asked": 64, "min_improvement": 0.3}
    verdict = judged((64, GAINED), (336, MISSED), **asked)
    assert verdict.sentence.startswith(
        "0.0 % → 100.0 % (a gain of 30 points is asked for), 64 gained and 0 lost of 64 questions (400 planned); luck"
    )
    verdict = judged(*[(1, GAINED), (2, MISSED)] * 21, (1, GAINED), (336, MISSED), **asked)
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.sentence.endswith(
        "; a gain beyond luck (alpha .05), but 64 questions are too few to be sure of 30 points"
    )


def test_several_answers_a_question_keep_to_alpha_about() -> None:
    before, after, order = sides((20, 0.25, 0.5), (20, 0.25, 0.75))
    verdict = judge_improvement(before, after, order, min_improvement=None, margin=0.05, alpha=0.05, samples=4)
    assert "luck alone would pass for a gain in about 5 % of such tests" in verdict.sentence


def test_numbers_of_an_improvement() -> None:
    verdict = judged((12, GAINED), (4, LOST), (50, KEPT), (34, MISSED), min_improvement=0.05, alpha=0.04)
    assert verdict.numbers == {
        "pairs": 100,
        "questions": 100,
        "asked": 100,
        "before": 0.54,
        "after": 0.62,
        "gained": 12,
        "lost": 4,
        "gain": pytest.approx(0.08),
        "min_improvement": 0.05,
        "margin": 0.05,
        "alpha": 0.04,
        "beta": 0.10,
        "gates": 1,
        "exact": True,
        "certain_after": 100,
    }


def test_questions_that_were_not_scored_make_no_pair() -> None:
    before, after, order = sides((6, *GAINED), (3, *LOST))
    for unscored in ("q6", "q7"):
        del before[unscored]
    del after["q8"]
    verdict = judge_improvement(before, after, order, min_improvement=None, margin=0.05, alpha=0.05)
    assert verdict.verdict == "IMPROVED"
    assert (verdict.numbers["pairs"], verdict.numbers["questions"], verdict.numbers["lost"]) == (6, 9, 0)
    assert verdict.numbers["before"] == 0.0


@pytest.mark.parametrize(("before", "after", "order"), [({}, {}, []), ({"a": 1.0}, {"b": 1.0}, ["a", "b"])])
def test_nothing_to_compare(before: Means, after: Means, order: list[str]) -> None:
    verdict = judge_improvement(before, after, order, min_improvement=0.1, margin=0.05, alpha=0.05)
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.sentence == "no question was scored both before and after"
    assert verdict.numbers["pairs"] == 0


def test_the_order_of_the_questions_and_not_of_the_answers_is_walked() -> None:
    before, after, order = sides((40, *GAINED), (60, *MISSED))
    asked = {"min_improvement": None, "margin": 0.05, "alpha": 0.05}
    certain = judge_improvement(before, after, order, **asked)
    shuffled = judge_improvement(dict(reversed(before.items())), dict(reversed(after.items())), order, **asked)
    backwards = judge_improvement(before, after, order[::-1], **asked)
    assert certain == shuffled
    assert certain.numbers["certain_after"] == 16 < backwards.numbers["certain_after"]


# (questions, before, after) with several answers a question.
MEANS = [
    ([(20, 0.25, 0.5), (20, 0.25, 0.75)], None, "IMPROVED"),
    ([(20, 0.5, 0.25), (20, 0.75, 0.25)], None, "REGRESSED"),
    ([(20, 0.5, 0.5), (10, 0.5, 0.75), (10, 0.75, 0.5)], None, "INCONCLUSIVE"),
    ([(90, 0.5, 0.5), (5, 0.5, 0.75), (5, 0.75, 0.5)], 0.3, "NOT_IMPROVED"),
    ([(20, 0.25, 0.5), (20, 0.25, 0.75)], 0.4, "INCONCLUSIVE"),
    ([(1, 0.25, 0.5)], None, "INCONCLUSIVE"),
    # equal differences have no spread: 4 of them are luck, 5 are not
    ([(4, 0.25, 0.5)], None, "INCONCLUSIVE"),
    ([(5, 0.25, 0.5)], None, "IMPROVED"),
    ([(5, 0.5, 0.25)], None, "REGRESSED"),
    ([(2, 1 / 3, 2 / 3), (2, 2 / 3, 1.0)], None, "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("runs", "min_improvement", "word"), MEANS)
def test_several_answers_a_question(runs: list[Any], min_improvement: float | None, word: str) -> None:
    verdict = judge_improvement(*sides(*runs), min_improvement=min_improvement, margin=0.05, alpha=0.05)
    assert verdict.verdict == word, verdict.sentence


@given(st.lists(st.sampled_from([GAINED, LOST, KEPT, MISSED]), max_size=80), st.sampled_from([None, 0.05, 0.3]))
@example([GAINED] * 5, None)  # each word at least once
@example([LOST] * 5, None)
@settings(max_examples=40)
def test_green_is_a_gain_and_red_is_a_loss(outcomes: list[tuple[float, float]], min_improvement: float | None) -> None:
    verdict = judged(*((1, pair) for pair in outcomes), min_improvement=min_improvement)
    gain = (outcomes.count(GAINED) - outcomes.count(LOST)) / max(1, len(outcomes))
    if verdict.verdict == "IMPROVED":
        assert gain > 0
        assert gain >= (min_improvement or 0)
    if verdict.verdict == "REGRESSED":
        assert gain < 0
    swapped = judged(*((1, pair[::-1]) for pair in outcomes))
    if verdict.verdict in ("IMPROVED", "REGRESSED") and min_improvement is None:
        assert {verdict.verdict, swapped.verdict} == {"IMPROVED", "REGRESSED"}
    json.dumps(verdict.to_json(), allow_nan=False)


# The Wilson interval of 45 of 60 is .6277 to .8422; of 0 of 0, nothing is known.
@pytest.mark.parametrize(
    ("means", "min_accuracy", "word", "ending"),
    [
        ([1.0] * 45 + [0.0] * 15, 0.62, "OK", "75.0 % right over 60 questions, 95 % interval 62.8 % to 84.2 %; all of it reaches the 62.0 % asked for"),
        ([1.0] * 45 + [0.0] * 15, 0.70, "INCONCLUSIVE", "95 % interval 62.8 % to 84.2 %; the 70.0 % asked for lie within it, and more questions would narrow it"),
        ([1.0] * 45 + [0.0] * 15, 0.90, "TOO_LOW", "; all of it is below the 90.0 % asked for"),
        ([1.0] * 3, 0.50, "INCONCLUSIVE", "95 % interval 43.9 % to 100.0 %; the 50.0 % asked for lie within it, and more questions would narrow it"),
        ([1.0] * 2 + [0.0] * 2, 0.20, "INCONCLUSIVE", "50.0 % right over 4 questions, 95 % interval 15.0 % to 85.0 %; the 20.0 % asked for lie within it, and more questions would narrow it"),
        ([0.0] * 4, 0.20, "INCONCLUSIVE", "0.0 % right over 4 questions, 95 % interval 0.0 % to 49.0 %; the 20.0 % asked for lie within it, and more questions would narrow it"),
        ([0.0], 0.20, "INCONCLUSIVE", "0.0 % right over 1 question, 95 % interval 0.0 % to 79.3 %; the 20.0 % asked for lie within it, and more questions would narrow it"),
        ([0.5, 0.5], 0.40, "INCONCLUSIVE", "95 % interval 0.0 % to 100.0 %; the 40.0 % asked for lie within it, and more questions would narrow it"),
        ([], 0.10, "INCONCLUSIVE", "0.0 % right over 0 questions, 95 % interval 0.0 % to 100.0 %; the 10.0 % asked for lie within it, and more questions would narrow it"),
        ([1.0] * 60, 1.0, "INCONCLUSIVE", "95 % interval 94.0 % to 100.0 %; the 100.0 % asked for lie within it, and no number of questions would show so much"),
        ([1.0] * 59 + [0.0], 1.0, "TOO_LOW", "; all of it is below the 100.0 % asked for"),
        ([0.0] * 9, 0.0, "OK", "0.0 % right over 9 questions, 95 % interval 0.0 % to 29.9 %; all of it reaches the 0.0 % asked for"),
    ],
)  # fmt: skip
def test_accuracy(means: list[float], min_accuracy: float, word: str, ending: str) -> None:
    verdict = judge_accuracy(means, min_accuracy=min_accuracy)
    assert (verdict.gate, verdict.verdict) == ("accuracy", word)
    assert verdict.sentence.endswith(ending)
    low, high = accuracy_interval(means)
    assert (verdict.numbers["low"], verdict.numbers["high"]) == (low, high)
    assert verdict.numbers["questions"] == len(means)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.30, 0.40, "OK"), (0.31, 0.40, "OK"), (0.29, 0.40, "INCONCLUSIVE"), (0.29, 0.30, "INCONCLUSIVE"), (0.1, 0.29, "TOO_LOW")],
)  # fmt: skip
def test_accuracy_by_the_interval_of_an_evaluation_that_stopped_early(low: float, high: float, word: str) -> None:
    verdict = judge_accuracy([1.0, 0.0, 0.0], min_accuracy=0.30, interval=(low, high))
    assert (verdict.verdict, verdict.numbers["low"], verdict.numbers["high"]) == (word, low, high)


def step(number: int, **values: float | None) -> dict[str, Any]:
    return {"step": number, "loss": 0.0, "grad_norm": 1.0, "reward": 0.5, "frac_reward_zero_std": 0.5, **values}


@pytest.mark.parametrize(
    ("metrics", "word", "sentence"),
    [
        ([], "UNSOUND", "no training step was logged"),
        ([{"step": 9, "train_runtime": 3.0}], "UNSOUND", "no training step was logged"),
        ([step(1), step(2, loss=None), step(3)], "UNSOUND", "loss is not finite from step 2 on"),
        ([step(1, loss=math.inf)], "UNSOUND", "loss is not finite from step 1 on"),
        ([step(1), step(5, grad_norm=math.nan)], "UNSOUND", "grad_norm is not finite from step 5 on"),
        ([step(1, frac_reward_zero_std=1.0), step(2, frac_reward_zero_std=1.0)], "UNSOUND", "every group had equal rewards in all 2 logged steps: there was nothing to learn from"),
        ([step(1, frac_reward_zero_std=1.0), step(2, frac_reward_zero_std=0.5, reward=0.75)], "OK", "2 steps, every logged loss and gradient finite; reward 0.500 → 0.750 (first and last logged step); 75.0 % of groups had equal rewards and taught nothing; most groups taught nothing: ask questions that are neither too easy nor too hard for the model, or raise num_generations"),
        ([{"step": 1, "loss": 0.1}], "OK", "1 step, every logged loss and gradient finite; loss 0.100 → 0.100 (first and last logged step)"),
        ([{"step": 5, "loss": 0.1}, {"step": 10, "loss": 0.2}, {"step": 10, "train_runtime": 1.0}], "OK", "10 steps, every logged loss and gradient finite; loss 0.100 → 0.200 (first and last logged step)"),
    ],
)  # fmt: skip
def test_training(metrics: list[dict[str, Any]], word: str, sentence: str) -> None:
    verdict = judge_training(metrics)
    assert (verdict.gate, verdict.verdict, verdict.sentence) == ("training", word, sentence)


def test_numbers_of_training() -> None:
    verdict = judge_training([step(1, reward=0.25), step(2, frac_reward_zero_std=0.0), step(3, reward=None)])
    ends = {"first_reward": 0.25, "last_reward": 0.5, "shown_steps": 1}
    assert verdict.numbers == {"logged_steps": 3, "steps": 3, "zero_std_share": 1 / 3, **ends}
    vain = judge_training([step(number, frac_reward_zero_std=0.9375) for number in range(1, 9)])
    assert (vain.verdict, vain.numbers["finding"]) == ("OK", "most_groups_equal")
    assert "; most groups taught nothing: ask questions that are neither too easy" in vain.sentence
    assert judge_training([step(1), step(2, loss=None)]).numbers["not_finite"] == {"loss": [2]}


def test_what_passes_what_fails_and_what_warns() -> None:
    passed = {word: Verdict("accuracy", word, "within", "", {}).passed for word in get_args(Word)}
    expected = {"IMPROVED": True, "OK": True, "INCONCLUSIVE": None}
    expected |= dict.fromkeys(["REGRESSED", "NOT_IMPROVED", "TOO_LOW", "UNSOUND"], False)
    assert expected.items() <= passed.items()
    assert set(get_args(Word)) > PASSES | WARNS


def test_a_tests_own_verdict_is_worded_as_its_gates() -> None:
    verdict = judge_accuracy([1.0] * 20, min_accuracy=0.5)
    assert replace(verdict, gate="accuracy (test_own.py::test_base)").sentence == verdict.sentence


def test_a_verdict_as_json() -> None:
    assert verdicts.judged("training", "UNSOUND", "refused", {"reason": "so"}).to_json() == {
        "gate": "training",
        "verdict": "UNSOUND",
        "code": "refused",
        "sentence": "so",
        "numbers": {"reason": "so"},
    }


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.05, "5 points"), (0.01, "1 point"), (0.025, "2.5 points"), (-0.03, "-3 points"), (0.0, "0 points"), (1 / 3, "33.3 points")],
)  # fmt: skip
def test_points(share: float, text: str) -> None:
    assert points(share) == text
    assert percent(share) == f"{round(100 * share, 1)} %"


FINITE = "every logged loss and gradient finite"


def test_what_is_shown_of_a_training_are_means_of_its_first_and_last_tenth() -> None:
    """A single step's reward is mostly chance: here the first and the last are as far out as they can be."""
    rewards = [1.0, 0.2, *[0.5] * 26, 0.8, 0.0]
    verdict = judge_training([step(n, reward=reward) for n, reward in enumerate(rewards, start=1)])
    assert "; reward 0.567 → 0.433 (means of the first and last 3 logged steps); " in verdict.sentence
    assert verdict.numbers["first_reward"] == pytest.approx(1.7 / 3)
    losses = [{"step": n, "loss": float(n < 2), "rewards/accuracies": float(n > 18)} for n in range(20)]
    verdict = judge_training(losses)
    assert verdict.sentence.startswith(f"19 steps, {FINITE}; loss 1.000 → 0.000 (means of the first and last 2 ")
    assert verdict.numbers["preferred_share"] == 0.5


def test_training_without_groups_is_judged_by_its_loss():
    """SFT and DPO log no groups of completions; GRPO's rule is not for them."""
    verdict = judge_training([{"step": 1, "loss": 0.9, "grad_norm": 1.0}, {"step": 2, "loss": 0.2, "grad_norm": 1.0}])
    assert (verdict.verdict, verdict.sentence) == (
        "OK",
        f"2 steps, {FINITE}; loss 0.900 → 0.200 (first and last logged step)",
    )
    preferred = {"step": 2, "loss": 0.2, "grad_norm": 1.0, "rewards/accuracies": 0.75}
    verdict = judge_training([{"step": 1, "loss": 0.7, "grad_norm": 1.0}, preferred])
    assert verdict.sentence.endswith("logged step); chosen answers preferred in 75.0 % of the pairs at the end")
    assert judge_training([{"step": 1, "loss": None}]).verdict == "UNSOUND"
