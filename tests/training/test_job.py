"""Training jobs on the embedded model: what they keep, what a kill or a crash leaves, and how they go on."""

from __future__ import annotations

import shutil

import pytest

from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import TrainingError
from tests.small_recipes import GRPO
from tests.training.advantages import advantages_of, by_group
from tests.training.interrupted import kill_after_checkpoint_2, training_until

SMALL = GRPO | {"train.max_steps": 6, "train.save_steps": 2}


@pytest.fixture(scope="module")
def small():
    return find_recipe("tiny-arithmetic").override(SMALL)


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """One uninterrupted job, shared by the tests that only read."""
    run = Run(small, 0, Settings(runs_dir=tmp_path_factory.mktemp("runs")))
    run.trained()
    return run


@pytest.fixture(scope="module")
def again(small, tmp_path_factory):
    """The same job once more, trained in this process."""
    return Run(small, 0, Settings(runs_dir=tmp_path_factory.mktemp("again"), in_process=True)).trained()


def steps(trained):
    return [row["step"] for row in trained.metrics if "loss" in row]


def test_every_step_and_completion_is_kept(finished):
    trained = finished.trained()
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    assert trained.summary.steps == 6
    rows = trained.completions
    assert [row.step for row in rows] == [step for step in range(1, 7) for _ in range(16)]
    for row in rows:
        assert row.reward == row.rewards["boxed_numeric"]
        assert row.finish_reason in ("stop", "length")
        assert 0 < row.completion_tokens <= 24
        assert row.prompt[-1]["role"] == "user"


def test_advantages_are_those_of_grpo(finished):
    rows = finished.trained().completions
    groups = by_group(rows).values()
    assert {len(rewards) for rewards in groups} == {4}
    assert any(len(set(rewards)) > 1 for rewards in groups), "no group had different rewards: nothing was compared"
    assert [row.advantage for row in rows] == pytest.approx(advantages_of(rows), abs=1e-4)


def test_logged_reward_is_the_mean_of_the_kept_ones(finished):
    trained = finished.trained()
    for row in trained.metrics:
        if "reward" in row:
            kept = [each.reward for each in trained.completions if each.step == row["step"]]
            assert row["reward"] == pytest.approx(sum(kept) / len(kept), abs=1e-6)


def test_final_policy_is_safetensors_and_loads_back(finished):
    from harness.models import load_policy

    folder = finished.trained().model
    assert list(folder.glob("*.safetensors"))
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
    assert load_policy(str(folder), device="cpu").model.num_parameters() > 0


def test_the_same_seed_in_this_process_is_the_same_job(finished, again):
    first, second = ([(row.completion, row.reward) for row in each.completions] for each in (finished.trained(), again))
    assert first == second
    assert steps(again) == steps(finished.trained())


def test_killed_in_the_middle_it_goes_on_from_its_last_checkpoint(small, finished, tmp_path):
    """SIGKILL to the training process after a checkpoint: a failure in words, then the rest and nothing twice."""
    kill_after_checkpoint_2("tiny-arithmetic", SMALL, tmp_path / "runs")
    trained = Run(small, 0, Settings(runs_dir=tmp_path / "runs")).trained()
    assert trained.summary.resumed_from in (2, 4)
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    # Resuming is exact here: the checkpoint holds weights, optimizer and random state.
    assert [row.completion for row in trained.completions] == [row.completion for row in finished.trained().completions]


def test_job_ends_when_the_process_that_asked_is_killed(tmp_path):
    training = training_until("progress.json", "tiny-arithmetic", SMALL | {"train.max_steps": 500}, tmp_path)
    training.asker.kill()
    training.asker.wait(10)
    training.job.wait(20)  # raises TimeoutExpired if it trains on alone


def test_crash_is_an_error_with_the_last_log_lines_and_is_not_tried_twice(small, tmp_path, monkeypatch):
    module = tmp_path / "crashing_reward.py"
    module.write_text(
        "import os\n\ndef reward(prompts, completions, **columns):\n"
        "    print('about to go', flush=True)\n    os.abort()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = small.override({"rewards": {"crashing_reward:reward": 1.0}, "health.signal": False})
    run = Run(recipe, 0, Settings(runs_dir=tmp_path / "runs"))
    with pytest.raises(TrainingError, match="SIGABRT") as failure:
        run.trained()
    assert "about to go" in str(failure.value)
    log = run.directory / "train" / "log.txt"
    before = log.stat().st_mtime_ns
    with pytest.raises(TrainingError, match="SIGABRT"):
        run.trained()
    assert log.stat().st_mtime_ns == before, "a second test of the same session started the job again"


def test_reward_sees_the_same_in_training_as_in_evaluation(small, tmp_path, monkeypatch):
    """TRL's usual conversational reward reads completion[0]["content"]."""
    (tmp_path / "chat_reward.py").write_text(
        "def reward(prompts, completions, ground_truth, **columns):\n"
        "    assert prompts[0][-1]['role'] == 'user'\n"
        "    said = [completion[0]['content'] for completion in completions]\n"
        "    return [float(truth in text) for text, truth in zip(said, ground_truth)]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = small.override({"rewards": {"chat_reward:reward": 1.0}, "train.max_steps": 1})
    run = Run(recipe, 0, Settings(runs_dir=tmp_path / "runs", in_process=True))
    assert {record.reward for record in run.after().records} <= {0.0, 1.0}
    assert {row.reward for row in run.trained().completions} <= {0.0, 1.0}
    assert len(run.trained().completions) == 16


def test_reward_that_raises_ends_the_job_with_one_sentence(small, tmp_path, monkeypatch):
    (tmp_path / "raising_reward.py").write_text("def reward(prompts, completions, **columns):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = Run(small.override({"rewards": {"raising_reward:reward": 1.0}}), 0, Settings(runs_dir=tmp_path / "runs"))
    with pytest.raises(TrainingError) as failure:
        run.trained()
    said = "raised ZeroDivisionError at raising_reward.py:2: division by zero"
    assert str(failure.value) == f'reward function "raising_reward:reward" {said}'


def copied(small, finished, tmp_path):
    """The finished run's directory, copied: same inputs find it under the same name."""
    shutil.copytree(finished.directory, tmp_path / finished.directory.name)
    run = Run(small, 0, Settings(runs_dir=tmp_path, in_process=True))
    assert run.directory.name == finished.directory.name
    return run, run.directory / "train"


def test_torn_logs_and_checkpoints_are_mended(small, finished, tmp_path):
    """A kill can tear the last lines of both logs and the checkpoint being written; nothing of that stays."""
    run, train = copied(small, finished, tmp_path)
    (train / "summary.json").unlink()
    shutil.rmtree(train / "final")
    state = train / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    for name in ("metrics.jsonl", "completions.jsonl"):
        with (train / name).open("a") as file:
            file.write('{"step": 6, "torn')
    trained = run.trained()
    assert trained.summary.resumed_from == 4
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    assert len(trained.completions) == 6 * 16


def test_killed_while_saving_it_trains_no_further_step(small, finished, tmp_path):
    from safetensors.torch import load_file

    run, train = copied(small, finished, tmp_path)
    (train / "summary.json").unlink()  # and final/ is there, perhaps not whole
    trained = run.trained()
    assert trained.summary.steps == 6
    assert not (train / "checkpoint-7").exists()
    ours, theirs = (load_file(each.model / "model.safetensors") for each in (trained, finished.trained()))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_checkpoint_within_a_generation_batch_is_not_resumed(small, tmp_path):
    """With num_iterations = 2 a batch feeds two steps; from between them the trainer would sample it again."""
    recipe = small.override({"train.num_iterations": 2, "train.save_steps": 1, "train.max_steps": 4})
    run = Run(recipe, 0, Settings(runs_dir=tmp_path, in_process=True))
    whole = run.trained()
    train = run.directory / "train"
    (train / "summary.json").unlink()
    shutil.rmtree(train / "checkpoint-4")
    assert (train / "checkpoint-3").is_dir()
    again = Run(recipe, 0, run.settings).trained()
    assert again.summary.resumed_from is None
    assert [row.completion for row in again.completions] == [row.completion for row in whole.completions]
    assert len(again.completions) == 2 * 16
