"""Seconds a step of GRPO: this project's training job beside plain TRL with the same arguments.

pytest suites/peers/test_training.py                                                     # the embedded model
pytest suites/peers/test_training.py --rl-model SmolLM2-135M-Instruct.Q4_1.gguf --rl-data path/to/gsm8k

Each run is a process of its own, and they take turns, a step each (``turns.py``). A step is what passes between the
ends of two steps, whatever is done in between (logs, checkpoints, health checks); the first, which pays for what is
made once, is not counted.
"""

from __future__ import annotations

import random
import statistics
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from comparison import Row, Table, circumstances
from turns import Run

pytestmark = [
    pytest.mark.peer,
    pytest.mark.method("grpo"),
    pytest.mark.rl_recipe("tiny-arithmetic", str(Path(__file__).with_name("peers-gsm8k.toml"))),
]

ROUNDS = 3
LIMIT = 1.03  # times plain TRL's seconds a step
OURS, SAME, PLAIN, ALIKE = "rl-harness", "rl-harness, sampled by TRL", "TRL", "TRL, its threads wait as ours"


@pytest.fixture(scope="module")
def steps(job, environment, own, tmp_path_factory):
    """The metrics of every step but the first of each round, by contestant, with its ``seconds``."""
    entries = {
        OURS: (job, "harness_grpo.py", own),
        SAME: (replace(job, sampling="trl"), "harness_grpo.py", own),
        PLAIN: (job, "trl_grpo.py", environment),
        ALIKE: (job, "trl_grpo.py", own),
    }
    found, order = {name: [] for name in entries}, random.Random(0)
    for number in range(ROUNDS):
        with ExitStack() as stack:
            runs = {}
            for name, (given, script, settings) in entries.items():
                folder = tmp_path_factory.mktemp(f"round-{number}")
                given.write(folder)
                runs[name] = stack.enter_context(Run(script, folder, settings))
                runs[name].step()
            for _ in range(1, steps_of(job)):
                for name in order.sample(list(runs), len(runs)):
                    found[name].append(runs[name].step())
            for run in runs.values():
                run.finish()
    return found


def steps_of(job):
    from harness.recipe.trl_arguments import argument_defaults, optimizer_steps

    return optimizer_steps({**argument_defaults(job.method), **job.arguments}, len(job.rows), job.processes)


def test_table(steps, job, rl_run, policy, environment, publish):
    """The table of ratios, and that the harness costs a step no more than :data:`LIMIT`."""
    rows = []
    for name, every in steps.items():
        seconds = [row["seconds"] for row in every]
        cells = {
            "seconds in all": f"{sum(seconds):.1f}",
            "TRL's own step_time": f"{statistics.median(row['step_time'] for row in every):.3g}",
            "tokens a completion": f"{statistics.mean(row['completions/mean_length'] for row in every):.1f}",
            "reward": f"{statistics.mean(row['reward'] for row in every):.3f}",
        }
        rows.append(Row(name, seconds, cells))
    table = Table(
        title=f"GRPO beside plain TRL, {rl_run.recipe.name}",
        name=f"training-{rl_run.recipe.name}",
        measure="seconds a step",
        rows=rows,
        more_is_better=False,
        conditions=circumstances(environment, model=Path(policy.name).name, steps=steps_of(job), rounds=ROUNDS),
        notes=["a ratio is the median of the steps' ratios; the first step of a round is not counted"],
        in_turns=True,
    )
    publish(table)
    assert table.ratio(PLAIN) >= 1 / LIMIT, f"a step takes {1 / table.ratio(PLAIN):.3f} times as long as TRL's"


def test_sampled_by_trl_it_trains_on_the_same_completions(steps):
    """So the two do the same work, and what is between them is what the harness costs."""
    for name in ("step", "completions/mean_length", "reward"):
        ours, theirs, alike = ([row[name] for row in steps[each]] for each in (SAME, PLAIN, ALIKE))
        assert ours == theirs == alike, name
