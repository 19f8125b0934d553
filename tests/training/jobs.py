"""Small jobs on the embedded model, and one of another session that a test can kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe import Recipe
from harness.recipe.catalog import find_recipe
from tests.small_recipes import GRPO, SUPERVISED

CHECKPOINT_2 = "checkpoint-2/trainer_state.json"  # the last file of a checkpoint
TWO: dict[str, Any] = {  # a job of two processes on a CPU
    "task__train_questions": 60,
    "train__per_device_train_batch_size": 12,  # 24 in all, 6 groups of 4: each process has whole groups
    "train__max_steps": 6,
    "train__save_steps": 2,
    "launch__nproc_per_node": 2,
}

TRAIN = """
import json, sys
from pathlib import Path
from tests.training.jobs import run_of

run_of(Path(sys.argv[1]), in_process=False, **json.loads(sys.argv[2])).trained()
"""


def recipe_of(method: str = "grpo", **changes: Any) -> Recipe:
    """A recipe that trains in seconds: ``recipe_of("sft", train__max_steps=1)``; ``None`` leaves a key out."""
    small = {"grpo": GRPO | {"health.signal": False}}.get(method, SUPERVISED)
    recipe = find_recipe("tiny-arithmetic" if method == "grpo" else f"tiny-arithmetic-{method}")
    made = small | {key.replace("__", "."): value for key, value in changes.items()}
    return recipe.override({key: value for key, value in made.items() if value is not None})


def run_of(folder: Path, method: str = "grpo", *, in_process: bool = True, **changes: Any) -> Run:
    return Run(recipe_of(method, **changes), 0, Settings(runs_dir=folder, in_process=in_process))


def steps(trained: Any) -> list[int]:
    return [row["step"] for row in trained.metrics if "loss" in row]


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    found: dict[str, Any] = load_file(file)
    return found


def wait_for(found: Callable[[], Any]) -> Any:
    """What ``found`` gives, once it gives something: a busy machine takes minutes to import torch."""
    deadline = time.monotonic() + 600
    while not (it := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return it


def killed_session(folder: Path, file: str, **changes: Any) -> None:
    """Train in a session of its own until ``file`` is in the run's folder ``train``, and kill that session alone: all
    processes that it had started have to end."""
    command = [sys.executable, "-c", TRAIN, str(folder), json.dumps(changes)]
    session = subprocess.Popen(command, cwd=Path(__file__).parents[2])

    def there() -> bool:
        assert session.poll() is None
        return any(folder.glob(f"*/train/{file}"))

    wait_for(there)
    family = psutil.Process(session.pid).children(recursive=True)
    assert family
    session.kill()
    session.wait(10)
    _, alive = psutil.wait_procs(family, 40)
    assert not alive, f"they train on alone: {alive}"


def ranks() -> dict[int, psutil.Process]:
    """The processes of the job of several that is being trained for this one, by rank."""
    found = {}
    for each in psutil.Process().children(recursive=True):
        try:
            if "harness.training.worker" in each.cmdline()[:5] and (rank := each.environ().get("RANK")):
                found[int(rank)] = each
        except psutil.Error:
            continue
    return found
