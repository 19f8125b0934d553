"""Evaluations shared out among processes: each question once, the same answers, and a death is said."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from harness.models.engines.shards import Shards
from harness.models.source import resolve_model
from harness.recipe import TaskSection
from harness.store.errors import ModelError, TrainingError
from harness.store.records import SamplingParams
from harness.tasks import load_questions

DECODING = SamplingParams(max_new_tokens=24, temperature=1.0, samples_per_question=2, seed=5)


pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def questions():
    return load_questions(TaskSection(name="arithmetic", train_questions=1, test_questions=11)).test


@pytest.fixture(scope="module")
def alone(questions):
    """The answers of one process, by (question id, sample)."""
    from harness.models import generate, load_policy

    policy = load_policy("tiny", device="cpu")
    return {(each.question_id, each.sample): each for batch in generate(policy, questions, DECODING) for each in batch}


@pytest.fixture
def shards():
    made = []

    def make(processes):
        made.append(Shards(resolve_model("tiny"), "transformers", {}, device="cpu", dtype="auto", processes=processes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def workers():
    family = psutil.Process().children(recursive=True)
    return [each for each in family if "harness.models.engines.shards" in each.cmdline()]


def test_each_question_is_answered_once_whatever_becomes_of_a_process(shards, questions, alone):
    engine = shards(2).open()
    answers = [each for batch in engine.answer(questions, DECODING) for each in batch]
    assert len(answers) == len(alone)
    assert {(each.question_id, each.sample): each for each in answers} == alone
    assert engine.peak_memory_bytes > 50 * 2**20
    assert (engine.name, engine.model, engine.device) == ("transformers", "tiny", "cpu")

    # The same processes take the next questions, and what is answered already is not asked again.
    first = workers()
    skip = set(alone) - {(questions[0].id, 1), (questions[3].id, 0)}
    again = [each for batch in engine.answer(questions, DECODING, skip) for each in batch]
    assert sorted((each.question_id, each.sample) for each in again) == sorted(set(alone) - skip)
    assert {each.pid for each in workers()} == {each.pid for each in first}

    # One that is killed is said, and asking again goes on.
    first[0].send_signal(signal.SIGSTOP)  # so that it has not answered when it is killed
    answers = []

    def ask():
        for batch in engine.answer(questions, DECODING):
            answers.extend(batch)
            first[0].send_signal(signal.SIGKILL)

    with pytest.raises(ModelError, match=r"process \d of 2 was killed by SIGKILL; run again to go on from there"):
        ask()
    assert 0 < len(answers) < len(alone)
    assert not workers()
    answers += [
        each
        for batch in engine.answer(questions, DECODING, {(each.question_id, each.sample) for each in answers})
        for each in batch
    ]
    assert len(answers) == len(alone)
    assert {(each.question_id, each.sample): each for each in answers} == alone

    # A mistake that the user can mend is said as it is.
    with pytest.raises(ModelError, match="lower max_new_tokens"):
        list(engine.answer(questions, SamplingParams(max_new_tokens=100_000)))
    engine.close()
    engine.close()
    assert not workers()


UNLUCKY = """
import os, sys

if "harness.models.engines.shards" in sys.orig_argv:
    print("no luck today", file=sys.stderr, flush=True)
    os._exit(7)
"""


def test_a_process_that_cannot_load_the_model_is_said_with_its_last_lines(monkeypatch, tmp_path, shards):
    (tmp_path / "sitecustomize.py").write_text(UNLUCKY)  # Python runs this before anything else in each process
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match=r"evaluation process 1 of 2 ended with exit code 7") as failure:
        shards(2).open()
    assert "    no luck today" in str(failure.value).splitlines()
    assert not workers()


def test_fewer_gpus_than_processes(monkeypatch):
    monkeypatch.setattr("harness.models.processes.visible_gpus", lambda: ["GPU-a"])
    with pytest.raises(TrainingError, match="2 processes take a GPU each and 1 are visible"):
        Shards(resolve_model("tiny"), "transformers", {}, device="cuda", dtype="auto", processes=2)


def test_each_process_gets_a_gpu_of_its_own_and_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("harness.models.processes.visible_gpus", lambda: ["GPU-a", "GPU-b", "GPU-c"])
    monkeypatch.setattr("harness.models.processes.cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    engine = Shards(resolve_model("tiny"), "transformers", {}, device="cuda", dtype="auto", processes=2)
    given_ = engine._around
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given_] == ["GPU-a", "GPU-b"]
    assert {each["OMP_NUM_THREADS"] for each in given_} == {"4"}
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None
