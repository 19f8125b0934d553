"""What ``[launch]`` asks of a recipe, of the machine and of TRL's own keys for weights that are shared out.

How many processes train belongs to a run's identity. It decides the result: each process draws its completions from a
random stream of its own, and the global batch is ``per_device_train_batch_size`` x ``gradient_accumulation_steps`` x
processes. At an equal global batch the prompts of a step are the same but the completions are not, so it is another
random run, as with another seed. Who starts the processes, where and how often has no say.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.device import visible_gpus
from harness.models.processes import gpus_for
from harness.recipe.schema import located
from harness.store.errors import TrainingError
from harness.store.names import as_file

if TYPE_CHECKING:
    from harness.recipe.schema import LaunchSection
    from harness.recipe.schema import RecipeTables as Recipe

# TRL's keys whose value may be the path of a JSON file.
FILES = ("accelerator_config", "deepspeed", "fsdp_config")

_WHOLE_WEIGHTS = 3  # from this ZeRO stage on no process has them


def check_launch(recipe: Recipe, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    """Call ``refuse(location, sentence)``, which raises, for the first rule that the recipe breaks.

    Whether a single process could share out anything is not asked here: ``--rl-nproc`` is not known yet.
    """
    arguments = recipe.train.arguments
    for key in FILES:
        path, content = _given(recipe, key)
        if path is not None and content is None:
            why = "is no JSON file, neither beside the recipe nor in the working directory"
            refuse(("train", key), f"{arguments[key]!r} {why}")
    if arguments.get("fsdp") and arguments.get("deepspeed"):
        refuse(("train", "fsdp"), "deepspeed shares out the weights too; give one of the two")
    fsdp, zero = _table(recipe, "fsdp_config"), _zero(recipe)
    if arguments.get("fsdp_config") and not arguments.get("fsdp"):
        refuse(("train", "fsdp_config"), "has no say without fsdp; write fsdp = true beside it")
    # Each checkpoint and the trained policy have to hold whole weights: that is what the next stage loads.
    if str(fsdp.get("state_dict_type", "FULL_STATE_DICT")) != "FULL_STATE_DICT":
        refuse(("train", "fsdp_config"), "the trained policy is saved whole; drop state_dict_type")
    if zero.get("stage") == _WHOLE_WEIGHTS and not zero.get("stage3_gather_16bit_weights_on_model_save"):
        refuse(
            ("train", "deepspeed"),
            "the trained policy is saved whole; set stage3_gather_16bit_weights_on_model_save = true under "
            "zero_optimization",
        )
    if recipe.evaluate.every_steps is not None and (sharing := shares_weights(recipe)):
        refuse(
            ("evaluate", "every_steps"),
            f"no process has the whole weights during training under {sharing}, so no questions can be asked; "
            "drop one of the two",
        )


def shares_weights(recipe: Recipe) -> str | None:
    """The TRL key by which no process holds all weights during training, or ``None``."""
    if recipe.train.arguments.get("fsdp"):
        return "fsdp"
    return "deepspeed" if _zero(recipe).get("stage") == _WHOLE_WEIGHTS else None


def require_processes(recipe: Recipe, device: str, *, in_process: bool) -> None:
    """Raise ``TrainingError`` where this machine or this session cannot launch what the recipe asks for."""
    arguments, launch = recipe.train.arguments, recipe.launch
    key = next((key for key in ("fsdp", "deepspeed") if arguments.get(key)), None)
    if key is not None and launch.processes == 1:
        raise TrainingError(
            f"[train] {key} shares the weights out among processes and there is one; "
            "set nproc_per_node under [launch], or say --rl-nproc"
        )
    if key is not None and device != "cuda":
        raise TrainingError(f"[train] {key} takes GPUs, and this run is on device {device}")
    if arguments.get("use_vllm") and device != "cuda":
        raise TrainingError(f"[train] use_vllm takes a GPU, and this run is on device {device}; leave it out")
    if key == "deepspeed" and importlib.util.find_spec("deepspeed") is None:
        raise TrainingError("[train] deepspeed takes the deepspeed package: pip install deepspeed")
    if in_process:
        require_this_process(launch, device)
    else:
        local_processes(launch, device)


def require_this_process(launch: LaunchSection, device: str) -> None:
    """Raise ``TrainingError`` where this very process cannot train: it is one, and takes one GPU. With several in sight
    transformers would spread each batch over them (``DataParallel``), which TRL refuses."""
    if launch.processes > 1:
        raise TrainingError(f"one process cannot be {launch.processes}; train in this process without --rl-nproc")
    if device == "cuda" and len(gpus := visible_gpus()) > 1:
        raise TrainingError(
            f"training in this process takes one GPU and {len(gpus)} are visible; set CUDA_VISIBLE_DEVICES={gpus[0]}"
        )


def local_processes(launch: LaunchSection, device: str) -> int:
    """How many processes work on this machine: those of ``[launch]``, or as many as there are GPUs where its command
    may start others elsewhere.

    Raises:
        TrainingError: this machine has fewer GPUs than processes are asked for.
    """
    count = launch.processes
    if device == "mps" and count > 1:
        raise TrainingError(f"{count} processes cannot share the one GPU of a Mac; drop --rl-nproc, or use the CPU")
    if device != "cuda" or count == 1:
        return count
    return max(1, min(count, len(visible_gpus()))) if launch.command else len(gpus_for(count))


def argument_files(recipe: Recipe) -> dict[str, Any]:
    """What TRL will read in the files that its keys name, by key."""
    given = {key: _given(recipe, key) for key in FILES}
    return {key: content for key, (path, content) in given.items() if path is not None}


def located_arguments(recipe: Recipe) -> dict[str, Any]:
    """TRL's keys, with the paths of files made whole: the job may run in another working directory."""
    arguments = dict(recipe.train.arguments)
    for key in FILES:
        path, _ = _given(recipe, key)
        if path is not None and path.is_file():
            arguments[key] = str(path)
    return arguments


def _given(recipe: Recipe, key: str) -> tuple[Path | None, Any]:
    """The path that one of :data:`FILES` names, if it is one, and what TRL will read there or from the value itself;
    ``None`` where that is no JSON."""
    value, path = recipe.train.arguments.get(key), None
    if not isinstance(value, str):
        return None, value
    try:
        if value and not value.lstrip().startswith("{"):
            path = as_file(located(recipe, value)).resolve()
            value = path.read_text(encoding="utf-8-sig")
        return path, json.loads(value)
    except (OSError, ValueError, RecursionError):
        return path, None


def _table(recipe: Recipe, key: str) -> Mapping[str, Any]:
    _, content = _given(recipe, key)
    return content if isinstance(content, Mapping) else {}


def _zero(recipe: Recipe) -> Mapping[str, Any]:
    return _table(recipe, "deepspeed").get("zero_optimization") or {}
