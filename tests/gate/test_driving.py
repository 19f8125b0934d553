"""The walk drives generation: asked again after every look, it says what the whole would say, and no sooner."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate import Walk, walk

signs = st.sampled_from([-1, 0, 1])


def same_when_driven(differences: list[int | None], margin: float, alpha: float, beta: float) -> None:
    total = len(differences)
    whole = walk(differences, margin=margin, alpha=alpha, beta=beta)
    for asked in range(total + 1):
        found = walk(differences[:asked], margin=margin, alpha=alpha, beta=beta, total=total)
        if whole.outcome != "neither" and asked >= whole.asked:
            assert found == whole
        else:
            ups, downs = (differences[:asked].count(sign) for sign in (1, -1))
            assert found == Walk("neither", asked, total, ups, downs)


@given(st.lists(st.one_of(signs, st.none()), max_size=110), st.sampled_from([0.05, 0.3]))
@settings(deadline=None, max_examples=30)
def test_a_prefix_that_crosses_gives_what_the_whole_gives(differences: list[int | None], margin: float) -> None:
    same_when_driven(differences, margin, alpha=0.3, beta=0.5)


@pytest.mark.parametrize(("drop", "outcome"), [(-0.1, "ruled_out"), (0.15, "effect")])
def test_a_prefix_of_many_questions(drop: float, outcome: str) -> None:
    rng = np.random.default_rng(5)
    differences = rng.choice([-1, 0, 1], size=300, p=[(0.3 - drop) / 2, 0.7, (0.3 + drop) / 2]).tolist()
    whole = walk(differences, margin=0.05, alpha=0.05)
    assert whole.outcome == outcome
    assert whole.asked < 300
    same_when_driven(differences, 0.05, alpha=0.05, beta=0.10)


def test_what_a_look_may_spend_is_of_the_total() -> None:
    lost = [1] * 64
    assert walk(lost, margin=0.05, alpha=0.05) == Walk("effect", 16, 64, 16, 0)
    assert walk(lost, margin=0.05, alpha=0.0005, total=1319) == Walk("effect", 32, 1319, 32, 0)
    assert walk(lost[:15], margin=0.05, alpha=0.05, total=1319) == Walk("neither", 15, 1319, 15, 0)
    assert walk([], margin=0.05, alpha=0.05, total=100) == Walk("neither", 0, 100, 0, 0)
    with pytest.raises(ValueError, match="64 differences of 63 questions"):
        walk(lost, margin=0.05, alpha=0.05, total=63)


def test_a_question_without_a_pair_counts_as_asked_and_as_nothing_else() -> None:
    unscored: list[int | None] = [None] * 32
    assert walk([*unscored, *[1] * 32], margin=0.05, alpha=0.05) == Walk("effect", 48, 64, 16, 0)
    # A tie is a little evidence against a drop; a question that was not scored is none.
    assert walk([0] * 200, margin=0.05, alpha=0.05).outcome == "ruled_out"
    assert walk([None] * 200, margin=0.05, alpha=0.05) == Walk("neither", 200, 200, 0, 0)
    ties: list[int | None] = [0] * 100
    spaced = [each for tie in ties for each in (None, tie)]
    assert walk(spaced, margin=0.05, alpha=0.05).asked == 2 * walk(ties, margin=0.05, alpha=0.05).asked


def test_no_margin_rules_nothing_out() -> None:
    assert walk([-1] * 500, margin=0.0, alpha=0.05) == Walk("neither", 500, 500, 0, 500)


def test_asking_after_every_look_is_quick() -> None:
    rng = np.random.default_rng(6)
    differences = rng.choice([-1, 0, 1], size=1319, p=[0.17, 0.66, 0.17]).tolist()
    started = time.process_time()
    for asked in range(64, 1320, 64):
        walk(differences[:asked], margin=1e-6, alpha=1e-9, total=1319)
    assert time.process_time() - started < 2  # 0.03 s on a quiet core
