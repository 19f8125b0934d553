"""An evaluation that a verdict may end: a look at a time, and what was not asked is not wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.gate import accuracy_interval
from harness.gate.statistics import anytime_interval
from harness.pipeline.evaluate import EarlyStop, Keys, evaluate
from harness.store.records import Generation, SamplingParams
from harness.tasks import Question

QUESTIONS = [
    Question(f"q{n}", f"{n}?", str(n), "test", prompt=({"role": "user", "content": f"{n}?"},)) for n in range(100)
]


@pytest.fixture
def ask(tmp_path):
    """``ask(decided)`` evaluates a policy that gets every third question wrong; ``ask.asked`` is what it was asked."""
    asked: list[str] = []

    def answer(questions, decoding, skip):
        wanted = [question for question in questions if (question.id, 0) not in skip]
        for question in reversed(wanted):
            asked.append(question.id)
            said = "no idea" if int(question.text[:-1]) % 3 == 0 else rf"\boxed{{{question.ground_truth}}}"
            yield [Generation(question.id, 0, 0, question.prompt, said, "stop", 5, 7)]

    def run(decided=None, stage="after"):
        return evaluate(
            tmp_path / stage,
            QUESTIONS,
            {"boxed_numeric": 1.0},
            SamplingParams(),
            Keys("answers", "grades"),
            open_engine=lambda: SimpleNamespace(model="made-up", device="cpu", answer=answer),
            early=decided and EarlyStop([32, 64, 96, 100], decided),
        )

    run.asked = asked
    return run


def test_stops_at_the_look_where_the_verdict_is_known(ask):
    looks = []

    def decided(means, asked):
        looks.append((len(means), asked))
        return asked >= 64

    evaluation = ask(decided)
    assert looks == [(32, 32), (64, 64)]
    assert set(ask.asked) == {question.id for question in QUESTIONS[:64]}
    assert evaluation.summary.questions == 64
    assert evaluation.summary.planned_questions == 100
    assert evaluation.accuracy == pytest.approx(sum(n % 3 != 0 for n in range(64)) / 64)


def test_interval_is_anytime_valid_and_says_so(ask):
    evaluation = ask(lambda means, asked: asked >= 64)
    values = [float(n % 3 != 0) for n in range(64)]
    assert evaluation.summary.interval_kind == "anytime"
    assert evaluation.interval == pytest.approx(anytime_interval(values))
    low, high = accuracy_interval(values)
    assert evaluation.interval[0] < low < high < evaluation.interval[1]


def test_undecided_asks_everything(ask):
    evaluation = ask(lambda means, asked: False)
    assert evaluation.summary.questions == 100
    assert len(ask.asked) == 100
    assert evaluation.summary.interval_kind == "anytime"


def test_kept_answers_are_not_asked_again(ask):
    ask(lambda means, asked: asked >= 64)
    del ask.asked[:]
    ask(lambda means, asked: asked >= 64)
    assert ask.asked == []
    ask(lambda means, asked: asked >= 96)
    assert set(ask.asked) == {question.id for question in QUESTIONS[64:96]}


def test_asking_all_later_completes_it_with_a_fixed_interval(ask):
    ask(lambda means, asked: True)
    del ask.asked[:]
    evaluation = ask(None)
    assert len(ask.asked) == 100 - 32
    assert evaluation.summary.questions == 100
    assert evaluation.summary.interval_kind == "fixed"


def test_all_asked_earlier_is_enough_for_any_verdict(ask):
    ask(None)
    del ask.asked[:]
    evaluation = ask(lambda means, asked: pytest.fail("everything is there"))
    assert ask.asked == []
    assert evaluation.summary.interval_kind == "fixed"
