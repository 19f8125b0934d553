"""Jobs of two processes on a CPU of which one is killed, hangs or fails: the others end too, and it is said why."""

from __future__ import annotations

import signal
import socket
import sys
import time

import psutil
import pytest

from harness.pipeline.run import Run, Settings
from harness.store.errors import TrainingError
from harness.store.run_directory import read_json
from tests.training.interrupted import CHECKPOINT_2, told, training_until
from tests.training.two_processes import STEPS, changed, two


def test_a_killed_process_that_is_not_started_again_ends_the_job_in_words(tmp_path):
    training = training_until(CHECKPOINT_2, "tiny-arithmetic", changed(launch__max_restarts=0), tmp_path)
    training.ranks()[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert training.asker.wait(60) != 0, "the other process waits for the one that is gone"
    assert time.monotonic() - killed < 60
    said = told(tmp_path)
    assert "process 1 of the 2 of the training job was killed by SIGKILL" in said
    assert "run again to go on from its last checkpoint" in said

    trained = Run(two(launch__max_restarts=0), 0, Settings(runs_dir=tmp_path)).trained()
    assert trained.summary.resumed_from in (2, 4)
    assert [row.step for row in trained.completions] == STEPS


def test_all_processes_end_when_the_session_is_killed(tmp_path):
    training = training_until("completions.jsonl", "tiny-arithmetic", changed(train__max_steps=500), tmp_path)
    family = training.family()
    assert len(training.ranks()) == 2
    training.asker.kill()
    training.asker.wait(10)
    _, alive = psutil.wait_procs(family, 40)
    assert not alive, f"they train on alone: {alive}"


def test_what_cannot_work_is_said_once_and_not_tried_again(tmp_path, monkeypatch):
    (tmp_path / "raising_reward.py").write_text("def reward(prompts, completions, **columns):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = two(rewards={"raising_reward:reward": 1.0}, launch__max_restarts=3)
    run = Run(made, 0, Settings(runs_dir=tmp_path / "runs"))
    with pytest.raises(TrainingError) as failure:
        run.trained()
    said = "raised ZeroDivisionError at raising_reward.py:2: division by zero"
    assert str(failure.value) == f'reward function "raising_reward:reward" {said}'


FLAKY = """
import os

calls = 0

def reward(prompts, completions, **columns):
    global calls
    calls += 1
    if os.environ["RANK"] == "1" and calls == 3:
        raise ValueError("no reply")
    return [float(len(completion[0]["content"]) % 2) for completion in completions]
"""


@pytest.mark.slow
def test_faults_of_rewards_are_those_of_all_processes(tmp_path, monkeypatch):
    (tmp_path / "flaky_reward.py").write_text(FLAKY)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = two(rewards={"flaky_reward:reward": 1.0}, train__max_steps=4, health__signal=False)
    run = Run(made, 0, Settings(runs_dir=tmp_path / "runs"))
    run.trained()
    (faults,) = (read_json(run.directory / "train" / "rewards.json") or {})["functions"].values()
    assert faults["retried"] == 1
    assert faults["retried_for"] == "raised ValueError at flaky_reward.py:10: no reply"
    assert faults["completions"] == 4 * 24


@pytest.mark.slow
def test_a_check_that_stops_the_training_stops_all_processes(tmp_path):
    made = two(health__stop_on=["no_answer"], health__no_answer=0.01, train__max_steps=40, train__save_steps=40)
    trained = Run(made, 0, Settings(runs_dir=tmp_path)).trained()
    assert trained.summary.stopped.check == "no_answer"
    assert trained.summary.steps < 40


HANGING = """
import os, time

calls = 0

def reward(prompts, completions, **columns):
    global calls
    calls += 1
    if os.environ["RANK"] == "1" and calls > 2:
        wait_for_a_judge()
    return [1.0] * len(completions)

def wait_for_a_judge():
    time.sleep(1000)
"""


@pytest.mark.slow
def test_a_hung_process_is_named_and_not_those_that_wait_for_it(tmp_path, monkeypatch):
    (tmp_path / "hanging_reward.py").write_text(HANGING)
    monkeypatch.syspath_prepend(str(tmp_path))
    rewards = {"hanging_reward:reward": {"weight": 1.0, "timeout_seconds": 900}}
    made = two(rewards=rewards, health__stall_seconds=15, health__signal=False)
    with pytest.raises(TrainingError, match="no progress") as failure:
        Run(made, 0, Settings(runs_dir=tmp_path / "runs")).trained()
    assert "torch/distributed" not in str(failure.value)
    assert "it hung in" in str(failure.value)


def test_a_command_that_is_not_there(tmp_path):
    made = two(launch__command=["srun-of-another-machine"], health__signal=False)
    with pytest.raises(TrainingError, match=r"\[launch\] command: 'srun-of-another-machine' cannot be run"):
        Run(made, 0, Settings(runs_dir=tmp_path)).trained()


def test_a_command_that_starts_another_number_of_processes(tmp_path):
    made = two(launch__command=["env"], health__signal=False)
    with pytest.raises(TrainingError) as failure:
        Run(made, 0, Settings(runs_dir=tmp_path)).trained()
    said = "[launch] nproc_per_node: the job is one of 2 processes and was started with 1"
    assert str(failure.value) == said


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
    made = two(launch__command=[*command, f"--rdzv-endpoint={endpoint}"])
    trained = Run(made, 0, Settings(runs_dir=tmp_path / "runs")).trained()
    assert trained.summary.processes == 2
    assert [row.step for row in trained.completions] == STEPS
