"""How far a session's stages are, in words."""

from __future__ import annotations

import pytest

from harness.store.words import answers_done, steps_done, work_within_step


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (("", 0, 0, 200.0), ""),
        (("sampling", 0, 16), "sampled 0/16"),
        (("sampling", 12, 16, 185.2), "sampled 12/16, 3 min 5 s left of the step"),
        (("updating", 3, 8, 9.0), "updated 3/8"),
        (("evaluating", 3, 64, 200.0), "evaluation, 3/64 answers"),
        (("restarted", 4, 0), "started again from step 4"),
    ],
)
def test_what_a_step_is_at(state, said):
    assert work_within_step(*state) == said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (steps_done(0, 24, None, 0.0, "sampled 3/16"), "0/24  sampled 3/16"),
        (steps_done(18, 40, ("reward", 0.32, 0.48), 9.0), "18/40  reward 0.32 → 0.48  9 s left"),
        (
            steps_done(3, 24, ("reward", 0.2, 0.25), 7300, "updated 3/8"),
            "3/24  reward 0.20 → 0.25  2 h 1 min left  updated 3/8",
        ),
        (answers_done(0, 64), "0/64 answers"),
        (answers_done(1600, 3200, left=9.4), "1,600/3,200 answers"),
        (answers_done(1600, 3200, left=754), "1,600/3,200 answers  12 min 34 s left"),
        (answers_done(64, 64, 0.25, left=20), "64/64 answers  25.0 % right"),
    ],
)
def test_how_far_a_stage_is(said, expected):
    assert said == expected
