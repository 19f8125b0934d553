"""Evaluations shared out among processes: each question once, the same answers, and a death is no end."""

from __future__ import annotations

import os
import re
import signal
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.engines.shards import Shards, dealt
from harness.models.source import resolve_model
from harness.recipe import EngineSection, TaskSection
from harness.store.errors import ModelError, TrainingError
from harness.store.question import Question
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

    def make(processes, **more):
        made.append(
            Shards(resolve_model("tiny"), EngineSection(), device="cpu", dtype="auto", processes=processes, **more)
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def workers():
    family = psutil.Process().children(recursive=True)
    return [each for each in family if "harness.models.engines.shard_worker" in each.cmdline()]


@given(lengths=st.lists(st.integers(0, 500), max_size=60), processes=st.integers(1, 9))
def test_every_question_is_dealt_once_and_shares_are_even(lengths, processes):
    asked = [
        Question(str(place), "", "", "test", prompt=({"role": "user", "content": "x" * length},))
        for place, length in enumerate(lengths)
    ]
    shares = dealt(asked, processes)
    assert len(shares) == processes
    assert sorted((each.id for share in shares for each in share), key=int) == [each.id for each in asked]
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    work = [sum(len(each.prompt[0]["content"]) for each in share) for share in shares]
    assert max(work) - min(work) <= max(lengths, default=0)


def test_answers_are_those_of_one_process_each_once(shards, questions, alone):
    engine = shards(2).open()
    answers = [each for batch in engine.answer(questions, DECODING) for each in batch]
    assert len(answers) == len(alone)
    assert {(each.question_id, each.sample): each for each in answers} == alone
    assert engine.peak_memory_bytes > 50 * 2**20
    assert (engine.name, engine.model, engine.device) == ("transformers", "tiny", "cpu")

    # The same processes take the next questions, and what is answered already is not asked again.
    before = {each.pid for each in workers()}
    skip = set(alone) - {(questions[0].id, 1), (questions[3].id, 0)}
    again = [each for batch in engine.answer(questions, DECODING, skip) for each in batch]
    assert sorted((each.question_id, each.sample) for each in again) == sorted(set(alone) - skip)
    assert {each.pid for each in workers()} == before
    pipes = [each._process.stdout for each in engine._shards]
    engine.close()
    engine.close()
    assert not workers()
    until = time.monotonic() + 10
    while not all(pipe.closed for pipe in pipes) and time.monotonic() < until:
        time.sleep(0.05)  # by the thread that listens
    assert all(pipe.closed for pipe in pipes)


def test_a_killed_process_is_started_again_for_what_it_had_not_answered(shards, questions, alone):
    said = []
    engine = shards(2, say=said.append)
    answers = []
    for batch in engine.answer(questions, DECODING):
        if not answers:
            workers()[0].send_signal(signal.SIGKILL)
        answers += batch
    assert len(answers) == len(alone)
    assert {(each.question_id, each.sample): each for each in answers} == alone
    if said:  # it had not answered everything when it was killed
        assert "was killed by SIGKILL" in said[0]


UNLUCKY = """
import os, pathlib, signal, sys

if "harness.models.engines.shard_worker" in sys.orig_argv:
    {what}
"""
ONCE = """try:
        pathlib.Path(__file__).with_name("gone").touch(exist_ok=False)
    except FileExistsError:
        pass
    else:
        os.kill(os.getpid(), signal.SIGKILL)"""
ALWAYS = "print('no luck today', file=sys.stderr, flush=True); os._exit(7)"


def unlucky(tmp_path, monkeypatch, what):
    """Python runs this before anything else in each process."""
    (tmp_path / "sitecustomize.py").write_text(UNLUCKY.format(what=what))
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_process_that_dies_before_it_answers_is_asked_again(shards, questions, alone, monkeypatch, tmp_path):
    unlucky(tmp_path, monkeypatch, ONCE)
    said = []
    answers = [each for batch in shards(2, say=said.append).answer(questions, DECODING) for each in batch]
    assert len(answers) == len(alone)
    assert {(each.question_id, each.sample): each for each in answers} == alone
    (text,) = said
    assert re.fullmatch(
        r"evaluation process [12] of 2 was killed by SIGKILL, "
        r"with ([56]) of its \1 questions not answered; it is started again",
        text,
    )


def test_a_process_that_dies_twice_is_an_error_that_names_it(shards, questions, monkeypatch, tmp_path):
    unlucky(tmp_path, monkeypatch, ALWAYS)
    said = []
    with pytest.raises(ModelError, match=r"evaluation process \d of 2 ended with exit code 7 again") as failure:
        list(shards(2, say=said.append).answer(questions, DECODING))
    assert "no luck today" in str(failure.value)
    assert said
    assert all("ended with exit code 7, with " in text for text in said)


def test_a_process_that_cannot_load_the_model_is_said_before_anything_is_asked(monkeypatch, tmp_path, shards):
    unlucky(tmp_path, monkeypatch, ALWAYS)
    said = []
    with pytest.raises(ModelError, match=r"evaluation process \d of 2 .* again, while it loaded the model"):
        shards(2, say=said.append).open()
    assert said
    assert not workers()


def test_an_error_that_the_user_can_mend_is_said_as_it_is(shards, questions):
    with pytest.raises(ModelError, match="lower max_new_tokens"):
        list(shards(2).answer(questions, SamplingParams(max_new_tokens=100_000)))
    assert not workers()


def test_fewer_gpus_than_processes(monkeypatch):
    monkeypatch.setattr("harness.models.processes.visible_gpus", lambda: ["GPU-a"])
    with pytest.raises(TrainingError, match="2 processes take a GPU each and 1 are visible"):
        Shards(resolve_model("tiny"), EngineSection(), device="cuda", dtype="auto", processes=2)


def test_each_process_gets_a_gpu_of_its_own_and_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("harness.models.processes.visible_gpus", lambda: ["GPU-a", "GPU-b", "GPU-c"])
    monkeypatch.setattr("harness.models.processes.cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    engine = Shards(resolve_model("tiny"), EngineSection(), device="cuda", dtype="auto", processes=2)
    given_ = [each._environment for each in engine._shards]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given_] == ["GPU-a", "GPU-b"]
    assert {each["OMP_NUM_THREADS"] for each in given_} == {"4"}
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None
