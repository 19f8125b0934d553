"""Jobs of two processes on a CPU: nothing is lost or written twice; of one that is killed, hangs or fails, the others
end too or all begin again, and it is said why."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections import Counter
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from harness.models import load_policy
from harness.recipe.trl_arguments import argument_defaults, supervised_steps
from harness.store.errors import TrainingError
from harness.store.run_directory import read_json
from tests.training.advantages import advantages_of, by_group
from tests.training.jobs import TWO, killed_session, ranks, run_of, steps, wait_for

STEPS = [step for step in range(1, 7) for _ in range(24)]  # of each completion, in the order of completions.jsonl
DURING = {"evaluate__every_steps": 3, "evaluate__during_questions": 9, "evaluate__keep_best": True}


def two(folder: Path, **changes: Any):
    return run_of(folder, in_process=False, **{**TWO, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One undisturbed job of two processes, with evaluations during it; the tests that share it only read."""
    run = two(tmp_path_factory.mktemp("runs"), **DURING)
    run.trained()
    return run


def test_everything_is_kept_once(finished):
    trained = finished.trained()
    rows = trained.completions
    assert [row.step for row in rows] == STEPS
    assert set(Counter(row.group for row in rows).values()) == {4}
    for step in range(1, 7):
        own = [row.question_id for row in rows if row.step == step]
        assert len(set(own[:12])) == len(set(own[12:])) == 3
        assert not {*own[:12]} & {*own[12:]}, "both processes were asked the same questions"
    assert [row.advantage for row in rows] == pytest.approx(advantages_of(rows), abs=1e-4)
    varied = Counter()
    for place, rewards in enumerate(by_group(rows).values()):
        varied[place % 6 >= 3] += len(set(rewards)) > 1
    assert min(varied[False], varied[True]) > 0, "the groups of one process never differed: nothing was compared"

    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    for row in (row for row in trained.metrics if "loss" in row):
        kept = [each.reward for each in rows if each.step == row["step"]]
        assert row["reward"] == pytest.approx(sum(kept) / 24, abs=1e-6), "the mean is of both processes"
    assert [(row.step, row.questions) for row in trained.evaluations] == [(0, 9), (3, 9), (6, 9)]
    told = {key: getattr(trained.summary, key) for key in ("completions", "processes", "restarts", "steps")}
    assert told == {"completions": 6 * 24, "processes": 2, "restarts": 0, "steps": 6}
    assert load_policy(str(trained.model), device="cpu").model.num_parameters() > 0
    left = [path.name for path in (finished.directory / "train").iterdir()]
    assert not [name for name in left if name.startswith((".final", ".best", "best-", "launch"))]


def test_evaluations_are_those_of_one_process(finished, tmp_path):
    """Who asks has no say: the base policy's accuracy on the held-out questions is that of a job of one process."""
    one = {"launch__nproc_per_node": 1, "train__max_steps": 1, "train__save_steps": 1}
    ours, *_ = run_of(tmp_path, **{**TWO, **DURING, **one}).trained().evaluations
    theirs, *_ = finished.trained().evaluations
    assert (ours.accuracy, ours.interval) == (theirs.accuracy, theirs.interval)


def test_a_process_that_is_killed(finished, tmp_path):
    """All are started again from the last checkpoint, as often as ``max_restarts`` says; then it is an error in words.
    Asked again, the job goes on, and its result is that of the one which nobody killed: a checkpoint holds weights,
    optimizer and each process's random state."""

    def kill_twice() -> None:
        for checkpoint in (2, 4):
            wait_for(partial(glob, f"{tmp_path}/*/train/checkpoint-{checkpoint}/trainer_state.json"))
            ranks()[1].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_twice, daemon=True)
    killer.start()
    run = two(tmp_path, launch__max_restarts=1, **DURING)
    said = r"process 1 of the 2 of the training job was killed by SIGKILL.*run again to go on from its last checkpoint"
    with pytest.raises(TrainingError, match=said):
        run.trained()
    killer.join()
    trained = two(tmp_path, launch__max_restarts=0, **DURING).trained()
    assert trained.directory == run.directory / "train"
    assert trained.summary.resumed_from in (2, 4, 6)
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    (found,) = [row for row in trained.health if row.check == "restart"]
    assert found.level == "warning"
    assert found.sentence.startswith("a process of the job died; all 2 go on from step ")

    def texts(each: Any) -> list[Any]:
        return [(row.step, row.question_id, row.completion, row.advantage) for row in each.completions]

    assert texts(trained) == texts(finished.trained())


@pytest.mark.slow
def test_all_processes_end_when_the_session_is_killed(tmp_path):
    """As that of a job of one process does, which tests/training/test_job.py kills the session of."""
    killed_session(tmp_path, "completions.jsonl", **{**TWO, "train__max_steps": 500})


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("srun-of-another-machine", "[launch] command: 'srun-of-another-machine' cannot be run"),
        ("env", "[launch] nproc_per_node: the job is one of 2 processes and was started with 1"),
    ],
)
def test_a_command_that_starts_no_such_job(tmp_path, command, said):
    with pytest.raises(TrainingError) as failure:
        two(tmp_path, launch__command=[command]).trained()
    assert str(failure.value).startswith(said)
    assert "\n" not in str(failure.value), "what a process itself said is all that is said"


SRUN = """
import subprocess, sys

tasks = [subprocess.Popen(sys.argv[1:]) for _ in range(2)]
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.mark.slow
def test_a_command_starts_the_processes_of_two_machines(tmp_path):
    """What srun does: the same command once on each of two "machines"; there torchrun starts one process."""
    (tmp_path / "srun.py").write_text(SRUN)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        endpoint = f"localhost:{probe.getsockname()[1]}"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nnodes=2", "--nproc-per-node=1"]
    command = [sys.executable, str(tmp_path / "srun.py"), *torchrun, "--rdzv-backend=c10d"]
    trained = two(tmp_path / "runs", launch__command=[*command, f"--rdzv-endpoint={endpoint}"]).trained()
    assert trained.summary.processes == 2
    assert [row.step for row in trained.completions] == STEPS


# Rewards that fail in one way or another in the second process.
FAULTY = {
    "raises": "    return 1 / 0\n",
    "flaky": "    if second and calls == 3:\n        raise ValueError('no reply')\n",
    "hangs": "    if second and calls > 2:\n        time.sleep(1000)\n",
}
REWARD = """
import os, time

calls = 0

def reward(prompts, completions, **columns):
    global calls
    calls += 1
    second = os.environ["RANK"] == "1"
{fault}
    return [float(len(each[0]["content"]) % 2) for each in completions]
"""


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """``faulty("raises", **changes)``: a job whose reward does so."""

    def make(kind: str, reward: Any = 1.0, **changes: Any):
        (tmp_path / f"{kind}_reward.py").write_text(REWARD.replace("{fault}", FAULTY[kind]))
        monkeypatch.syspath_prepend(str(tmp_path))
        return two(tmp_path / "runs", rewards={f"{kind}_reward:reward": reward}, **changes)

    return make


@pytest.mark.slow
def test_what_cannot_work_is_said_once_and_not_tried_again(faulty):
    with pytest.raises(TrainingError) as failure:
        faulty("raises", launch__max_restarts=3).trained()
    raised = "raised ZeroDivisionError at raises_reward.py:10: division by zero"
    assert str(failure.value) == f'reward function "raises_reward:reward" {raised}'


@pytest.mark.slow
def test_faults_of_rewards_are_those_of_all_processes(faulty):
    run = faulty("flaky", train__max_steps=4)
    run.trained()
    (faults,) = (read_json(run.directory / "train" / "rewards.json") or {})["functions"].values()
    assert faults["retried"] == 1
    assert faults["retried_for"] == "raised ValueError at flaky_reward.py:11: no reply"
    assert faults["completions"] == 4 * 24


@pytest.mark.slow
def test_a_hung_process_is_named_and_not_those_that_wait_for_it(faulty):
    run = faulty("hangs", {"weight": 1.0, "timeout_seconds": 900}, health__stall_seconds=15)
    with pytest.raises(TrainingError, match="no progress") as failure:
        run.trained()
    assert "torch/distributed" not in str(failure.value)
    assert "it hung in" in str(failure.value)


@pytest.mark.slow
def test_a_check_that_stops_the_training_stops_all_processes(tmp_path):
    stop = {"health__stop_on": ["no_answer"], "health__no_answer": 0.01}
    trained = two(tmp_path, train__max_steps=40, train__save_steps=40, **stop).trained()
    assert trained.summary.stopped.check == "no_answer"
    assert trained.summary.steps < 40


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_supervised_jobs_take_the_steps_that_are_planned(method, tmp_path):
    per_step = {"train__per_device_train_batch_size": 3, "train__gradient_accumulation_steps": 2}
    changes = {"train__num_train_epochs": 2, "train__max_steps": None, "launch__nproc_per_node": 2}
    run = run_of(tmp_path, method, in_process=False, **per_step, **changes)
    trained = run.trained()
    arguments = {**argument_defaults(method), **run.recipe.train.arguments}
    assert trained.summary.steps == supervised_steps(arguments, len(trained.data), 2)
    assert trained.summary.steps != supervised_steps(arguments, len(trained.data), 1)
