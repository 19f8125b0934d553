"""A run against its baseline: which pairs are drawn, every word, and what a person reads."""

# ruff: noqa: E501 (one case a row)

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate import Verdict
from harness.gate.power import power
from harness.gate.sequential import walk
from harness.gate.verdicts import draw_pairs, judge_against_baseline

LOST, GAINED, KEPT, MISSED = (1, 0.0), (0, 1.0), (1, 1.0), (0, 0.0)


def names(n: int) -> list[str]:
    return [f"task/test/{each}" for each in range(n)]


def judged(*runs: tuple[int, tuple[int, float]], **asked: Any) -> Verdict:
    """A verdict from (questions, (the baseline's correct of K, candidate's share)) in the order asked."""
    values = [pair for count, pair in runs for _ in range(count)]
    order = names(len(values))
    correct = {question: value[0] for question, value in zip(order, values, strict=True)}
    candidate = {question: value[1] for question, value in zip(order, values, strict=True)}
    settings = {"samples": 1, "commit": "c0ffee", "margin": 0.05, "alpha": 0.05, **asked}
    return judge_against_baseline(correct, candidate, order, **settings)


def test_a_single_generation_leaves_nothing_to_draw() -> None:
    pairs = draw_pairs([1, 0, 1, 0], 1, [0, 1, 1, 0], "any", names(4))
    assert pairs == draw_pairs([8, 0, 8, 0], 8, [0, 1, 1, 0], "other", names(4)) == [1, -1, 0, 0]


def test_the_same_commit_draws_the_same_pairs() -> None:
    drawn = {commit: draw_pairs([4] * 200, 8, [0.0] * 200, commit, names(200)) for commit in ("a", "b")}
    assert drawn["a"] == draw_pairs([4] * 200, 8, [0.0] * 200, "a", names(200))
    assert drawn["a"] != drawn["b"]
    assert drawn["a"][:40] == draw_pairs([4] * 40, 8, [0.0] * 40, "a", names(40))  # each question on its own
    # Pinned: another release must not draw other pairs for a commit that was judged.
    assert draw_pairs([4] * 16, 8, [0.0] * 16, "c0ffee", names(16)) == [1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(("count", "samples"), [(1, 8), (4, 8), (7, 8), (1, 3)])
def test_each_generation_is_drawn_as_often_as_another(count: int, samples: int) -> None:
    n = 20_000
    losses = sum(draw_pairs([count] * n, samples, [0.0] * n, "c0ffee", names(n)))
    share = count / samples
    assert abs(losses / n - share) < 4 * math.sqrt(share * (1 - share) / n)
    more = sum(draw_pairs([count + 1] * n, samples, [0.0] * n, "c0ffee", names(n)))
    assert losses < more


@pytest.mark.parametrize(
    ("correct", "samples", "candidate"), [([1], 1, [0.5]), ([2], 1, [1.0]), ([-1], 4, [1.0]), ([1, 1], 1, [1.0])]
)
def test_what_cannot_be_paired(correct: list[int], samples: int, candidate: list[float]) -> None:
    with pytest.raises(ValueError, match=r"0 or 1|between 0 and samples|argument"):
        draw_pairs(correct, samples, candidate, "c0ffee", names(len(correct)))


# Runs of questions, what is asked, the word, and the sentence or its end.
SENTENCES = [
    ([(200, LOST)], {}, "REGRESSED", "baseline 100.0 % → now 0.0 %, 16 lost and 0 gained in the first 16 of 200 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05)"),
    ([(5, LOST)], {}, "REGRESSED", "baseline 100.0 % → now 0.0 %, 5 lost and 0 gained in 5 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05)"),
    ([(5, LOST)], {"alpha": 0.05 / 3, "gates": 3}, "INCONCLUSIVE", "no loss beyond luck (alpha .05 shared by 3 gates), but a drop of 5 points is not ruled out either; 5 questions: any drop could go unseen, even if every answer turned wrong; 5 points were asked for (that needs about 380)"),
    ([(64, LOST), (1255, KEPT)], {}, "REGRESSED", "baseline 100.0 % → now 95.1 %, 16 lost and 0 gained in the first 16 of 1319 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05)"),
    ([(1319, KEPT)], {}, "OK", "baseline 100.0 % → now 100.0 %, 0 lost and 0 gained in the first 74 of 1319 questions; a drop of 5 points or more is ruled out, wrongly in at most 10 % of such tests"),
    ([(200, MISSED)], {"margin": 0.2}, "OK", "baseline 0.0 % → now 0.0 %, 0 lost and 0 gained in the first 17 of 200 questions; a drop of 20 points or more is ruled out, wrongly in at most 10 % of such tests"),
    ([(200, GAINED)], {}, "IMPROVED", "baseline 0.0 % → now 100.0 %, 0 lost and 16 gained in the first 16 of 200 questions; luck alone would pass for a gain in at most 5 % of such tests (alpha .05); the baseline is stale: --rl-update-baselines all records a new one"),
    # an OK at question 74; every question was asked all the same, and showed a gain
    ([(200, KEPT), (200, GAINED)], {}, "IMPROVED", "baseline 50.0 % → now 100.0 %, 0 lost and 8 gained in the first 208 of 400 questions; luck alone would pass for a gain in at most 5 % of such tests (alpha .05); the baseline is stale: --rl-update-baselines all records a new one"),
    # certain of one thing first
    ([(32, LOST), (168, GAINED)], {}, "REGRESSED", "baseline 16.0 % → now 84.0 %, 16 lost and 0 gained in the first 16 of 200 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05); yet all 200 together say otherwise"),
    ([(32, GAINED), (168, LOST)], {}, "IMPROVED", "the baseline is stale: --rl-update-baselines all records a new one; yet all 200 together say otherwise"),
    ([(200, KEPT), (200, LOST)], {}, "OK", "baseline 100.0 % → now 50.0 %, 0 lost and 0 gained in the first 74 of 400 questions; a drop of 5 points or more is ruled out, wrongly in at most 10 % of such tests; yet all 400 together say otherwise"),
    ([(10, KEPT), (3, LOST), (2, GAINED)], {}, "INCONCLUSIVE", "baseline 86.7 % → now 80.0 %, 3 lost and 2 gained in 15 questions; no loss beyond luck (alpha .05), but a drop of 5 points is not ruled out either; 15 questions: a drop of less than about 41 points could go unseen, 5 were asked for (that needs about 850)"),
    ([(100, KEPT)], {"asked": 40}, "INCONCLUSIVE", "baseline 100.0 % → now 100.0 %, 0 lost and 0 gained in the first 40 of 100 questions; no answer changed, but a drop of 5 points is not ruled out either; 60 were not asked"),
    ([(30, KEPT)], {}, "INCONCLUSIVE", "baseline 100.0 % → now 100.0 %, 0 lost and 0 gained in 30 questions; no answer changed, but a drop of 5 points is not ruled out either; 30 questions: a drop of less than about 22 points could go unseen, 5 were asked for (that needs about 270)"),
    ([(100, LOST)], {"asked": 32}, "REGRESSED", "baseline 100.0 % → now 0.0 %, 16 lost and 0 gained in the first 16 of 100 questions; luck alone would pass for a loss in at most 5 % of such tests (alpha .05)"),
    ([], {}, "INCONCLUSIVE", "no question was scored on both sides"),
    ([(50, KEPT)], {"asked": 0}, "INCONCLUSIVE", "no question was scored on both sides"),
]  # fmt: skip


@pytest.mark.parametrize(("runs", "asked", "word", "ending"), SENTENCES)
def test_sentences(runs: list[Any], asked: dict[str, Any], word: str, ending: str) -> None:
    verdict = judged(*runs, **asked)
    assert (verdict.gate, verdict.verdict) == ("baseline", word)
    assert verdict.sentence.endswith(ending)
    assert verdict.numbers["stale"] == (word == "IMPROVED")
    json.dumps(verdict.to_json(), allow_nan=False)


def test_the_numbers() -> None:
    verdict = judged((60, LOST), (200, KEPT), (40, MISSED), gates=2, baseline_commit="facade")
    assert verdict.verdict == "REGRESSED"
    assert verdict.numbers == {
        "questions": 300,
        "asked": 300,
        "pairs": 300,
        "baseline": 260 / 300,
        "now": 200 / 300,
        "samples": 1,
        "baseline_commit": "facade",
        "run_commit": "c0ffee",
        "margin": 0.05,
        "alpha": 0.05,
        "gates": 2,
        "beta": 0.10,
        "planned_power": power(300, 0.10, 0.05, 0.05),
        "against_run": False,
        "exact": True,
        "certain_after": 16,
        "lost": 16,
        "gained": 0,
        "stale": False,
    }
    assert judged((3, KEPT)).numbers["certain_after"] is None


def test_the_baselines_accuracy_is_that_of_all_its_generations() -> None:
    verdict = judged((150, (6, 1.0)), (50, (2, 0.0)), samples=8)
    assert (verdict.numbers["baseline"], verdict.numbers["now"]) == (0.625, 0.75)


def test_questions_not_scored_make_no_pair_and_keep_their_place() -> None:
    order = names(100)
    correct, candidate = dict.fromkeys(order, 1), dict.fromkeys(order, 0.0)
    for unscored in order[:10]:
        del candidate[unscored]
    asked: dict[str, Any] = {"samples": 1, "commit": "c0ffee", "margin": 0.05, "alpha": 0.05}
    verdict = judge_against_baseline(correct, candidate, order, **asked)
    assert (verdict.numbers["pairs"], verdict.numbers["certain_after"], verdict.numbers["lost"]) == (90, 32, 22)
    # Not asked is not the same as not scored: what was asked says so.
    early = judge_against_baseline(correct, candidate, order, asked=20, **asked)
    assert (early.verdict, early.numbers["pairs"]) == ("INCONCLUSIVE", 10)


outcomes = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0])), max_size=90)


@given(outcomes, st.data())
@settings(max_examples=40)
def test_a_verdict_while_answers_come_in_is_the_verdict(values: list[tuple[int, float]], data: st.DataObject) -> None:
    runs = [(1, value) for value in values]
    asked = {"samples": 4, "alpha": 0.2, "beta": 0.4, "margin": 0.1}
    whole = judged(*runs, **asked)
    early = judged(*runs, asked=data.draw(st.integers(0, len(values))), **asked)
    if early.verdict == "OK":
        assert whole.verdict in ("OK", "IMPROVED")
    elif early.verdict != "INCONCLUSIVE":
        assert whole.verdict == early.verdict
        assert whole.numbers["certain_after"] == early.numbers["certain_after"]
    assert judged(*runs, **asked) == whole  # a rerun


@given(outcomes)
@settings(max_examples=40)
def test_it_walks_the_pairs_that_are_drawn(values: list[tuple[int, float]]) -> None:
    verdict = judged(*((1, value) for value in values), samples=4, alpha=0.2)
    counts, answers = [count for count, _ in values], [answer for _, answer in values]
    found = walk(draw_pairs(counts, 4, answers, "c0ffee", names(len(values))), margin=0.05, alpha=0.2)
    if found.outcome == "effect" and verdict.verdict != "IMPROVED":
        assert verdict.verdict == "REGRESSED"
    if verdict.verdict in ("REGRESSED", "OK"):
        assert (verdict.numbers["certain_after"], verdict.numbers["lost"]) == (found.asked, found.up)
    assert (verdict.verdict == "OK") <= (found.outcome == "ruled_out")


# (questions, (the baseline's correct of 4, candidate's share of several answers))
MEANS = [
    ([(50, (4, 0.5)), (50, (2, 0.5))], {}, "REGRESSED"),
    ([(50, (2, 1.0)), (50, (2, 0.5))], {}, "IMPROVED"),
    ([(90, (2, 0.5)), (5, (2, 0.25)), (5, (2, 0.75))], {}, "OK"),
    ([(10, (2, 0.5)), (10, (2, 0.0)), (10, (2, 1.0))], {}, "INCONCLUSIVE"),
    ([(50, (4, 0.5)), (50, (2, 0.5))], {"asked": 75}, "INCONCLUSIVE"),  # no look before the end
    # equal differences have no spread: their signs are walked
    ([(200, (2, 0.5))], {}, "OK"),
    ([(40, (2, 0.25))], {}, "REGRESSED"),
    ([(4, (2, 0.25))], {}, "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("runs", "asked", "word"), MEANS)
def test_several_candidate_answers(runs: list[Any], asked: dict[str, Any], word: str) -> None:
    verdict = judged(*runs, samples=4, candidate_samples=4, **asked)
    assert verdict.verdict == word, verdict.sentence
    with pytest.raises(ValueError, match="0 or 1"):
        judged(*runs, samples=4, **asked)


@pytest.mark.parametrize("questions", [5, 20, 60])
def test_questions_that_are_lost_whole_are_not_ruled_out_by_the_others(questions: int) -> None:
    """One question in twenty is never answered right any more, the others as before: 8 answers on either side."""
    rng = np.random.default_rng(3)
    passed, runs, order = 0, 300, names(questions)
    for _ in range(runs):
        lost = rng.random(questions) < 0.05 / 0.97
        correct = dict(zip(order, rng.binomial(8, 0.97, questions).tolist(), strict=True))
        candidate = dict(zip(order, (rng.binomial(8, np.where(lost, 0, 0.97)) / 8).tolist(), strict=True))
        verdict = judge_against_baseline(
            correct, candidate, order, samples=8, candidate_samples=8, commit="c0ffee", margin=0.05, alpha=0.05
        )
        passed += bool(verdict.passed)
    assert passed / runs <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / runs)


def test_several_answers_raise_no_more_alarms_than_asked_for() -> None:
    # Questions of unlike difficulty, 4 answers on either side, nothing changed.
    rng = np.random.default_rng(8)
    alarms, runs, order = 0, 150, names(100)
    for _ in range(runs):
        chances = rng.beta(0.5, 0.5, 100)
        correct = dict(zip(order, rng.binomial(4, chances).tolist(), strict=True))
        candidate = dict(zip(order, (rng.binomial(4, chances) / 4).tolist(), strict=True))
        verdict = judge_against_baseline(
            correct, candidate, order, samples=4, candidate_samples=4, commit="c0ffee", margin=0.05, alpha=0.05
        )
        alarms += verdict.verdict == "REGRESSED"
    assert alarms / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
