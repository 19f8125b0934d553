"""What [launch] means for a recipe: steps, identity, files of TRL's keys, and what a machine cannot do."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext

import pytest

from harness.models.processes import environment, gpus_for
from harness.pipeline.fingerprint import training_identity
from harness.pipeline.plan import plan_lines
from harness.recipe import LaunchSection, load_recipe
from harness.recipe.catalog import find_recipe
from harness.recipe.launching import (
    local_processes,
    located_arguments,
    require_processes,
    shares_weights,
)
from harness.recipe.trl_arguments import (
    argument_defaults,
    completions_per_batch,
    completions_per_step,
    optimizer_steps,
    steps_per_batch,
    supervised_steps,
)
from harness.store.errors import RecipeError, TrainingError
from harness.tasks import Questions
from harness.training.job import Job
from harness.training.launcher import command_of, first_failure

ZERO = {"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}}


def made(tmp_path, **changes):
    """A recipe in a file of its own, with files beside it."""
    changed = find_recipe("tiny-arithmetic").override({k.replace("__", "."): v for k, v in changes.items()})
    path = tmp_path / "own.toml"
    path.write_text(changed.to_toml())
    return load_recipe(path)


def identity(recipe):
    return training_identity(recipe, Questions((), ()), 0)


# TRL's keys, processes: completions a batch and a step, steps a batch, steps over 320 questions, 8 completions each
GRPO = [
    ({}, 1, (64, 64, 1, 40)),
    ({}, 2, (128, 128, 1, 20)),
    ({}, 8, (512, 512, 1, 5)),
    ({"gradient_accumulation_steps": 4}, 2, (512, 512, 1, 5)),
    ({"gradient_accumulation_steps": 2, "steps_per_generation": 4}, 2, (512, 256, 2, 10)),
    ({"generation_batch_size": 256}, 2, (256, 128, 2, 20)),  # of all processes together, as TRL counts it
    ({"num_iterations": 2}, 2, (128, 128, 2, 40)),
    ({"max_steps": 7}, 2, (128, 128, 1, 7)),
]


@pytest.mark.parametrize(("keys", "processes", "expected"), GRPO)
def test_counts_of_grpo_are_trls(keys, processes, expected, tmp_path, monkeypatch):
    from trl import GRPOConfig

    given = {"per_device_train_batch_size": 64, "num_generations": 8, "num_train_epochs": 1, **keys}
    arguments = argument_defaults("grpo") | given
    assert expected == (
        completions_per_batch(arguments, processes),
        completions_per_step(arguments, processes),
        steps_per_batch(arguments, processes),
        optimizer_steps(arguments, 320, processes),
    )
    monkeypatch.setattr(GRPOConfig, "world_size", processes)
    config = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **given)
    assert config.generation_batch_size == expected[0]


@pytest.mark.parametrize(
    ("rows", "processes", "drop_last"), [(n, p, d) for n in (1, 7, 16, 33) for p in (1, 2, 3) for d in (False, True)]
)
def test_batches_of_supervised_jobs_are_accelerates(rows, processes, drop_last):
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler, SequentialSampler

    batches = BatchSampler(SequentialSampler(range(rows)), 4, drop_last)
    dealt = len(BatchSamplerShard(batches, processes, 0))
    arguments = {**argument_defaults("sft"), "per_device_train_batch_size": 4, "dataloader_drop_last": drop_last}
    assert supervised_steps({**arguments, "num_train_epochs": 1}, rows, processes) == max(1, dealt)


def test_the_plan_counts_all_processes():
    lines = "\n".join(plan_lines(find_recipe("tiny-arithmetic").override({"launch.nproc_per_node": 2})))
    assert "train: grpo in 2 processes, 20 optimizer steps of 128 completions (2560 to sample)" in lines
    assert "processes" not in "\n".join(plan_lines(find_recipe("tiny-arithmetic")))


def test_the_number_of_processes_is_part_of_a_run_and_where_they_run_is_not(tmp_path):
    one = identity(made(tmp_path))
    assert "processes" not in one
    assert identity(made(tmp_path, launch__nproc_per_node=2)) == one | {"processes": 2}
    elsewhere = {"launch__nproc_per_node": 2, "launch__command": ["srun"], "launch__max_restarts": 9}
    assert identity(made(tmp_path, **elsewhere)) == one | {"processes": 2}


def test_a_recipe_of_one_process_is_written_as_before(tmp_path):
    assert "[launch]" not in made(tmp_path).to_toml()
    again = made(tmp_path, launch__nproc_per_node=2)
    assert again.launch.processes == 2
    assert "nproc_per_node = 2" in again.to_toml()


def test_files_of_trls_keys_count_by_content_and_are_found_beside_the_recipe(tmp_path):
    (tmp_path / "zero.json").write_text(json.dumps(ZERO))
    recipe = load_with(tmp_path, 'deepspeed = "zero.json"')
    assert located_arguments(recipe)["deepspeed"] == str(tmp_path / "zero.json")
    first = identity(recipe)
    (tmp_path / "zero.json").write_text(json.dumps(ZERO, indent=4))
    assert identity(recipe) == first, "layout is no content"
    (tmp_path / "zero.json").write_text(json.dumps({"zero_optimization": {"stage": 2}}))
    assert identity(recipe) != first


def load_with(tmp_path, line):
    text = find_recipe("tiny-arithmetic").to_toml().replace("[train]\n", f"[train]\n{line}\n")
    path = tmp_path / "own.toml"
    path.write_text(text)
    return load_recipe(path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", None),
        ("fsdp = true", "fsdp"),
        ('deepspeed = "zero.json"', "deepspeed"),
        ("deepspeed = { zero_optimization = { stage = 2 } }", None),
        (f"deepspeed = '{json.dumps(ZERO)}'", "deepspeed"),
        ("deepspeed = { train_batch_size = 8 }", None),
    ],
)
def test_who_shares_weights(tmp_path, line, expected):
    (tmp_path / "zero.json").write_text(json.dumps(ZERO))
    recipe = load_with(tmp_path, line)
    assert shares_weights(recipe) == expected
    if expected:
        with pytest.raises(RecipeError, match=rf"every_steps: no process has the whole weights .* under {expected}"):
            recipe.override({"evaluate.every_steps": 2})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'fsdp = true\nfsdp_config = { state_dict_type = "SHARDED_STATE_DICT" }',
            "fsdp_config: .* drop state_dict_type",
        ),
        ("deepspeed = { zero_optimization = { stage = 3 } }", "stage3_gather_16bit_weights_on_model_save = true"),
    ],
)
def test_a_policy_that_would_be_saved_in_parts_is_refused(tmp_path, line, message):
    with pytest.raises(RecipeError, match=message):
        load_with(tmp_path, line)


def test_a_table_of_fsdp_goes_to_trl_unchanged(tmp_path):
    line = 'fsdp = true\nfsdp_config = { version = 2, transformer_layer_cls_to_wrap = ["Qwen2DecoderLayer"] }'
    arguments = located_arguments(load_with(tmp_path, line))
    assert arguments["fsdp"] is True
    assert arguments["fsdp_config"] == {"version": 2, "transformer_layer_cls_to_wrap": ["Qwen2DecoderLayer"]}


@pytest.mark.parametrize(
    ("line", "processes", "device", "message"),
    [
        ("fsdp = true", 1, "cuda", "fsdp shares the weights out among processes and there is one"),
        ("fsdp = true", 2, "cpu", "fsdp takes GPUs, and this run is on device cpu"),
        ("deepspeed = { train_batch_size = 8 }", 2, "cuda", "takes the deepspeed package"),
        ("use_vllm = true", 1, "cpu", "use_vllm takes a GPU, and this run is on device cpu; leave it out"),
        ("", 2, "mps", "cannot share the one GPU of a Mac"),
        ("", 2, "cuda", "2 processes take a GPU each and 1 are visible"),
    ],
)
def test_what_a_machine_cannot_launch(tmp_path, monkeypatch, line, processes, device, message):
    monkeypatch.setattr("harness.models.processes.visible_gpus", lambda: ["GPU-a"])
    recipe = load_with(tmp_path, line).override({"launch.nproc_per_node": processes})
    with pytest.raises(TrainingError, match=message):
        require_processes(recipe, device, in_process=False)


@pytest.mark.parametrize(
    ("processes", "device", "gpus", "message"),
    [
        (2, "cpu", [], "one process cannot be 2"),
        (1, "cuda", ["GPU-a", "GPU-b"], "takes one GPU and 2 are visible; set CUDA_VISIBLE_DEVICES=GPU-a"),
        (1, "cuda", ["GPU-a"], None),
        (1, "cpu", ["GPU-a", "GPU-b"], None),
    ],
)
def test_what_this_process_cannot_train(tmp_path, monkeypatch, processes, device, gpus, message):
    monkeypatch.setattr("harness.recipe.launching.visible_gpus", lambda: gpus)
    recipe = made(tmp_path, launch__nproc_per_node=processes)
    with pytest.raises(TrainingError, match=message) if message else nullcontext():
        require_processes(recipe, device, in_process=True)


def test_gpus_are_taken_in_their_order(monkeypatch):
    monkeypatch.setattr("harness.models.processes.visible_gpus", lambda: ["GPU-a", "GPU-b", "GPU-c"])
    assert gpus_for(2) == ["GPU-a", "GPU-b"]


@pytest.mark.parametrize(
    ("processes", "gpus", "command", "here"),
    [(16, 8, ["srun"], 8), (2, 8, ["srun"], 2), (16, 0, ["srun"], 1), (2, 3, [], 2), (1, 0, [], 1)],
)
def test_an_evaluation_uses_this_machine_alone(monkeypatch, processes, gpus, command, here):
    for module in ("harness.models.processes", "harness.recipe.launching"):
        monkeypatch.setattr(f"{module}.visible_gpus", lambda: ["GPU"] * gpus)
    launch = LaunchSection(nproc_per_node=processes, command=command)
    assert local_processes(launch, "cuda") == here
    assert local_processes(launch, "cpu") == processes


@pytest.mark.parametrize(
    ("launch", "begins"),
    [
        ({}, []),
        ({"command": ["srun", "--ntasks=1"]}, ["srun", "--ntasks=1", sys.executable]),
        ({"nproc_per_node": 2, "command": ["torchrun", "--no-python"]}, ["torchrun", "--no-python", sys.executable]),
        ({"nproc_per_node": 2, "max_restarts": 3}, [sys.executable, "-m", "torch.distributed.run"]),
    ],
)
def test_what_starts_a_job(tmp_path, launch, begins):
    job = Job("grpo", "tiny", "cpu", "float32", 0, {}, {}, [], launch=LaunchSection(**launch).model_dump())
    command = command_of(job, tmp_path)
    assert command[: len(begins)] == begins
    assert command[-2:] == ["harness.training.worker", str(tmp_path)]
    if "max_restarts" in launch:
        assert {"--nproc-per-node=2", "--max-restarts=3"} <= set(command)


def test_an_outer_launcher_says_nothing_to_our_processes(monkeypatch):
    """Some clusters set these for every container."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "7")
    found = environment(["a", "b"], "cpu", 1)
    assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"} & found.keys()
    assert found["PYTHONPATH"] == os.pathsep.join(["a", "b"])


def test_a_user_that_sets_threads_is_heard(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment([], "cpu", 2)["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("codes", "blamed"),  # of each rank, in the order of time
    [({1: -9}, 1), ({0: 1, 1: -9, 2: -15}, 1), ({1: 1, 0: 1, 2: -15}, 1), ({2: -15, 0: 1}, 0)],
)
def test_the_failure_that_the_others_came_from(codes, blamed):
    """By what torch itself prints."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    failures = {}
    for time, (rank, code) in enumerate(codes.items()):
        failures[rank] = ProcessFailure(rank, 100 + rank, code, error_file="")
        failures[rank].timestamp = time
        if code > 0:
            stack = f"Traceback (most recent call last):\n  File ...\nValueError: of rank {rank}"
            failures[rank].message = {"message": "", "extraInfo": {"py_callstack": stack}}
    found = first_failure(f"one line\n{ChildFailedError('harness.training.worker', failures)}\nthe last\n")
    assert found is not None
    assert (int(found["rank"]), int(found["code"])) == (blamed, codes[blamed])
    if codes[blamed] > 0:
        assert found["text"].splitlines()[-1].strip() == f"ValueError: of rank {blamed}"
    assert first_failure("a log without such a report") is None
