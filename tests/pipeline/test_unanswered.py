"""Answers that an engine could not have: unscored, never wrong, asked again by the next session and not by this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gate import judge_accuracy
from harness.gate.verdicts import with_ungraded
from harness.pipeline.evaluate import Evaluation, Keys, evaluate
from harness.rewards.grading import grade, summarise
from harness.store.records import Doubt, Generation, SamplingParams, read_records
from harness.store.run_directory import read_json
from harness.tasks import Question
from tests.run_files import read_lines, summary

QUESTIONS = [
    Question(f"q{n}", f"{n}?", str(n), "test", prompt=({"role": "user", "content": f"{n}?"},)) for n in range(6)
]
BY_ID = {question.id: question for question in QUESTIONS}
KEYS = Keys("answers", "grades")


def said(id_: str, error: str | None = None) -> Generation:
    text, reason = ("", "error") if error else (f"\\boxed{{{BY_ID[id_].ground_truth}}}", "stop")
    return Generation(id_, 0, 0, BY_ID[id_].prompt, text, reason, 3, 4, error=error)  # type: ignore[arg-type]


class Flaky:
    """An engine that cannot have some answers, as long as they are in ``lost``."""

    name, model, device = "flaky", "flaky", "cpu"

    def __init__(self, *lost: str) -> None:
        self.lost, self.asked = set(lost), []  # type: ignore[var-annotated]

    def answer(self, questions: Any, decoding: Any, skip: Any = ()) -> Iterator[list[Generation]]:
        wanted = [each.id for each in questions if (each.id, 0) not in skip]
        self.asked += wanted
        yield [said(id_, "HTTP 503" if id_ in self.lost else None) for id_ in wanted]


def run(stage: Path, engine: Any, session: str | None, **more: Any) -> Evaluation:
    rewards = more.pop("rewards", {"boxed_numeric": 1.0})
    keys = more.pop("keys", KEYS)
    decoding = SamplingParams()
    return evaluate(stage, QUESTIONS, rewards, decoding, keys, open_engine=lambda: engine, session=session, **more)


def test_they_are_unscored_and_belong_to_no_accuracy(tmp_path):
    found = run(tmp_path / "before", Flaky("q1", "q4"), "a")
    assert [record.status for record in found.records] == [
        "correct",
        "unscored",
        "correct",
        "correct",
        "unscored",
        "correct",
    ]
    assert found.accuracy == 1.0
    assert set(found.means) == {"q0", "q2", "q3", "q5"}
    assert found.summary.counts == {"correct": 4, "wrong": 0, "no_answer": 0, "unscored": 2}
    told = "2 of 6 answers could not be had: HTTP 503 (2); they are unscored, and the next run asks for them again"
    assert found.summary.unanswered == Doubt(2, 6, told, {"HTTP 503": 2})
    one = found.records[1]
    assert (one.reward, one.rewards, one.extracted, one.error) == (None, {"boxed_numeric": None}, None, "HTTP 503")
    assert list(found.frame()["error"].notna()) == [False, True, False, False, True, False]


def test_one_session_asks_once_and_the_next_one_again(tmp_path):
    engine = Flaky("q1", "q4")
    run(tmp_path / "before", engine, "a")
    assert len(engine.asked) == 6
    run(tmp_path / "before", engine, "a")
    assert len(engine.asked) == 6
    engine.lost = {"q4"}
    assert run(tmp_path / "before", engine, "b").summary.unanswered.answers == 1
    assert engine.asked[6:] == ["q1", "q4"]
    engine.lost = set()
    whole = run(tmp_path / "before", engine, None)
    assert engine.asked[8:] == ["q4"]
    assert (whole.summary.unanswered, whole.summary.session) == (None, None)
    rows = list(read_lines(tmp_path / "before" / "records.jsonl"))
    assert sorted(row["question_id"] for row in rows) == sorted(BY_ID)
    assert not any("error" in row for row in rows)
    run(tmp_path / "before", engine, "c")
    assert len(engine.asked) == 9


def test_another_run_takes_the_answers_and_asks_for_the_others(tmp_path):
    run(tmp_path / "one" / "before", Flaky("q1"), "a")
    engine = Flaky()
    found = run(tmp_path / "two" / "before", engine, "a", others=[tmp_path / "one" / "before"])
    assert engine.asked == ["q1"]
    assert found.summary.reused == {"one": len(QUESTIONS) - 1}


def test_another_grader_leaves_them_what_they_are(tmp_path):
    run(tmp_path / "before", Flaky("q1"), "a")
    engine = Flaky("q1")
    strict = run(tmp_path / "before", engine, "a", rewards={"boxed_exact": 1.0}, keys=Keys("answers", "others"))
    assert engine.asked == ["q1"], "a changed grader asks for what is missing and for nothing else"
    assert strict.records[1].rewards == {"boxed_exact": None}
    assert strict.summary.unanswered.answers == 1


def test_a_killed_run_asks_for_them_again(tmp_path):
    run(tmp_path / "before", Flaky("q1"), "a")
    (tmp_path / "before" / "summary.json").unlink()
    engine = Flaky()
    run(tmp_path / "before", engine, "a")
    assert engine.asked == ["q1"]


def test_rewards_never_see_them(tmp_path):
    generations = [said("q0"), said("q1", "HTTP 500"), said("q2")]
    records = grade(generations, BY_ID, {"format_boxed": 1.0})
    assert [record.reward for record in records] == [1.0, None, 1.0]
    assert [record.status for record in grade([said("q1", "x")], BY_ID, {"format_boxed": 1.0})] == ["unscored"]


@given(st.lists(st.sampled_from([None, "a", "b", "c", "d", "e"]), min_size=1, max_size=6))
def test_the_sentence_counts_them_all(errors):
    generations = [said(f"q{n}", error) for n, error in enumerate(errors)]
    records = grade(generations, BY_ID, {"boxed_numeric": 1.0})
    summary, lost = summarise(records, [f"q{n}" for n in range(len(errors))], 1), sum(map(bool, errors))
    found = summary.unanswered
    assert (found is None) == (lost == 0)
    if found is not None:
        assert found.answers == lost == sum(found.reasons.values())
        assert found.sentence.startswith(f"{lost} of {len(errors)} answers could not be had: ")
    assert summary.counts["unscored"] == lost


@pytest.mark.parametrize(
    ("unscored", "lost", "word", "why"),
    [
        (2, 2, "OK", ""),
        (3, 3, "INCONCLUSIVE", "3 of 100 answers could not be had; of the others: "),
        (3, 0, "INCONCLUSIVE", "3 of 100 answers could not be graded; of the others: "),
        (3, 1, "INCONCLUSIVE", "3 of 100 answers could not be had or graded; of the others: "),
    ],
)
def test_a_pass_needs_answers(unscored, lost, word, why):
    counts = {"correct": 100 - unscored, "wrong": 0, "no_answer": 0, "unscored": unscored}
    passed = judge_accuracy([1.0] * (100 - unscored), min_accuracy=0.5)
    verdict = with_ungraded(passed, summary(counts=counts, unanswered=Doubt(lost, 100, "so") if lost else None))
    assert (verdict.verdict, verdict.sentence) == (word, why + passed.sentence)


def test_a_line_without_the_key_is_read(tmp_path):
    run(tmp_path / "before", Flaky(), None)
    assert all(record.error is None for record in read_records(tmp_path / "before"))
    assert read_json(tmp_path / "before" / "summary.json") is not None
