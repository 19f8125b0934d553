"""What the embedded recipe promises: it learns with any seed, and a sabotaged line turns the build red. Minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
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


@pytest.mark.parametrize("line", ["train.learning_rate=1e-2", "rewards.boxed_numeric=-1.0"])
def test_one_sabotaged_line_is_red(session, line):
    code, made = session(f"--rl-set={line}")
    assert code == 1
    ((_, verdicts),) = made.items()
    assert words(verdicts)["baseline"] == "REGRESSED"
    assert words(verdicts)["improvement"] != "IMPROVED"
