"""Seconds a step of GRPO: this project's training job beside plain TRL with the same arguments.

pytest suites/peers/test_training.py                                                     # the embedded model
pytest suites/peers/test_training.py --rl-model SmolLM2-135M-Instruct.Q4_1.gguf --rl-data path/to/gsm8k

Each run is a process of its own, and they take turns. A step is what passes between the ends of two steps, whatever is
done in between (logs, checkpoints, health checks); the first, which pays for what is made once, is not counted, nor is
a whole run before all others.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from comparison import Row, Table, circumstances

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.peer,
    pytest.mark.method("grpo"),
    pytest.mark.rl_recipe("tiny-arithmetic", str(HERE / "peers-gsm8k.toml")),
]

ROUNDS = 3
LIMIT = 1.03  # times plain TRL's seconds a step
OURS, SAME, PLAIN, ALIKE = "rl-harness", "rl-harness, sampled by TRL", "TRL", "TRL, its threads wait as ours"


@pytest.fixture(scope="module")
def logged(job, environment, own, tmp_path_factory):
    """``metrics.jsonl`` of every run, by contestant."""
    runs = {
        OURS: lambda folder: run_ours(job, folder, own),
        SAME: lambda folder: run_ours(replace(job, sampling="trl"), folder, own),
        PLAIN: lambda folder: run_trl(job, folder, environment),
        ALIKE: lambda folder: run_trl(job, folder, own),
    }
    runs[OURS](tmp_path_factory.mktemp("not-counted"))  # a machine that was idle is slow in its first minute of work
    lines = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name, run in runs.items():
            folder = tmp_path_factory.mktemp(f"round-{number}")
            run(folder)
            text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
            lines[name].append([row for line in text.splitlines() if "loss" in (row := json.loads(line))])
    return lines


def run_ours(job, folder, environment):
    from harness.training.job import run_job

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        run_job(job, folder)


def run_trl(job, folder, environment):
    from harness.training.config import arguments

    given = {key: value for key, value in arguments(job, folder).items() if key != "output_dir"}
    fields = {"model": job.model, "dtype": job.dtype, "device": job.device, "rows": job.rows}
    file, log = folder / "given.json", folder / "log.txt"
    file.write_text(json.dumps({**fields, "rewards": dict(job.rewards), "arguments": given}))
    with log.open("wb") as output:
        command = [sys.executable, str(HERE / "trl_grpo.py"), str(file), str(folder)]
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment).returncode
    assert code == 0, "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


def step_seconds(rows):
    """Seconds from the end of each step to the end of the next."""
    return [later["time"] - earlier["time"] for earlier, later in pairwise(rows)]


def test_table(logged, job, rl_run, policy, environment, publish):
    """The table of ratios, and that the harness costs a step no more than :data:`LIMIT`."""
    rows = []
    for name, rounds in logged.items():
        every = [row for run in rounds for row in run[1:]]
        cells = {
            "TRL's own step_time": f"{statistics.median(row['step_time'] for row in every):.3g}",
            "tokens a completion": f"{statistics.mean(row['completions/mean_length'] for row in every):.1f}",
            "reward": f"{statistics.mean(row['reward'] for row in every):.3f}",
        }
        rows.append(Row(name, [statistics.median(step_seconds(run)) for run in rounds], cells))
    steps = len(logged[OURS][0])
    table = Table(
        title=f"GRPO beside plain TRL, {rl_run.recipe.name}",
        name=f"training-{rl_run.recipe.name}",
        measure="seconds a step",
        rows=rows,
        more_is_better=False,
        conditions=circumstances(environment, model=Path(policy.name).name, steps=steps, rounds=ROUNDS),
        notes=["the median of a run's steps but the first"],
    )
    publish(table)
    assert {len(run) for rounds in logged.values() for run in rounds} == {steps}, "not as many steps in every run"
    assert table.ratio(PLAIN) >= 1 / LIMIT, f"a step takes {1 / table.ratio(PLAIN):.3f} times as long as TRL's"


def test_sampled_by_trl_it_trains_on_the_same_completions(logged):
    """So the two do the same work, and what is between them is what the harness costs."""
    for name in ("completions/mean_length", "reward"):
        values = [[row[name] for row in run] for rounds in (logged[SAME], logged[PLAIN]) for run in rounds]
        assert all(each == values[0] for each in values), f"{name} by run: {values}"
