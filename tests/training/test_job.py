"""Training jobs on the embedded model: what they keep, what a kill or a crash leaves, and how they go on."""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace

import pytest

from harness.models import load_policy
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.store.errors import TrainingError
from harness.store.files import JsonFile
from harness.store.run_directory import PRIVATE, locked, write_private
from harness.store.run_files import PROGRESS
from harness.training import job
from harness.training.launcher import _failure
from tests.training.advantages import advantages_of, by_group
from tests.training.jobs import CHECKPOINT_2, killed_session, recipe_of, run_of, steps, weights_of

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


def test_where_a_slow_step_stands_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_EVERY_SECONDS", 0.0)
    told, write = [], JsonFile.write

    def noted(self, directory, state, **how):
        told.extend([state] if self is PROGRESS else ())
        write(self, directory, state, **how)

    monkeypatch.setattr(JsonFile, "write", noted)
    small = {"train__per_device_train_batch_size": 4, "train__gradient_accumulation_steps": 4, "train__max_steps": 1}
    run_of(tmp_path, **small).trained()
    sampled, updated = ([each.parts for each in told if each.doing == doing] for doing in ("sampling", "updating"))
    assert {each.of for each in told if each.doing == "sampling"} == {16}
    assert sampled == sorted(sampled)
    assert len(set(sampled)) > 3, "a completion is counted when it ends"
    assert sampled[-1] == 16
    assert updated == [1, 2, 3], "the fourth ends the step"
    assert (told[-1].step, told[-1].doing) == (1, "")


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


@pytest.mark.parametrize("how", ["cut", "a weight gone", "all gone", "cut, with its last checkpoint"])
def test_a_policy_that_is_not_as_training_left_it_is_made_again(how, finished, tmp_path):
    """From its last whole checkpoint, and it is the same policy; the next session has nothing to say."""
    shutil.copytree(finished.directory, tmp_path / finished.directory.name)
    train, said_of = tmp_path / finished.directory.name / "train", []
    weights = [train / "final/model.safetensors"]
    if "checkpoint" in how:
        weights.append(train / "checkpoint-6/model.safetensors")
    if how == "all gone":
        shutil.rmtree(train / "final")
    for each in weights if how != "all gone" else ():
        if how == "a weight gone":
            each.unlink()
        else:
            each.write_bytes(each.read_bytes()[:-100])

    def session():
        said_of.clear()
        say = lambda stage, text: said_of.append(text)  # noqa: E731
        return Run(recipe_of(**SMALL), 0, Settings(runs_dir=tmp_path, in_process=True, say=say)).trained()

    again = session()
    lies = "is gone" if how == "all gone" else r"is not as training left it, and is now \.final-\d+"
    assert re.fullmatch(rf"{train}/final: {lies}; the policy is made again from its last checkpoint", said_of[0])
    assert again.summary.resumed_from == (4 if "checkpoint" in how else 6)
    assert steps(again) == [1, 2, 3, 4, 5, 6]
    ours, theirs = (weights_of(each.model) for each in (again, finished.trained()))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    session()
    assert said_of == []


def test_a_job_that_died_without_a_word_is_not_asked_for_one(tmp_path):
    (tmp_path / "log.txt").write_text("")
    job = SimpleNamespace(launch={}, processes=1)
    said = str(_failure(job, tmp_path, -9)).splitlines()
    assert said == [
        "the training job was killed by SIGKILL (on a full machine that is the system's out-of-memory killer) after "
        "step 0; run again to go on from its last checkpoint. It printed nothing"
    ]


def test_no_secret_stays_of_a_session_that_was_killed(finished, tmp_path):
    """``job.json`` holds the rewards' parameters while the job runs; the next session sees that nobody runs it."""
    shutil.copytree(finished.directory, tmp_path / finished.directory.name)
    path = tmp_path / finished.directory.name / "train/job.json"
    secret = "hf_" + "a1" * 17
    write_private(path, {**json.loads(path.read_text()), "rewards": {"judge": {"weight": 1.0, "api_key": secret}}})
    with locked(path.parent):
        run_of(tmp_path, **SMALL).directory  # noqa: B018
        assert secret in path.read_text(), "somebody runs it"
    run_of(tmp_path, train__max_steps=1).directory  # noqa: B018 (another run)
    assert secret not in path.read_text()
    assert json.loads(path.read_text())["rewards"]["judge"]["weight"] == 1.0
    path.write_text("{torn")
    path.chmod(PRIVATE)
    run_of(tmp_path, **SMALL).directory  # noqa: B018
    assert not path.exists()


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
