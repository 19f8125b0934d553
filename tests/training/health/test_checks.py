"""Every check in a table: histories that it must name, and histories that it must let pass."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gate.health import CHECKS, expected_share, limits, look
from harness.gate.training_history import Group, History, groups_of
from tests.run_files import completion, held_out


def history(*, groups=(), evaluations=(), formats=(), concentration=math.inf, **columns) -> History:
    """Columns by key, one value a logged step; ``__`` stands for a slash."""
    length = max((len(values) for values in columns.values()), default=len(groups))
    rows = [
        {"step": at + 1, "loss": 0.0, **{key.replace("__", "/"): values[at] for key, values in columns.items()}}
        for at in range(length)
    ]
    return History(rows, groups, evaluations, formats, concentration)


def answers(*by_step: str) -> list[Group]:
    """A group of four a letter and step: c(orrect), w(rong), n(o answer), m(ixed)."""
    kinds = {
        "c": ((1.0,) * 4, ("correct",) * 4),
        "w": ((0.0,) * 4, ("wrong",) * 4),
        "n": ((0.0,) * 4, ("no_answer",) * 4),
        "m": ((1.0, 0.0, 1.0, 0.0), ("correct", "wrong", "correct", "wrong")),
    }
    return [
        Group(step, f"q{at}", *kinds[letter])
        for step, letters in enumerate(by_step, 1)
        for at, letter in enumerate(letters)
    ]


STEPS = 10
FLAT = [0.5] * STEPS
MIXED, WRONG, HALF = (answers(*[letters] * STEPS) for letters in ("mmmm", "wwww", "ccww"))
EVALUATIONS = [held_out(0, 0.3), held_out(10, 0.3)]
BETTER = [held_out(0, 0.3), held_out(10, 0.4)]
RISING = [0.1] * 5 + [0.6] * 5


def formed(means, groups) -> History:
    """A reward ``form`` that judges no answer had these means."""
    return history(rewards__form__mean=means, groups=groups, formats=("form",))


# check, what is wrong or None where nothing is, the history
CASES = [
    ("reward_collapse", 0.0, history(reward=[0.9] * 5 + [0.0] * 5, groups=MIXED)),
    ("reward_collapse", None, history(reward=[0.9] * 5 + [0.5] * 5, groups=MIXED)),  # over half
    ("reward_collapse", None, history(reward=[0.9] * 5 + [0.0] * 4, groups=MIXED)),  # too short to tell
    ("reward_collapse", None, history(reward=[0.1] * 5 + [0.04] * 5, reward_std=[0.3] * STEPS, groups=MIXED)),  # luck
    ("reward_collapse", None, history(reward=[-2.0] * STEPS, groups=MIXED)),  # nothing but penalties
    ("reward_collapse", None, history(reward=[None] * STEPS, groups=MIXED)),
    ("reward_collapse", 0.0, history(reward=[0.0] * 5 + [0.8] * 5 + [0.0] * 5, groups=MIXED)),  # its best is in between
    ("zero_std_groups", 1 - 2 * 0.5**4, history(reward=FLAT, groups=HALF)),
    ("zero_std_groups", None, history(reward=FLAT, groups=MIXED)),
    ("zero_std_groups", None, history(reward=FLAT, groups=WRONG)),  # at p = 0 all are expected
    ("zero_std_groups", None, history(reward=FLAT, groups=HALF, concentration=0.0)),
    ("zero_std_groups", None, history(reward=FLAT, groups=answers(*["cw"] * STEPS))),  # ten groups are too few
    ("truncation", 1.0, history(completions__clipped_ratio=[0.0] * 5 + [1.0] * 5)),
    ("truncation", None, history(completions__clipped_ratio=[0.2] * STEPS)),
    ("truncation", None, history(completions__clipped_ratio=[1.0] * 4)),
    ("no_answer", 1.0, history(reward=FLAT, groups=answers(*["nnnn"] * STEPS))),
    ("no_answer", None, history(reward=FLAT, groups=answers(*["nnnw"] * 5, *["nwww"] * 5))),  # it falls
    ("no_answer", None, history(reward=FLAT, groups=answers(*["nnww"] * STEPS))),
    ("no_answer", None, history(reward=FLAT)),  # a method without completions
    ("format_without_correctness", 0.5, formed(RISING, WRONG)),
    ("format_without_correctness", None, formed(RISING, answers(*["wwww"] * 5, *["ccww"] * 5))),
    ("format_without_correctness", None, formed(FLAT, WRONG)),
    ("format_without_correctness", None, formed(RISING, answers(*["cccc"] * STEPS))),  # nothing more to gain
    ("format_without_correctness", None, history(rewards__right__mean=RISING, groups=WRONG)),
    ("reward_without_held_out", 0.5, history(reward=RISING, evaluations=EVALUATIONS)),
    ("reward_without_held_out", None, history(reward=RISING, evaluations=BETTER)),
    ("reward_without_held_out", None, history(reward=RISING, evaluations=EVALUATIONS[:1])),
    ("reward_without_held_out", None, history(reward=FLAT, evaluations=EVALUATIONS)),
    ("reward_without_held_out", None, history(reward=[100 * each for each in FLAT], evaluations=EVALUATIONS)),
    ("entropy_collapse", 0.05, history(entropy=[0.4] * 5 + [0.02] * 5)),
    ("entropy_collapse", None, history(entropy=[0.31] * 5 + [0.05] * 5)),
    ("entropy_runaway", 10.0, history(entropy=[0.2] * 5 + [2.0] * 5)),
    ("entropy_runaway", None, history(entropy=[0.01] * 5 + [0.1] * 5)),  # still quiet
    ("entropy_runaway", None, history(entropy=[1.0] * 5 + [2.0] * 5)),
    ("kl_blow_up", 3.0, history(kl=[0.0] * 5 + [3.0] * 5)),
    ("kl_blow_up", None, history(kl=[0.05] * STEPS)),
    ("kl_blow_up", None, history(reward=FLAT)),  # beta = 0 logs none
    ("gradient_zero", 5, history(grad_norm=[0.4] * 5 + [0.0] * 5)),
    ("gradient_zero", None, history(grad_norm=[0.0] * 4 + [0.4] + [0.0] * 4)),
    ("gradient_zero", None, history(reward=FLAT)),
    ("gradient_not_finite", 1, history(grad_norm=[0.4, math.nan])),
    ("gradient_not_finite", 1, history(grad_norm=[0.4, math.inf])),
    ("gradient_not_finite", 1, history(grad_norm=[0.4, None])),  # as metrics.jsonl holds it
    ("gradient_not_finite", None, history(grad_norm=[0.4, 1e30])),
    ("sampling_gap", 0.4, history(**{"sampling__sampling_logp_difference__mean": [0.4] * 5})),
    ("sampling_gap", None, history(**{"sampling__sampling_logp_difference__mean": [0.01] * 5})),
    ("sampling_gap", None, history(reward=FLAT)),
]


@pytest.mark.parametrize(("name", "value", "made"), CASES, ids=lambda each: each if isinstance(each, str) else "")
def test_table(name, value, made):
    check = CHECKS[name]
    seen = check.function(made, check.limit)
    if value is None:
        assert seen is None
    else:
        assert seen.value == pytest.approx(value)
        assert seen.sentence


def test_the_table_has_both_sides_of_every_check():
    for sees in (True, False):
        assert {name for name, value, _ in CASES if (value is not None) is sees} == {
            name for name, check in CHECKS.items() if check.function
        }


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if check.function])
def test_nothing_is_found_in_nothing(name):
    check = CHECKS[name]
    assert check.function(History([]), check.limit) is None
    assert check.function(history(step=[1]), check.limit) is None


def test_limits_change_and_switch_off():
    default = limits({})
    assert default == {name: check.limit for name, check in CHECKS.items()}
    changed = limits({"reward_collapse": 0.2, "no_answer": False, "stall": True})
    assert changed["reward_collapse"] == 0.2
    assert "no_answer" not in changed
    assert changed["stall"] == default["stall"]


def test_a_finding_is_said_once_and_is_fatal_where_it_stops():
    made = history(kl=[3.0] * STEPS, grad_norm=[0.0] * STEPS)
    first = list(look(made, limits({}), stop_on=["kl_blow_up"]))
    assert [(each.check, each.level, each.step) for each in first] == [
        ("kl_blow_up", "fatal", STEPS),
        ("gradient_zero", "warning", STEPS),
    ]
    assert first[0].sentence.endswith("(limit 1)")
    assert list(look(made, limits({}), told={"kl_blow_up", "gradient_zero"})) == []
    assert list(look(made, limits({"kl_blow_up": 5.0, "gradient_zero": False}))) == []


@given(st.floats(0.01, 0.99), st.integers(2, 8))
def test_expected_share_is_the_binomial_one_for_equal_questions(p, size):
    ones = round(p * 1000)
    groups = [Group(1, "q", (float(at < ones),) * 1, (None,)) for at in range(1000)]
    groups += [Group(1, "q", tuple(float(at < round(p * size)) for at in range(size)), (None,) * size)]
    wide = [group for group in groups if len(group.rewards) == size]
    rewards = [reward for group in wide for reward in group.rewards]
    q = sum(rewards) / len(rewards)
    assert expected_share(wide, math.inf) == pytest.approx(q**size + (1 - q) ** size)
    # The more questions differ, the more groups agree with themselves.
    assert expected_share(wide, math.inf) <= expected_share(wide, 5.0) + 1e-9 <= expected_share(wide, 0.0) + 2e-9
    assert expected_share(wide, 0.0) == pytest.approx(1.0)


def test_groups_are_read_from_the_kept_completions():
    lines = [
        completion(group="1/a", question_id="a"),
        completion(group="1/a", question_id="a", reward=None, status="unscored"),
        completion(group="1/b", question_id="b", reward=0.0, status="wrong"),
        completion(step=2, group="2/b", question_id="b", reward=0.0, status="no_answer"),
    ]
    assert groups_of(lines) == [
        Group(1, "a", (1.0, None), ("correct", "unscored")),
        Group(1, "b", (0.0,), ("wrong",)),
        Group(2, "b", (0.0,), ("no_answer",)),
    ]
    assert groups_of([]) == []
    assert not Group(1, "a", (1.0, None), ("correct", None)).differs
