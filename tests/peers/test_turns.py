"""Runs that take turns: one works while the others stand still, and only its own time is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import turns
from turns import Run

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

# A step is a tenth of a second of work; between two lines of steps there is one that is no step.
STEPS = """\
import json, sys, time
from pathlib import Path

for step in range(1, 5):
    while time.process_time() < 0.1 * step:
        pass
    with (Path(sys.argv[1]) / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps({"step": step, "eval": 1}) + "\\n")
        lines.write(json.dumps({"step": step, "loss": 0.5, "time": time.time()}) + "\\n")
"""


@pytest.fixture
def start(tmp_path):
    def started(name, text):
        folder = tmp_path / name
        folder.mkdir()
        script = folder / "script.py"
        script.write_text(text)
        return Run(str(script), folder, ENVIRONMENT)

    return started


def test_only_its_own_time_is_counted(start):
    with start("a", STEPS) as first, start("b", STEPS) as other:
        for run in (first, other):
            assert run.step()["step"] == 1
        for step in (2, 3, 4):
            for run in (first, other):
                time.sleep(0.8)  # the other's turn, as far as this one can see
                row = run.step()
                assert row["step"] == step
                assert 0.05 < row["seconds"] < 0.7
        for run in (first, other):
            run.finish()


def test_it_stands_still_between_its_turns(start, tmp_path):
    with start("a", STEPS) as run:
        run.step()
        time.sleep(0.5)
        assert (tmp_path / "a" / "metrics.jsonl").read_text().count("loss") == 1


def test_what_ends_early_says_what_happened(start):
    with start("a", STEPS.replace("pass", "sys.exit('no such model') if step > 1 else None")) as run:
        run.step()
        with pytest.raises(RuntimeError, match="exit code 1:\nno such model"):
            run.step()


def test_a_run_that_is_left_is_ended(start):
    with start("a", STEPS) as run:
        run.step()
        process = run._process
    assert process.returncode == -9


LEFT = """\
import os, sys
from pathlib import Path
from turns import Run

folder = Path(sys.argv[1])
run = Run(str(folder / "script.py"), folder, dict(os.environ))
run.step()
print(run._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_is_stopped_ends_with_whoever_stopped_it(tmp_path):
    (tmp_path / "script.py").write_text(STEPS)
    path = os.pathsep.join([str(Path(turns.__file__).parent), ENVIRONMENT["PYTHONPATH"]])
    command = [sys.executable, "-c", LEFT, str(tmp_path)]
    done = subprocess.run(command, env={**ENVIRONMENT, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    left, until = int(done.stdout), time.monotonic() + 10
    while psutil.pid_exists(left) and psutil.Process(left).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "a stopped process outlives its session"
        time.sleep(0.05)
