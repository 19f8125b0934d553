"""Jobs of two processes on a CPU: nothing is lost or written twice, and a process that is killed is no end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from harness.catalog import find_recipe
from harness.errors import TrainingError
from harness.pipeline import Run, Settings
from harness.runs import read_json, read_lines
from tests.small_recipes import GRPO
from tests.training.advantages import advantages_of, by_group

TWO = GRPO | {
    "task.train_questions": 60,
    "train.per_device_train_batch_size": 12,  # 24 in all, 6 groups of 4: each process has whole groups
    "train.max_steps": 6,
    "train.save_steps": 2,
    "launch.nproc_per_node": 2,
}
DURING = {"evaluate.every_steps": 3, "evaluate.during_questions": 9, "evaluate.keep_best": True}


def recipe(**changes):
    return find_recipe("tiny-arithmetic").override(
        TWO | {key.replace("__", "."): value for key, value in changes.items()}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One undisturbed job of two processes, with evaluations during it; the tests that share it only read."""
    run = Run(recipe().override(DURING), 0, Settings(runs_dir=tmp_path_factory.mktemp("runs")))
    run.trained()
    return run


def session(runs_dir, made, **settings):
    """A session of its own that trains a recipe, in a process that a test may kill."""
    (runs_dir.parent / "tiny-arithmetic.toml").write_text(made.to_toml())
    script = (
        "import sys; from pathlib import Path; from harness.pipeline import Run, Settings\n"
        "from harness.recipe import load_recipe\n"
        f"run = Run(load_recipe(sys.argv[1]), 0, Settings(runs_dir=Path(sys.argv[2]), **{settings!r}))\n"
        "run.trained()\n"
    )
    with (runs_dir.parent / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", script, str(runs_dir.parent / "tiny-arithmetic.toml"), str(runs_dir)], stderr=stderr
        )


def wait_for(found, parent, runs_dir, seconds=240):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert parent.poll() is None, (runs_dir.parent / "stderr").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def ranks_of(parent):
    """The training processes by rank."""
    family = psutil.Process(parent.pid).children(recursive=True)
    workers = [each for each in family if "harness.training.worker" in each.cmdline()[:5]]
    return {int(each.environ()["RANK"]): each for each in workers}


def checkpoint(runs_dir, step):
    return lambda: list(runs_dir.glob(f"*/train/checkpoint-{step}/trainer_state.json"))


def texts(rows):
    return [(row["step"], row["question_id"], row["completion"], row["advantage"]) for row in rows]


def test_every_completion_of_every_process_is_kept_once(finished):
    rows = finished.trained().completions
    assert [row["step"] for row in rows] == [step for step in range(1, 7) for _ in range(24)]
    assert set(Counter(row["group"] for row in rows).values()) == {4}
    for step in range(1, 7):
        first, second = ({row["question_id"] for row in part} for part in halves(rows, step))
        assert len(first) == len(second) == 3
        assert not first & second, "both processes were asked the same questions"
    assert finished.trained().summary["completions"] == 6 * 24


def halves(rows, step):
    own = [row for row in rows if row["step"] == step]
    return own[:12], own[12:]


def test_advantages_are_those_of_grpo(finished):
    rows = finished.trained().completions
    assert [row["advantage"] for row in rows] == pytest.approx(advantages_of(rows), abs=1e-4)
    varied = Counter()
    for place, rewards in enumerate(by_group(rows).values()):
        varied[place % 6 >= 3] += len(set(rewards)) > 1
    assert min(varied[False], varied[True]) > 0, "the groups of one process never differed: nothing was compared"


def test_metrics_and_evaluations_are_written_once(finished):
    trained = finished.trained()
    logged = [row for row in trained.metrics if "loss" in row]
    assert [row["step"] for row in logged] == [1, 2, 3, 4, 5, 6]
    for row in logged:
        kept = [each["reward"] for each in trained.completions if each["step"] == row["step"]]
        assert row["reward"] == pytest.approx(sum(kept) / 24, abs=1e-6), "the mean is of both processes"
    assert [row["step"] for row in trained.evaluations] == [0, 3, 6]
    assert {row["questions"] for row in trained.evaluations} == {9}


def test_evaluations_are_those_of_one_process(finished, tmp_path):
    """Who asks has no say: the base policy's accuracy on the held-out questions is that of a job of one process."""
    alone = recipe(launch__nproc_per_node=1, train__max_steps=1, train__save_steps=1).override(DURING)
    trained = Run(alone, 0, Settings(runs_dir=tmp_path, in_process=True)).trained()
    ours = finished.trained().evaluations[0]
    assert {key: ours[key] for key in ("accuracy", "interval")} == {
        key: trained.evaluations[0][key] for key in ("accuracy", "interval")
    }


def test_the_final_policy_is_one_and_loads(finished):
    from harness.policy import load_policy

    trained = finished.trained()
    assert trained.summary["processes"] == 2
    assert trained.summary["restarts"] == 0
    assert trained.summary["steps"] == 6
    assert load_policy(str(trained.model), device="cpu").model.num_parameters() > 0
    train = finished.directory / "train"
    assert not [path.name for path in train.iterdir() if path.name.startswith((".final", ".best", "best-", "launch"))]


def test_a_killed_process_is_no_end(finished, tmp_path):
    """SIGKILL to the second process: all are started again from the last checkpoint, and the result is the same."""
    runs = tmp_path / "runs"
    parent = session(runs, recipe().override(DURING))
    wait_for(checkpoint(runs, 2), parent, runs)
    ranks_of(parent)[1].send_signal(signal.SIGKILL)
    assert parent.wait(240) == 0, (tmp_path / "stderr").read_text()
    trained = Run(recipe().override(DURING), 0, Settings(runs_dir=runs)).trained()
    assert trained.summary["restarts"] == 1
    assert trained.summary["resumed_from"] in (2, 4)
    assert [row["step"] for row in trained.metrics if "loss" in row] == [1, 2, 3, 4, 5, 6]
    # Resuming is exact here: the checkpoint holds weights, optimizer and each process's random state.
    assert texts(trained.completions) == texts(finished.trained().completions)
    (found,) = [row for row in trained.health if row["check"] == "restart"]
    assert found["level"] == "warning"
    assert found["sentence"].startswith("a process of the job died; all 2 go on from step ")


def test_a_killed_process_that_is_not_started_again_ends_the_job_in_words(tmp_path):
    runs = tmp_path / "runs"
    parent = session(runs, recipe(launch__max_restarts=0))
    wait_for(checkpoint(runs, 2), parent, runs)
    ranks_of(parent)[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert parent.wait(60) != 0, "the other process waits for the one that is gone"
    assert time.monotonic() - killed < 60
    said = (tmp_path / "stderr").read_text()
    assert "process 1 of the 2 of the training job was killed by SIGKILL" in said
    assert "run again to go on from its last checkpoint" in said

    trained = Run(recipe(launch__max_restarts=0), 0, Settings(runs_dir=runs)).trained()
    assert trained.summary["resumed_from"] in (2, 4)
    assert [row["step"] for row in trained.completions] == [step for step in range(1, 7) for _ in range(24)]


def test_all_processes_end_when_the_session_is_killed(tmp_path):
    runs = tmp_path / "runs"
    parent = session(runs, recipe(train__max_steps=500))
    wait_for(lambda: list(runs.glob("*/train/completions.jsonl")), parent, runs)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(ranks_of(parent)) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)
    _, alive = psutil.wait_procs(family, 40)
    assert not alive, f"they train on alone: {alive}"


def test_what_cannot_work_is_said_once_and_not_tried_again(tmp_path, monkeypatch):
    (tmp_path / "raising_reward.py").write_text("def reward(prompts, completions, **columns):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = recipe(rewards={"raising_reward:reward": 1.0}, launch__max_restarts=3)
    run = Run(made, 0, Settings(runs_dir=tmp_path / "runs"))
    with pytest.raises(TrainingError) as failure:
        run.trained()
    assert str(failure.value) == 'reward function "raising_reward:reward" raised ZeroDivisionError: division by zero'


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
    made = recipe(rewards={"flaky_reward:reward": 1.0}, train__max_steps=4, health__signal=False)
    run = Run(made, 0, Settings(runs_dir=tmp_path / "runs"))
    run.trained()
    (faults,) = (read_json(run.directory / "train" / "rewards.json") or {})["functions"].values()
    assert faults["retried"] == 1
    assert faults["retried_for"] == "raised ValueError: no reply"
    assert faults["completions"] == 4 * 24


@pytest.mark.slow
def test_a_check_that_stops_the_training_stops_all_processes(tmp_path):
    made = recipe(health__stop_on=["no_answer"], health__no_answer=0.01, train__max_steps=40, train__save_steps=40)
    trained = Run(made, 0, Settings(runs_dir=tmp_path)).trained()
    assert trained.summary["stopped"]["check"] == "no_answer"
    assert trained.summary["steps"] < 40


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
    made = recipe(rewards=rewards, health__stall_seconds=15, health__signal=False)
    with pytest.raises(TrainingError, match="no progress") as failure:
        Run(made, 0, Settings(runs_dir=tmp_path / "runs")).trained()
    assert "torch/distributed" not in str(failure.value)
    assert "it hung in" in str(failure.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_supervised_jobs_take_the_steps_that_are_planned(method, tmp_path):
    from harness.training.arguments import argument_defaults, supervised_steps

    changes = {
        "task.train_questions": 16,
        "task.test_questions": 8,
        "train.per_device_train_batch_size": 3,
        "train.num_train_epochs": 2,
        "train.gradient_accumulation_steps": 2,
        "evaluate.max_new_tokens": 24,
        "launch.nproc_per_node": 2,
    }
    made = find_recipe(f"tiny-arithmetic-{method}").override(changes)
    trained = Run(made, 0, Settings(runs_dir=tmp_path)).trained()
    arguments = {**argument_defaults(method), **made.train.arguments}
    assert trained.summary["steps"] == supervised_steps(arguments, len(trained.data), 2)
    assert trained.summary["steps"] != supervised_steps(arguments, len(trained.data), 1)


SRUN = """
import subprocess, sys

command = [part for part in sys.argv[1:] if not part.startswith("--nodes")]
tasks = [subprocess.Popen(command) for _ in range(2)]
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.mark.slow
def test_a_launcher_starts_the_machines(tmp_path):
    """A launcher that does what srun does: the same command once on each of two "machines"."""
    (tmp_path / "srun.py").write_text(SRUN)
    prefix = [sys.executable, str(tmp_path / "srun.py"), "--nodes=2"]
    endpoint = f"localhost:{free_port()}"
    made = recipe(launch__nproc_per_node=1, launch__nnodes=2, launch__prefix=prefix, launch__rdzv_endpoint=endpoint)
    trained = Run(made, 0, Settings(runs_dir=tmp_path / "runs")).trained()
    assert trained.summary["processes"] == 2
    assert [row["step"] for row in trained.completions] == [step for step in range(1, 7) for _ in range(24)]


def test_a_launcher_that_is_not_there(tmp_path):
    made = recipe(launch__prefix=["srun-of-another-machine"])
    with pytest.raises(TrainingError, match=r"\[launch\] prefix: 'srun-of-another-machine' cannot be run"):
        Run(made, 0, Settings(runs_dir=tmp_path)).trained()


@pytest.mark.slow
def test_two_machines(tmp_path):
    """Two "machines" on this one: the session starts one agent, ``rl-harness join`` the other."""
    runs = tmp_path / "runs"
    runs.mkdir()
    made = recipe(launch__nproc_per_node=1, launch__nnodes=2, launch__rdzv_endpoint=f"localhost:{free_port()}")
    command = [sys.executable, "-m", "harness.cli", "join", str(runs), "--jobs", "1", "--idle", "200"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    parent = session(runs, made)
    try:
        assert parent.wait(240) == 0, (tmp_path / "stderr").read_text()
        said, _ = other.communicate(timeout=60)
    finally:
        other.kill()
        parent.kill()
    assert "joined 1 job" in said
    assert "done" in said
    trained = Run(made, 0, Settings(runs_dir=runs)).trained()
    assert trained.summary["processes"] == 2
    assert [row["step"] for row in trained.completions] == [step for step in range(1, 7) for _ in range(24)]


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_one_process_cannot_be_two(tmp_path):
    with pytest.raises(TrainingError, match="one process cannot be 2"):
        Run(recipe(), 0, Settings(runs_dir=tmp_path, in_process=True)).trained()


def test_evaluations_of_a_run_are_whole(finished):
    """A stage that is asked in two processes: each question once."""
    before = finished.before()
    rows = list(read_lines(finished.directory / "before" / "records.jsonl"))
    assert sorted(row["question_id"] for row in rows) == sorted(each.id for each in finished.questions.test)
    assert before.summary["questions"] == 8
    assert before.summary["peak_memory_bytes"] > 50 * 2**20
    assert finished._loaded._policy is None, "the model was loaded here too, beside the processes that answer"
    canary = read_json(finished.directory / "before" / "canary.json") or {}
    assert canary["questions"] == 8
    assert canary["level"] in ("ok", "texts")
