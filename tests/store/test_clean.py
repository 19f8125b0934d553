"""What of a folder of runs may go, and what stays: runs under way, baselines' runs, and all that is not ours."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from harness.store.clean import find, remove
from harness.store.records import SUMMARY
from harness.store.run_directory import locked, set_aside
from harness.store.run_files import ENVIRONMENT, IDENTITY, NAME, TRAINED, Name
from tests.run_files import environment, identity, summary, trained

WEIGHTS = 100_000
DAY = 86_400


def made(root: Path, name: str, *, checkpoints: int = 2, days: float = 0, finished: bool = True) -> Path:
    """A run that was used so many days ago."""
    run = root / name
    IDENTITY.write(run, identity())
    ENVIRONMENT.write(run, environment())
    NAME.write(run, Name(name, name))
    for folder in ("final", *(f"checkpoint-{step}" for step in range(checkpoints))):
        (run / "train" / folder).mkdir(parents=True)
        (run / "train" / folder / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
    if finished:
        TRAINED.write(run / "train", trained())
    for path in run.rglob("*"):
        os.utime(path, (time.time() - days * DAY,) * 2)
    return run


def free(root: Path, **how: object) -> set[str]:
    """What is freed, as paths from the folder of runs on, and that what was said of its size is true."""
    before = {path for path in root.rglob("*") if path.is_file()}
    found = find(root, **how)
    assert all(remove(piece, root) for piece in found.pieces)
    gone = {path.relative_to(root) for path in before if not path.exists()}
    assert sum(piece.size for piece in found.pieces) >= WEIGHTS * sum(path.suffix == ".safetensors" for path in gone)
    assert find(root).size == pytest.approx(found.size - sum(piece.size for piece in found.pieces), abs=20_000)
    return {"/".join(path.parts[:3] if path.parts[1:2] == ("train",) else path.parts[:2]) for path in gone}


def test_checkpoints_of_finished_trainings_and_replaced_runs_go(tmp_path):
    made(tmp_path, "one")
    made(tmp_path, "torn", finished=False)
    set_aside(made(tmp_path, "two"))
    (old,) = (tmp_path / ".replaced").iterdir()
    assert free(tmp_path) == {"one/train/checkpoint-0", "one/train/checkpoint-1", f".replaced/{old.name}"}
    assert (tmp_path / "one/train/final/model.safetensors").is_file()
    assert free(tmp_path) == set()


def test_two_runs_of_one_name_are_told_apart(tmp_path):
    for folder in ("units", "units-0123456789ab", "other"):
        NAME.write(made(tmp_path, folder, days=9), Name("units", "units"))
    SUMMARY.write(tmp_path / "other/baseline", summary())
    found = find(tmp_path, runs=True, older_than=0)
    assert found.kept == ("units (other): a baseline was recorded from it",)
    assert sorted(piece.name for piece in found.pieces if piece.kind == "run") == [
        "units (units)",
        "units (units-0123456789ab)",
    ]


CHOICES = [
    ({"older_than": 10 * DAY}, {"old", "older"}, set()),
    ({"older_than": 50 * DAY}, {"older"}, set()),
    ({"older_than": 10 * DAY, "runs": True}, set(), {"old", "older"}),
    ({"max_size": 1_000_000}, set(), set()),
    ({"max_size": 800_000}, {"older"}, set()),
    ({"max_size": 300_000, "runs": True}, {"new", "old"}, {"older"}),
]


@pytest.mark.parametrize(("how", "checkpoints", "runs"), CHOICES)
def test_by_age_and_by_size_what_was_used_last_goes_last(tmp_path, how, checkpoints, runs):
    for name, days in (("new", 0), ("old", 20), ("older", 60)):
        made(tmp_path, name, days=days)
    found = find(tmp_path, **how)
    assert {piece.name for piece in found.pieces if piece.kind == "checkpoints"} == checkpoints
    assert {piece.name for piece in found.pieces if piece.kind == "run"} == runs
    free(tmp_path, **how)
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"new", "old", "older"} - runs


def held(directory: Path, ready: object, over: object) -> None:
    with locked(directory):
        ready.set()
        over.wait(60)


@pytest.mark.parametrize("stage", ["", "before", "train", "gate-check/1"])
def test_a_run_under_way_is_never_touched(tmp_path, stage):
    made(tmp_path, "one", days=90)
    found = find(tmp_path, runs=True, older_than=DAY)
    context = multiprocessing.get_context("fork")
    ready, over = context.Event(), context.Event()
    worker = context.Process(target=held, args=(tmp_path / "one" / stage, ready, over))
    worker.start()
    ready.wait(60)
    try:
        now = find(tmp_path, runs=True, older_than=0)
        assert (now.pieces, now.kept) == ((), ("one: somebody is at work there",))
        assert not remove(found.pieces[0], tmp_path), "nor where the work began after it was found"
        assert (tmp_path / "one/train/checkpoint-0").is_dir()
    finally:
        over.set()
        worker.join()


def test_what_is_not_ours_stays(tmp_path):
    made(tmp_path, "recorded")
    SUMMARY.write(tmp_path / "recorded/baseline", summary())
    (made(tmp_path, "noted") / "notes.txt").write_text("mine")
    (made(tmp_path, "merged") / "train/merged").mkdir()
    elsewhere = made(tmp_path / "elsewhere", "run")
    (tmp_path / "link").symlink_to(elsewhere)
    linked = made(tmp_path, "linked", checkpoints=0)
    (linked / "train/checkpoint-9").symlink_to(elsewhere)
    (tmp_path / "mine").mkdir()
    for name in ("mine/checkpoint-1", ".replaced/mine"):
        (tmp_path / name).mkdir(parents=True)
    found = find(tmp_path, runs=True, older_than=0)
    assert set(found.kept) == {
        "recorded: a baseline was recorded from it",
        "noted: it holds notes.txt, which is not ours",
        "merged: it holds train/merged, which is not ours",
        "run (link): is a link, or no run that can be read",
    }
    assert {(piece.kind, piece.name) for piece in found.pieces} == {
        ("checkpoints", "recorded"),
        ("checkpoints", "noted"),
        ("checkpoints", "merged"),
        ("run", "linked"),
    }
    free(tmp_path, runs=True, older_than=0)
    assert (elsewhere / "train/checkpoint-0/model.safetensors").is_file()
    assert (tmp_path / "mine/checkpoint-1").is_dir()
    assert (tmp_path / ".replaced/mine").is_dir()


def test_weights_that_another_run_shares_free_nothing(tmp_path):
    one, two = made(tmp_path, "one", days=9), made(tmp_path, "two")
    (two / "train/final/model.safetensors").unlink()
    os.link(one / "train/final/model.safetensors", two / "train/final/model.safetensors")
    (piece,) = find(tmp_path, runs=True, older_than=5 * DAY).pieces
    assert 2 * WEIGHTS <= piece.size < 3 * WEIGHTS
