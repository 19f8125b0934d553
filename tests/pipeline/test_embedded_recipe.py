"""What the embedded recipe promises: it learns with any seed, and a sabotaged line turns the build red. Minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.run_files import read_lines

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """``session(*options)`` runs the suites in a new process; runs are kept between calls, as a user's are."""
    folder = tmp_path_factory.mktemp("embedded")

    def run(*options: str) -> tuple[int, dict[str, dict]]:
        command = [sys.executable, "-m", "pytest", "suites/", "--rl-recipe=tiny-arithmetic", "-p", "no:cacheprovider"]
        kept = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/verdicts.json")}
        done = subprocess.run(
            [*command, f"--rl-runs-dir={folder / 'runs'}", f"--rl-report-dir={folder / 'report'}", *options],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        made = [path for path in folder.glob("runs/*/verdicts.json") if kept.get(path) != path.stat().st_mtime_ns]
        return done.returncode, {path.parent.name: json.loads(path.read_text()) for path in made}

    return run


def words(verdicts: dict) -> dict[str, str]:
    return {each["gate"]: each["verdict"] for each in verdicts["verdicts"]}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learns_with_any_seed(session, seed):
    code, made = session(f"--rl-set=seeds=[{seed}]")
    assert code == 0
    ((_, verdicts),) = made.items()
    found = {each["gate"]: each for each in verdicts["verdicts"]}
    assert found["improvement"]["verdict"] == "IMPROVED"
    assert found["improvement"]["numbers"]["pairs"] >= 400
    assert found["improvement"]["numbers"]["before"] <= 0.45
    assert found["improvement"]["numbers"]["after"] >= 0.85
    # Held against seed 0's baseline: a retrain with another seed is no regression.
    assert found["baseline"]["verdict"] in ("OK", "INCONCLUSIVE", "IMPROVED")


def test_two_processes_learn_it_too_and_keep_everything_once(session, tmp_path):
    """At the same global batch: 40 steps of 2 x 32 completions."""
    runs = tmp_path / "runs"
    options = ("--rl-nproc=2", "--rl-set=train.per_device_train_batch_size=32", f"--rl-runs-dir={runs}")
    code, _ = session(*options)
    assert code == 0
    (run,) = (path.parent for path in runs.glob("*/verdicts.json"))
    found = {each["gate"]: each for each in json.loads((run / "verdicts.json").read_text())["verdicts"]}
    assert found["improvement"]["verdict"] == "IMPROVED"
    assert found["improvement"]["numbers"]["after"] >= 0.85
    for stage in ("before", "after"):
        ids = [row["question_id"] for row in read_lines(run / stage / "records.jsonl")]
        assert len(ids) == len(set(ids)) == 400
    rows = list(read_lines(run / "train" / "completions.jsonl"))
    assert [row["step"] for row in rows] == [step for step in range(1, 41) for _ in range(64)]
    assert set(Counter(row["group"] for row in rows).values()) == {8}
    assert len({row["question_id"] for row in rows}) == 320


@pytest.mark.parametrize("line", ["train.learning_rate=1e-2", "rewards.boxed_numeric=-1.0"])
def test_one_sabotaged_line_is_red(session, line):
    code, made = session(f"--rl-set={line}")
    assert code == 1
    ((_, verdicts),) = made.items()
    assert words(verdicts)["baseline"] == "REGRESSED"
    assert words(verdicts)["improvement"] != "IMPROVED"
