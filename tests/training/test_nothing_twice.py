"""What was trained or answered once is found by what decides it: by other recipes, and where it was copied to."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import harness.models
from harness.models.engines import local
from harness.pipeline import run as pipeline
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.rewards import audit as audits
from harness.store import run_directory as run_directory
from harness.store.run_directory import read_json, write_json
from tests.training.jobs import recipe_of, run_of

SMALL = {"train__max_steps": 2, "health__signal_questions": 4, "health__signal": 0.001}


def make(folder: Path, name: str = "first", fresh: bool = False, session: str = "s", seed: int = 0, **changes: Any):
    recipe = recipe_of(**{**SMALL, **changes}).model_copy(update={"name": name})
    return Run(recipe, seed, Settings(runs_dir=folder, in_process=True, fresh=fresh, session=session))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run with every stage made."""
    run = make(tmp_path_factory.mktemp("first"))
    run.verdicts()
    run.release()
    return run


@pytest.fixture
def runs(first, tmp_path):
    """A copy of its runs directory: another path, other inodes, other times."""
    return shutil.copytree(first.settings.runs_dir, tmp_path / "runs", copy_function=shutil.copyfile)


@pytest.fixture
def exits(monkeypatch):
    """Training ends the wait for it: it is about to begin."""
    monkeypatch.setattr(pipeline, "train", lambda *_, **__: pytest.exit("trained"))
    return pytest.raises(pytest.exit.Exception, match="trained")


def refuse(*_: object, **__: object) -> None:
    pytest.fail("something was done again")


def test_training_changes_weights_alone(first):
    base, trained = first.fingerprint(first.base), first.fingerprint(first.final())
    assert {key for key in base if base[key] != trained[key]} == {"weights"}


def test_an_engine_answers_with_the_policy_that_is_loaded(first, monkeypatch):
    loaded, load = [], harness.models.load_policy
    monkeypatch.setattr(harness.models, "load_policy", lambda *given, **more: loaded.append(1) or load(*given, **more))
    run = Run(first.recipe, 0, first.settings)
    policy = run.policy()
    assert run.engine()._policy is policy
    assert run.policy() is policy
    run.loaded.engine(run.final(), "cpu")
    assert len(loaded) == 2
    run.release()


def test_a_copied_directory_has_everything(first, runs, monkeypatch):
    monkeypatch.setattr(pipeline, "train", refuse)
    monkeypatch.setattr(local, "generate", refuse)
    again = make(runs)
    assert again.directory.name == first.directory.name
    assert [each.to_json() for each in again.verdicts()] == [each.to_json() for each in first.verdicts()]
    assert again.trained().metrics == first.trained().metrics
    assert again.reused == {"before": 8, "after": 8, "train": 2}
    assert set(first.reused.values()) == {0}


def test_keys_hold_no_path(first):
    keys = [path for path in first.directory.rglob("*.json") if path.name in ("identity.json", "key.json")]
    assert len(keys) == 4
    for path in keys:
        assert str(first.settings.runs_dir) not in path.read_text(), path


def test_a_recipe_that_trains_the_same_trains_nothing(first, runs, monkeypatch):
    """Whatever it judges by, asks and logs; and weights are not stored twice where the file system can."""
    monkeypatch.setattr(pipeline, "train", refuse)
    gates = {"description": "Another.", "gate__min_accuracy": 0.1, "gate__min_improvement": 0.1, "gate__margin": 0.2}
    asked = {"evaluate__temperature": 0.5, "evaluate__max_new_tokens": 30, "task__test_questions": 12}
    logged = {"train__report_to": "all", "train__save_steps": 1, "train__logging_steps": 2}
    other = make(runs, "other", **gates, **asked, **logged)
    trained = other.trained()
    assert other.directory.name != first.directory.name
    assert trained.summary.source == first.directory.name
    assert trained.directory == other.directory / "train"
    ours, theirs, source = (
        each / "final" / "model.safetensors"
        for each in (trained.directory, first.trained().directory, runs / first.directory.name / "train")
    )
    assert ours.read_bytes() == theirs.read_bytes()
    assert ours.stat().st_ino == source.stat().st_ino
    assert not list(trained.directory.glob("checkpoint-*"))
    for kept in ("metrics", "completions", "health"):
        assert getattr(trained, kept) == getattr(first.trained(), kept)
    assert (other.directory / "signal.json").read_bytes() == (first.directory / "signal.json").read_bytes()
    assert other.reused["train"] == 2


def test_of_a_larger_evaluation_only_the_rest_is_asked(first, runs, monkeypatch):
    asked: list[str] = []
    generate = local.generate

    def noting(policy, questions, decoding, skip=(), **more):
        asked.extend(each.id for each in questions if (each.id, 0) not in skip)
        return generate(policy, questions, decoding, skip, **more)

    monkeypatch.setattr(local, "generate", noting)
    larger = make(runs, task__test_questions=12)
    evaluations = larger.before(), larger.after()
    assert asked == [each.id for each in larger.questions.test[8:]] * 2
    for stage, made in zip(("before", "after"), evaluations, strict=True):
        assert made.summary.reused == {first.directory.name: 8}
        assert made.records[:8] == getattr(first, stage)().records
        assert larger.reused[stage] == 8


@pytest.mark.parametrize("changes", [{"train__learning_rate": 5e-5}, {"task__train_questions": 20}, {"seed": 1}])
def test_another_training_is_trained(runs, exits, changes):
    with exits:
        make(runs, **changes).trained()


def test_fresh_uses_what_its_own_session_made(first, runs, exits):
    with exits:
        make(runs, "other", fresh=True, session="later").trained()
    path = runs / first.directory.name / "environment.json"
    write_json(path, {**read_json(path), "session": "later"})
    assert make(runs, "other", fresh=True, session="later").trained().summary.source == first.directory.name


def test_a_kill_while_copying_leaves_nothing_that_counts(first, runs, monkeypatch):
    other = make(runs, "other")
    train = other.directory / "train"
    train.mkdir()
    (train / "metrics.jsonl").write_text('{"step": 1, "time": 0}\n{"step": 9')
    (train / "error.txt").write_text("it was killed")
    copy = shutil.copytree

    def killed(*arguments, **named):
        copy(*arguments, **named)
        (train / ".final" / "model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            other.trained()
    assert not (train / "summary.json").exists()
    assert not (train / "final").exists()
    again = make(runs, "other").trained()
    assert (again.model / "model.safetensors").is_file()
    assert again.metrics == first.trained().metrics
    assert not (train / "error.txt").exists()


def test_a_policy_that_was_deleted_is_trained_anew(first, runs, exits):
    shutil.rmtree(runs / first.directory.name / "train" / "final")
    with exits:
        make(runs, "other").trained()


def test_the_signal_check_and_the_samples_share_answers(first, runs, monkeypatch):
    """SFT samples the training questions as GRPO's check did, and finds the answers to those that it asked."""
    asked = {"task__train_questions": 24, "data__samples_per_question": 4, "data__max_new_tokens": 24}
    sft = run_of(runs, "sft", **asked)
    samples = sft.samples()
    assert samples.summary.reused == {first.directory.name: 16}
    assert samples.generated == 24 * 4 - 16
    monkeypatch.setattr(local, "generate", refuse)
    check = make(runs, "third", train__learning_rate=5e-5, health__signal_questions=6)
    assert check.trained().summary.steps == 2
    kept = read_json(check.directory / "signal" / "key.json")["reused"]
    assert sum(kept.values()) == 24
    assert len((check.directory / "signal" / "records.jsonl").read_text().splitlines()) == 24


def test_audits_are_kept_by_content(first, runs, monkeypatch):
    made = make(runs)
    audit = made.audit()
    monkeypatch.setattr(audits, "audit_rewards", refuse)
    again = make(runs, "other", gate__margin=0.2)
    assert again.audit() == audit
    assert read_json(again.directory / "audit.json") == read_json(made.directory / "audit.json")
    with pytest.raises(pytest.fail.Exception):
        make(runs, task__test_questions=9).audit()
    first_reward, *others = audit.rewards
    slow = replace(audit, rewards=(replace(first_reward, findings=("slow",)), *others))
    audits.AUDIT.write(made.directory, slow)
    (again.directory / "audit.json").unlink()
    with pytest.raises(pytest.fail.Exception):
        make(runs).audit()


class ToldError(Exception):
    """Ends a wait that would last for as long as the test does."""


@pytest.mark.parametrize("stage", ["train", "before"])
def test_waiting_for_another_process_is_said(first, tmp_path, monkeypatch, stage):
    def announce(heading: str, text: str, share: float | None) -> None:
        if "waiting" in text:
            raise ToldError(heading, text)

    runs, locks = tmp_path / "runs", [path.name for path in (first.settings.runs_dir / ".locks").iterdir()]
    run = Run(first.recipe, 0, Settings(runs_dir=runs, in_process=True, announce=announce))
    monkeypatch.setattr(run_directory, "WAIT_IN_SILENCE_SECONDS", 0.05)
    with ExitStack() as holders:
        for held in [run.directory / "train", *(runs / ".locks" / name for name in locks)]:
            held.mkdir(parents=True, exist_ok=True)
            holders.enter_context(FileLock(held / ".lock"))
        with pytest.raises(ToldError) as told:
            {"train": run.trained, "before": run.before}[stage]()
    title = f"{'GRPO' if stage == 'train' else stage} {run.id}"
    assert told.value.args == (title, "waiting for another process that makes the same")
