"""Jobs of two processes on a CPU: nothing is lost or written twice, and a process that is killed is no end."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from tests.run_files import read_lines
from tests.training.advantages import advantages_of, by_group
from tests.training.interrupted import CHECKPOINT_2, told, training_until
from tests.training.two_processes import STEPS, TWO, two

DURING = {"evaluate.every_steps": 3, "evaluate.during_questions": 9, "evaluate.keep_best": True}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One undisturbed job of two processes, with evaluations during it; the tests that share it only read."""
    run = Run(two().override(DURING), 0, Settings(runs_dir=tmp_path_factory.mktemp("runs")))
    run.trained()
    return run


def texts(rows):
    return [(row.step, row.question_id, row.completion, row.advantage) for row in rows]


def test_every_completion_of_every_process_is_kept_once(finished):
    rows = finished.trained().completions
    assert [row.step for row in rows] == STEPS
    assert set(Counter(row.group for row in rows).values()) == {4}
    for step in range(1, 7):
        first, second = ({row.question_id for row in part} for part in halves(rows, step))
        assert len(first) == len(second) == 3
        assert not first & second, "both processes were asked the same questions"
    assert finished.trained().summary.completions == 6 * 24


def halves(rows, step):
    own = [row for row in rows if row.step == step]
    return own[:12], own[12:]


def test_advantages_are_those_of_grpo(finished):
    rows = finished.trained().completions
    assert [row.advantage for row in rows] == pytest.approx(advantages_of(rows), abs=1e-4)
    varied = Counter()
    for place, rewards in enumerate(by_group(rows).values()):
        varied[place % 6 >= 3] += len(set(rewards)) > 1
    assert min(varied[False], varied[True]) > 0, "the groups of one process never differed: nothing was compared"


def test_metrics_and_evaluations_are_written_once(finished):
    trained = finished.trained()
    logged = [row for row in trained.metrics if "loss" in row]
    assert [row["step"] for row in logged] == [1, 2, 3, 4, 5, 6]
    for row in logged:
        kept = [each.reward for each in trained.completions if each.step == row["step"]]
        assert row["reward"] == pytest.approx(sum(kept) / 24, abs=1e-6), "the mean is of both processes"
    assert [row.step for row in trained.evaluations] == [0, 3, 6]
    assert {row.questions for row in trained.evaluations} == {9}


def test_evaluations_are_those_of_one_process(finished, tmp_path):
    """Who asks has no say: the base policy's accuracy on the held-out questions is that of a job of one process."""
    alone = two(launch__nproc_per_node=1, train__max_steps=1, train__save_steps=1).override(DURING)
    trained = Run(alone, 0, Settings(runs_dir=tmp_path, in_process=True)).trained()
    ours, theirs = finished.trained().evaluations[0], trained.evaluations[0]
    assert (ours.accuracy, ours.interval) == (theirs.accuracy, theirs.interval)


def test_the_final_policy_is_one_and_loads(finished):
    from harness.models import load_policy

    trained = finished.trained()
    assert trained.summary.processes == 2
    assert trained.summary.restarts == 0
    assert trained.summary.steps == 6
    assert load_policy(str(trained.model), device="cpu").model.num_parameters() > 0
    train = finished.directory / "train"
    assert not [path.name for path in train.iterdir() if path.name.startswith((".final", ".best", "best-", "launch"))]


def test_a_killed_process_is_no_end(finished, tmp_path):
    """SIGKILL to the second process: all are started again from the last checkpoint, and the result is the same."""
    training = training_until(CHECKPOINT_2, "tiny-arithmetic", TWO | DURING, tmp_path)
    training.ranks()[1].send_signal(signal.SIGKILL)
    assert training.asker.wait(600) == 0, told(tmp_path)
    trained = Run(two().override(DURING), 0, Settings(runs_dir=tmp_path)).trained()
    assert trained.summary.restarts == 1
    assert trained.summary.resumed_from in (2, 4)
    assert [row["step"] for row in trained.metrics if "loss" in row] == [1, 2, 3, 4, 5, 6]
    # Resuming is exact here: the checkpoint holds weights, optimizer and each process's random state.
    assert texts(trained.completions) == texts(finished.trained().completions)
    (found,) = [row for row in trained.health if row.check == "restart"]
    assert found.level == "warning"
    assert found.sentence.startswith("a process of the job died; all 2 go on from step ")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_supervised_jobs_take_the_steps_that_are_planned(method, tmp_path):
    from harness.recipe.trl_arguments import argument_defaults, supervised_steps

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
    assert trained.summary.steps == supervised_steps(arguments, len(trained.data), 2)
    assert trained.summary.steps != supervised_steps(arguments, len(trained.data), 1)


def test_evaluations_of_a_run_are_whole(finished):
    """A stage that is asked in two processes: each question once."""
    before = finished.before()
    rows = list(read_lines(finished.directory / "before" / "records.jsonl"))
    assert sorted(row["question_id"] for row in rows) == sorted(each.id for each in finished.questions.test)
    assert before.summary.questions == 8
    assert before.summary.peak_memory_bytes > 50 * 2**20
    assert finished.loaded._policy is None, "the model was loaded here too, beside the processes that answer"
