"""Training jobs on the embedded model: what they keep, what a kill or a crash leaves, and how they go on."""

from __future__ import annotations

import shutil

import pytest

from harness.models import load_policy
from harness.store.errors import TrainingError
from tests.training.advantages import advantages_of, by_group
from tests.training.jobs import CHECKPOINT_2, killed_session, run_of, steps, weights_of

SMALL = {"train__max_steps": 6, "train__save_steps": 2}
SAVED = {"train__save_steps": 1, "train__max_steps": 4, "train__num_iterations": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted job, which the tests only read."""
    run = run_of(tmp_path_factory.mktemp("runs"), **SMALL)
    run.trained()
    return run


def said(trained):
    return [(row.completion, row.reward) for row in trained.completions]


def test_everything_is_kept(finished):
    trained = finished.trained()
    rows = trained.completions
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    assert trained.summary.steps == 6
    assert [row.step for row in rows] == [step for step in range(1, 7) for _ in range(16)]
    for row in rows:
        assert row.reward == row.rewards["boxed_numeric"]
        assert row.finish_reason in ("stop", "length")
        assert 0 < row.completion_tokens <= 24
        assert row.prompt[-1]["role"] == "user"
    groups = by_group(rows).values()
    assert {len(rewards) for rewards in groups} == {4}
    assert any(len(set(rewards)) > 1 for rewards in groups), "no group had different rewards: nothing was compared"
    assert [row.advantage for row in rows] == pytest.approx(advantages_of(rows), abs=1e-4)
    for row in trained.metrics:
        if "reward" in row:
            kept = [each.reward for each in rows if each.step == row["step"]]
            assert row["reward"] == pytest.approx(sum(kept) / len(kept), abs=1e-6)
    assert weights_of(trained.model)
    assert not [path for path in trained.model.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
    assert load_policy(str(trained.model), device="cpu").model.num_parameters() > 0


def test_killed_with_its_session_it_goes_on_from_its_last_checkpoint(finished, tmp_path):
    """The process that trained ends with the one that asked; then the rest, nothing twice, and no other result than
    that of the job which nobody killed: a checkpoint holds weights, optimizer and random state."""
    killed_session(tmp_path, CHECKPOINT_2, **SMALL)
    assert not list(tmp_path.glob("*/train/summary.json"))
    trained = run_of(tmp_path, **SMALL).trained()
    assert trained.summary.resumed_from in (2, 4)
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    assert said(trained) == said(finished.trained())


def test_a_crash_is_an_error_with_the_last_log_lines_and_is_not_tried_twice(tmp_path, monkeypatch):
    (tmp_path / "crashing_reward.py").write_text(
        "import os\n\ndef reward(prompts, completions, **columns):\n"
        "    print('about to go', flush=True)\n    os.abort()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    run = run_of(tmp_path / "runs", in_process=False, rewards={"crashing_reward:reward": 1.0})
    with pytest.raises(TrainingError, match="the training job was killed by SIGABRT") as failure:
        run.trained()
    assert "about to go" in str(failure.value)
    log = run.directory / "train" / "log.txt"
    before = log.stat().st_mtime_ns
    with pytest.raises(TrainingError, match="SIGABRT"):
        run.trained()
    assert log.stat().st_mtime_ns == before, "a second test of the same session started the job again"


def test_a_reward_that_raises_ends_the_job_with_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "raising_reward.py").write_text("def reward(prompts, completions, **columns):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TrainingError) as failure:
        run_of(tmp_path / "runs", rewards={"raising_reward:reward": 1.0}).trained()
    raised = "raised ZeroDivisionError at raising_reward.py:2: division by zero"
    assert str(failure.value) == f'reward function "raising_reward:reward" {raised}'


def test_what_a_kill_leaves_is_mended(finished, tmp_path):
    """It can come while the policy is saved, and tear the last lines of both logs and the last checkpoint."""
    shutil.copytree(finished.directory, tmp_path / finished.directory.name)
    run, whole = run_of(tmp_path, **SMALL), finished.trained()
    assert run.directory.name == finished.directory.name, "the same job is found under the same name"
    train = run.directory / "train"
    (train / "summary.json").unlink()  # and final/ is there, perhaps not whole
    saved = run.trained()
    assert saved.summary.steps == 6
    assert not (train / "checkpoint-7").exists()
    ours, theirs = (weights_of(each.model) for each in (saved, whole))
    assert all((ours[name] == theirs[name]).all() for name in theirs)

    (train / "summary.json").unlink()
    shutil.rmtree(train / "final")
    state = train / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    for name in ("metrics.jsonl", "completions.jsonl"):
        with (train / name).open("a") as file:
            file.write('{"step": 6, "torn')
    again = run_of(tmp_path, **SMALL).trained()
    assert again.summary.resumed_from == 4
    assert steps(again) == [1, 2, 3, 4, 5, 6]
    assert said(again) == said(whole)


def chat(prompts, completions, ground_truth, **columns):
    """TRL's usual conversational reward reads ``completion[0]["content"]``."""
    assert prompts[0][-1]["role"] == "user"
    texts = [completion[0]["content"] for completion in completions]
    return [float(truth in text) for text, truth in zip(texts, ground_truth, strict=True)]


def test_a_checkpoint_within_a_generation_batch_is_not_resumed(tmp_path):
    """With num_iterations = 2 a batch feeds two steps; from between them the trainer would sample it again. The reward
    is one of the user's own: it sees the same in training as in an evaluation."""
    run = run_of(tmp_path, rewards={f"{__name__}:chat": 1.0}, **SAVED)
    whole = run.trained()
    assert {row.reward for row in whole.completions} == {0.0, 1.0}
    assert {record.reward for record in run.after().records} <= {0.0, 1.0}
    train = run.directory / "train"
    (train / "summary.json").unlink()
    shutil.rmtree(train / "checkpoint-4")
    assert (train / "checkpoint-3").is_dir()
    again = run_of(tmp_path, rewards={f"{__name__}:chat": 1.0}, **SAVED).trained()
    assert again.summary.resumed_from is None
    assert said(again) == said(whole)
    assert len(again.completions) == 2 * 16
