"""Jobs of several machines: each is a process group of its own on this one."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import TrainingError
from tests.training.interrupted import start_training, told
from tests.training.two_processes import STEPS, changed, two


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


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
    made = two(launch__nproc_per_node=1, launch__nnodes=2, launch__prefix=prefix, launch__rdzv_endpoint=endpoint)
    trained = Run(made, 0, Settings(runs_dir=tmp_path / "runs")).trained()
    assert trained.summary["processes"] == 2
    assert [row["step"] for row in trained.completions] == STEPS


def test_a_launcher_that_is_not_there(tmp_path):
    made = two(launch__prefix=["srun-of-another-machine"])
    with pytest.raises(TrainingError, match=r"\[launch\] prefix: 'srun-of-another-machine' cannot be run"):
        Run(made, 0, Settings(runs_dir=tmp_path)).trained()


@pytest.mark.slow
def test_two_machines(tmp_path):
    """Two "machines" on this one: the session starts one agent, ``rl-harness join`` the other."""
    changes = changed(launch__nproc_per_node=1, launch__nnodes=2, launch__rdzv_endpoint=f"localhost:{free_port()}")
    command = [sys.executable, "-m", "harness.cli", "join", str(tmp_path), "--jobs", "1", "--idle", "200"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    asker = start_training("tiny-arithmetic", changes, tmp_path)
    try:
        assert asker.wait(240) == 0, told(tmp_path)
        said, _ = other.communicate(timeout=60)
    finally:
        other.kill()
        asker.kill()
    assert "joined 1 job" in said
    assert "done" in said
    trained = Run(find_recipe("tiny-arithmetic").override(changes), 0, Settings(runs_dir=tmp_path)).trained()
    assert trained.summary["processes"] == 2
    assert [row["step"] for row in trained.completions] == STEPS
