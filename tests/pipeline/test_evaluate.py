"""Evaluations without a model: what is asked, what is kept, and what is not done twice."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.gate import accuracy_interval
from harness.pipeline import evaluate as evaluation_module
from harness.pipeline.evaluate import Evaluation, Keys, evaluate
from harness.rewards import Grade, reward_function
from harness.rewards.grading import summarise
from harness.store import files, records
from harness.store.errors import TaskError, WriteError
from harness.store.files import RecordError
from harness.store.records import Generation, Record, SamplingParams, question_means
from harness.store.run_directory import read_json
from harness.tasks import Question

QUESTIONS = [
    Question(f"q{n}", f"{n} + {n}?", str(2 * n), "test", prompt=({"role": "user", "content": f"{n} + {n}?"},))
    for n in range(6)
]
REWARDS = {"boxed_numeric": 1.0, "format_boxed": 0.5}
KEYS = Keys("answers", "grades")
Evaluate = Callable[..., Evaluation]
# What the policy says by question and sample: right; right to the flexible grader alone; wrong; no answer; cut off.
SAID = {
    "q0": ["\\boxed{0}"] * 2,
    "q1": ["\\boxed{2.0}", "\\boxed{2}"],
    "q2": ["\\boxed{5}", "\\boxed{4}"],
    "q3": ["6", "\\boxed{7}"],
    "q4": ["\\boxed{8}", "so it is"],
    "q5": ["", "\\boxed{10}"],
}


FIRST = ["correct", "correct", "wrong", "no_answer", "correct", "no_answer"]  # statuses of the first samples
TWICE = [(question.id, sample) for question in QUESTIONS for sample in (0, 1)]


def closed() -> Any:
    pytest.fail("the policy was opened")


EXACT = {"keys": Keys("answers", "exact"), "rewards": {"boxed_exact": 1.0}, "open_engine": closed}


class Model:
    """An engine that answers in batches of two, last question first, and counts."""

    name, model, device = "made-up", "made-up", "cpu"

    def __init__(self) -> None:
        self.opened = 0
        self.asked: list[tuple[str, int]] = []
        self.fail_after: int | None = None

    def open(self) -> Any:
        self.opened += 1
        return self

    def answer(
        self, questions: Sequence[Question], decoding: SamplingParams, skip: Collection[tuple[str, int]]
    ) -> Iterator[list[Generation]]:
        wanted = [(q, n) for q in reversed(questions) for n in range(decoding.samples_per_question)]
        wanted = [(q, n) for q, n in wanted if (q.id, n) not in skip]
        for start in range(0, len(wanted), 2):
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise RuntimeError("the power went")
            batch = wanted[start : start + 2]
            self.asked += [(q.id, n) for q, n in batch]
            yield [self.said(q, n, decoding.seed) for q, n in batch]

    def said(self, question: Question, sample: int, seed: int) -> Generation:
        said, cut = SAID[question.id][sample], SAID[question.id][sample] == "so it is"
        return Generation(question.id, sample, seed, question.prompt, said, "length" if cut else "stop", 10, len(said))


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def run(model: Model, tmp_path: Path) -> Evaluate:
    """``evaluate`` in a stage directory of its own, one greedy answer a question."""

    def run(stage: str = "run-a/before", *, keys: Keys = KEYS, samples: int = 1, **more: Any) -> Evaluation:
        decoding = SamplingParams(temperature=float(samples > 1), samples_per_question=samples, seed=7)
        arguments = {"rewards": REWARDS, "questions": QUESTIONS, "open_engine": model.open, **more}
        return evaluate(tmp_path / stage, sampling=decoding, keys=keys, **arguments)

    return run


def test_a_fresh_evaluation(run: Evaluate, model: Model) -> None:
    told: list[tuple[int, int]] = []
    evaluation = run(progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 6), (2, 6), (4, 6), (6, 6)]
    assert model.opened == 1
    assert [record.question_id for record in evaluation.records] == [f"q{n}" for n in range(6)]
    assert [record.status for record in evaluation.records] == FIRST
    assert [record.extracted for record in evaluation.records] == ["0", "2.0", "5", None, "8", None]
    assert [record.reward for record in evaluation.records] == [1.5, 1.5, 0.5, 0.0, 1.5, 0.0]
    assert evaluation.records[1].grades["boxed_exact"] == records.Grade("2.0", correct=False)
    assert read_json(evaluation.directory / "key.json") == {"generation": "answers", "grading": "grades"}


def test_summary_numbers(run: Evaluate) -> None:
    evaluation = run()
    summary = read_json(evaluation.directory / "summary.json") or {}
    assert summary.pop("interval") == list(evaluation.interval) == list(accuracy_interval([1, 1, 0, 0, 1, 0]))
    assert summary.pop("seconds") >= 0
    assert summary.pop("peak_memory_bytes") > 0
    assert (len(summary.pop("records")), len(summary.pop("digest"))) == (32, 64)
    assert summary == {
        "questions": 6,
        "planned_questions": 6,
        "samples_per_question": 1,
        "accuracy": 0.5,
        "strict_accuracy": 2 / 6,
        "flexible_accuracy": 3 / 6,
        "counts": {"correct": 3, "wrong": 1, "no_answer": 2, "unscored": 0},
        "truncated": 0,
        "mean_reward": 5 / 6,
        "rewards": {"boxed_numeric": 0.5, "format_boxed": 4 / 6},
        "prompt_tokens": 60,
        "completion_tokens": sum(len(said[0]) for said in SAID.values()),
        "generation_key": "answers",
        "grading_key": "grades",
        "device": "cpu",
        "model": "made-up",
    }
    assert evaluation.accuracy == 0.5


def test_several_samples(run: Evaluate) -> None:
    evaluation = run(samples=2)
    assert [(record.question_id, record.sample) for record in evaluation.records] == TWICE
    assert evaluation.means == {"q0": 1.0, "q1": 1.0, "q2": 0.5, "q3": 0.0, "q4": 0.5, "q5": 0.5}
    assert evaluation.accuracy == pytest.approx(3.5 / 6)
    assert evaluation.interval == pytest.approx(accuracy_interval(list(evaluation.means.values())))
    assert evaluation.summary.counts == {"correct": 7, "wrong": 2, "no_answer": 3, "unscored": 0}
    assert evaluation.summary.truncated == 1
    assert {record.seed for record in evaluation.records} == {7}


def test_frame(run: Evaluate) -> None:
    frame = run(samples=2).frame()
    assert len(frame) == 12
    first, *fields = [name for name in Record.__dataclass_fields__ if name not in ("rewards", "grades")]
    graders = ["boxed_exact", "boxed_numeric"]
    assert list(frame.columns) == [first, "question", *fields, "reward:boxed_numeric", "reward:format_boxed", *graders]
    assert frame["reward:boxed_numeric"].sum() == 7
    assert frame[frame["question_id"] == "q1"]["boxed_exact"].tolist() == [False, True]
    assert (frame["status"] == "correct").tolist() == frame["boxed_numeric"].tolist()


def test_a_finished_stage_is_read(run: Evaluate, tmp_path: Path) -> None:
    first = run()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = run(open_engine=closed)
    assert (again.records, again.summary) == (first.records, first.summary)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_missing_is_asked_and_no_more(run: Evaluate, model: Model) -> None:
    model.fail_after = 4
    with pytest.raises(RuntimeError, match="the power went"):
        run(samples=2)
    kept = list(model.asked)
    told, model.fail_after, model.asked = [], None, []
    resumed = run(samples=2, progress=lambda done, total: told.append(done))
    assert told == [4, 6, 8, 10, 12]
    assert sorted([*kept, *model.asked]) == TWICE
    whole = run("run-b/before", samples=2)
    assert resumed.records == whole.records
    assert resumed.summary.counts == whole.summary.counts


def test_a_torn_record_is_asked_again_and_a_spoilt_one_is_said(run: Evaluate, model: Model) -> None:
    evaluation = run()
    path = evaluation.directory / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    spoilt = json.loads(lines[1])
    del spoilt["status"]
    path.write_text(lines[0] + json.dumps(spoilt) + "\n" + "".join(lines[2:]))
    (evaluation.directory / "summary.json").unlink()
    with pytest.raises(RecordError, match=r"records\.jsonl:2: status: is missing; run the recipe again"):
        Evaluation(evaluation.directory, evaluation.order).means  # noqa: B018
    said: list[str] = []
    assert run(say=said.append, open_engine=closed).records == evaluation.records
    assert said == [f"{path}:2: 1 line not as written; 1 answer graded anew"]
    path.write_text("".join(lines[:5]) + lines[5][:-9])
    (evaluation.directory / "summary.json").unlink()
    model.asked, said = [], []
    again = run(say=said.append)
    assert (model.asked, said) == ([(json.loads(lines[5])["question_id"], 0)], [])
    assert again.records == evaluation.records


@pytest.mark.parametrize("kept", ["key.json", "summary.json", "neither"])
def test_whose_answers_they_are_is_known_by_either_file(kept: str, run: Evaluate, model: Model) -> None:
    stage, said = run().directory, list[str]()
    for name in {"key.json", "summary.json"} - {kept}:
        (stage / name).unlink()
    model.asked = []
    run(say=said.append)
    assert len(model.asked) == (6 if kept == "neither" else 0)
    told = f"{stage / 'key.json'}: does not say whose answers lie beside it; all are asked anew"
    assert said == ([told] if kept == "neither" else [])


def test_a_kill_while_grades_are_made_good_leaves_nothing_that_is_believed(
    run: Evaluate, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run()
    path = first.directory / "records.jsonl"
    path.write_text(path.read_text().replace('"status": "correct"', '"status": "wrong"'))
    calls = iter(range(100))

    def killed(*_: object) -> list[Record]:
        next(calls)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("harness.rewards.grading.grade", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert next(calls) == 1
    assert (run().accuracy, run().records) == (first.accuracy, first.records)


class Full:
    """A file on a disk that takes so many writes more, of all files together."""

    left = 0

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, text: str) -> None:
        Full.left -= 1
        if Full.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write(text)

    def writelines(self, parts: Iterable[str]) -> None:
        for each in parts:
            self.write(each)

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("writes", range(12))
def test_a_disk_that_is_full_is_a_sentence_and_costs_no_answer(
    writes: int, run: Evaluate, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        file = opened(path, mode, *arguments, **more)
        return Full(file) if mode in ("x", "a") else file

    whole = run("whole/before")
    Full.left, model.asked = writes, []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        if writes < 8:  # key.json, six records, summary.json
            with pytest.raises(WriteError, match=r"\.json.?: cannot be written \(No space left on device\); make room"):
                run()
        else:
            run()
    left = [path.name for path in (tmp_path / "run-a").rglob("*") if path.name not in ("before", "records.jsonl")]
    assert set(left) <= {"key.json", "summary.json"}, "no half of a file lies there"
    assert run().records == whole.records
    assert len(model.asked) <= 6 + 2, "at most a batch is asked twice"


def test_a_changed_grader_grades_again_without_asking(run: Evaluate) -> None:
    first = run()
    again = run(keys=Keys("answers", "stricter"), rewards={"boxed_exact": 2.0}, open_engine=closed)
    assert [record.completion for record in again.records] == [record.completion for record in first.records]
    assert [record.status for record in again.records] == ["correct", "wrong", *FIRST[2:]]
    assert (again.accuracy, again.summary.mean_reward) == (2 / 6, 4 / 6)
    assert again.summary.grading_key == "stricter"
    measured = ("seconds", "device", "model", "peak_memory_bytes")
    assert [getattr(again.summary, key) for key in measured] == [getattr(first.summary, key) for key in measured]


def test_changed_ground_truths_grade_again(run: Evaluate) -> None:
    run()
    corrected = [replace(question, ground_truth="5") for question in QUESTIONS]
    again = run(keys=Keys("answers", "corrected"), questions=corrected, open_engine=closed)
    assert again.means == {question.id: float(question.id == "q2") for question in QUESTIONS}


def test_answers_of_another_run_are_adopted(run: Evaluate, tmp_path: Path) -> None:
    first = run()
    stages = [tmp_path / "nowhere", tmp_path / "run-b" / "before", tmp_path / "run-a" / "before"]
    same = run("run-b/before", others=stages, open_engine=closed)
    assert same.records == first.records
    assert (same.summary.reused, first.summary.reused) == ({"run-a": 6}, {})
    regraded = run("run-c/before", **EXACT, others=stages)
    assert regraded.accuracy == 2 / 6
    assert first.accuracy == Evaluation(first.directory, first.order).accuracy == 0.5


def test_unfinished_answers_are_adopted_and_other_ones_are_not(run: Evaluate, model: Model, tmp_path: Path) -> None:
    model.fail_after = 2
    with pytest.raises(RuntimeError):
        run("run-a/before")
    model.fail_after = None
    run("run-b/before", keys=Keys("other answers", "grades"))
    model.asked.clear()
    run("run-c/before", others=[tmp_path / "run-a" / "before", tmp_path / "run-b" / "before"])
    assert len(model.asked) == 4


def test_answers_of_another_policy_are_set_aside(run: Evaluate, model: Model, tmp_path: Path) -> None:
    old = (run().directory / "records.jsonl").read_bytes()
    model.asked.clear()
    new = run(keys=Keys("other answers", "grades"))
    assert len(model.asked) == 6
    assert new.summary.generation_key == "other answers"
    (aside,) = (tmp_path / "run-a").glob(".before-*")
    assert (aside / "records.jsonl").read_bytes() == old


def test_grades_that_fail_do_not_stand_in_for_the_old_ones(run: Evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("grades_nothing_here")
    module.nothing = reward_function(lambda completion, truth: Grade(None, None))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    first = run()
    records, summary = first.records, first.summary
    broken = {"keys": Keys("answers", "broken"), "rewards": {"grades_nothing_here:nothing": 1.0}}
    for _ in range(2):
        with pytest.raises(TaskError, match=r"no answer could be graded; .* functions grades_nothing_here:nothing"):
            run(**broken, open_engine=closed)
    assert run("run-b/before", others=[first.directory], open_engine=closed).records == records
    back = run(open_engine=closed)
    assert (back.records, back.summary) == (records, summary)


@pytest.mark.parametrize(("module", "step"), [(files, "write_lines"), (evaluation_module, "summarise")])
def test_a_kill_while_grading_again_is_made_good(
    module: ModuleType, step: str, run: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, done = run(), getattr(module, step)

    def kill(*arguments: Any, **named: Any) -> None:
        done(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, step, kill)
    with pytest.raises(KeyboardInterrupt):
        run(**EXACT)
    monkeypatch.setattr(module, step, done)
    assert run(open_engine=closed).records == first.records
    assert run(**EXACT).accuracy == 2 / 6


def record(question: str, status: str, **more: Any) -> Record:
    correct = {"correct": True, "unscored": None}.get(status, False)
    grades = {name: records.Grade(None, correct) for name in ("boxed_exact", "boxed_numeric")}
    values = {"question_id": question, "sample": 0, "seed": 0, "prompt": (), "completion": "", "finish_reason": "stop"}
    values |= {"prompt_tokens": 1, "completion_tokens": 1, "ground_truth": "1", "extracted": None, "status": status}
    return Record(**{**values, "reward": None, "rewards": {"r": None}, "grades": grades, **more})


def test_unscored_answers_are_counted_and_belong_to_no_accuracy() -> None:
    records = [record("a", "correct", reward=1.0, rewards={"r": 1.0}), record("b", "wrong"), record("c", "unscored")]
    summary = summarise(records, ["a", "b", "c"], 1)
    assert summary.counts == {"correct": 1, "wrong": 1, "no_answer": 0, "unscored": 1}
    assert summary.accuracy == summary.strict_accuracy == summary.flexible_accuracy == 0.5
    assert summary.interval == accuracy_interval([1.0, 0.0])
    assert (summary.mean_reward, summary.rewards) == (1.0, {"r": 1.0})
    assert question_means(records) == {"a": 1.0, "b": 0.0}
