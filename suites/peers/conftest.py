"""Contestants get the same weights, threads and memory; what they made of it is written where the report is.

The helpers beside the tests are plain modules; with importlib import mode nobody else makes them importable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from comparison import Table

    from harness.training.job import Job

# Before anything here has set a variable: a peer starts as its own users would start it.
ENVIRONMENT = dict(os.environ)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What every contestant's process starts with: as many threads as this process may use cores, or as the user says.

    How idle threads wait is left to each: others keep the default, this project chooses (:func:`own`). Of several GPUs
    they see the first.
    """
    from harness.models.device import cores, visible_gpus

    threads = ENVIRONMENT.get("OMP_NUM_THREADS", str(cores()))
    path = os.pathsep.join(each for each in (str(Path(__file__).parents[2]), ENVIRONMENT.get("PYTHONPATH")) if each)
    quiet = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    gpu = {"CUDA_VISIBLE_DEVICES": gpus[0]} if (gpus := visible_gpus()) else {}
    return {**ENVIRONMENT, **quiet, **gpu, "OMP_NUM_THREADS": threads, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def own(environment) -> dict[str, str]:
    """``environment`` with this project's word on how idle threads wait. Its contestants have it from the process that
    starts them and does nothing meanwhile, as a training job has."""
    from harness.models.device import settle_threads

    settle_threads()
    waits = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    return {**environment, **{name: os.environ[name] for name in waits}}


@pytest.fixture(scope="module")
def weights(policy, tmp_path_factory) -> Path:
    """The base model as a plain folder that every contestant loads.

    Its generation config has no more than the ends of an answer: a model's own habits, such as a repetition penalty,
    would be followed by some and not by others.
    """
    from transformers import GenerationConfig

    folder = tmp_path_factory.mktemp("weights")
    own = policy.model.generation_config
    ends, pad = sorted(policy.eos_token_ids), policy.tokenizer.pad_token_id
    policy.model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=pad)
    try:
        policy.save(folder)
    finally:
        policy.model.generation_config = own
    return folder


@pytest.fixture(scope="module")
def job(rl_run, policy, weights) -> Job:
    """The recipe's training job on the plain weights, without what comes before the first step."""
    from harness.pipeline.dataset import rows_of
    from harness.pipeline.fingerprint import training_dtype
    from harness.training.job import Job

    recipe = rl_run.recipe
    if recipe.lora is not None:
        pytest.skip(f"recipe {recipe.name} trains an adapter; these contests are of whole weights")
    rows = [{**row, "prompt": policy.adapt(row["prompt"])} for row in rows_of(rl_run.questions.train)]
    return Job(
        method="grpo",
        model=str(weights),
        device=rl_run.device,
        dtype=training_dtype(recipe.model.dtype),
        seed=rl_run.seed,
        rewards=recipe.rewards,
        arguments={**recipe.train.arguments, "logging_steps": 1},
        rows=rows,
        health=recipe.health.model_dump(),
        sampling=recipe.engine.sampling,
    )


@pytest.fixture
def publish(pytestconfig, tell) -> Callable[[Table], None]:
    """Write a table to the terminal, and as Markdown and JSON to ``peers/`` in the report directory."""

    def written(table: Table) -> None:
        from harness.plugin.options import get_path

        paths = table.write(get_path(pytestconfig, "report-dir") / "peers")
        tell(table.title, *table.lines(), f"written to {paths[0]} and {paths[1]}")

    return written
