"""The keys that TRL's configs accept and their defaults, read from TRL's source text.

Importing TRL takes seconds and brings torch; a misspelt key should be named while tests are collected. So the
dataclass fields are read with :mod:`ast` from the installed files. A test holds them against the real classes.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.store.errors import RecipeError

_BASES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
)

# Each config's class and its bases, nearest last, as (package, file, class).
CONFIGS = {
    "grpo": (*_BASES, ("trl", "trainer/grpo_config.py", "GRPOConfig")),
    "sft": (*_BASES, ("trl", "trainer/sft_config.py", "SFTConfig")),
    "dpo": (*_BASES, ("trl", "trainer/dpo_config.py", "DPOConfig")),
}

# Keys that the harness sets itself, and what the user writes instead, or why there is nothing to write.
ONE_PROMPT = "belongs to [model], so that every stage asks the same prompt"
OWNED = {
    "output_dir": "the run directory decides it (--rl-runs-dir)",
    "seed": "write seeds = [..] at the top of the recipe",
    "data_seed": "write seeds = [..] at the top of the recipe",
    "reward_weights": "write name = weight under [rewards]",
    "resume_from_checkpoint": "runs resume by themselves",
    "use_cpu": "say --rl-device cpu",
    "model_init_kwargs": "write dtype and revision under [model]",
    "trust_remote_code": "code from a model repository never runs",
    "remove_unused_columns": "the rewards need their columns",
    "save_only_model": "a killed job could not go on",
    "ignore_data_skip": "a job that goes on would ask the same questions again",
    "eval_strategy": "the harness evaluates before and after",
    "load_best_model_at_end": "the harness evaluates before and after",
    "do_train": "the harness always trains",
    "chat_template_kwargs": ONE_PROMPT,
}
_TOKENS = "answers are put into tokens as the policy is asked, with its own chat template and its own end"
OWNED_BY: dict[str, dict[str, str]] = {
    "grpo": {},
    "sft": {
        "assistant_only_loss": "the last turn of a chat is learnt, and every other one is its prompt",
        **dict.fromkeys(("chat_template_path", "dataset_kwargs", "dataset_text_field"), _TOKENS),
        **dict.fromkeys(("eos_token", "pad_token"), _TOKENS),
    },
    "dpo": {"pad_token": _TOKENS},
}

# How often something is logged; with [health] stop_on, also after which step a training may end.
LOGGING = frozenset({"logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter"})

REPORTING = LOGGING | {
    *("log_level", "log_level_replica", "log_on_each_node", "disable_tqdm", "skip_memory_metrics"),
    *("include_num_input_tokens_seen", "include_for_metrics", "batch_eval_metrics"),
    *("log_completions", "log_multimodal", "log_unique_prompts", "num_completions_to_print"),
    *("log_completions_hub_repo", "report_to", "run_name", "project"),
    *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
    *("save_strategy", "save_steps", "save_total_limit", "save_on_each_node", "enable_jit_checkpoint"),
    *("push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push"),
    "hub_revision",
}
"""Keys that log, save, report or show progress: no weight depends on them, so they are no part of a run's identity."""


def deciding(arguments: Mapping[str, Any], *, stops: bool) -> dict[str, Any]:
    """Those of a recipe's keys that decide the trained policy. ``stops``: a finding in what is logged may end it."""
    idle = REPORTING - LOGGING if stops else REPORTING
    return {key: value for key, value in arguments.items() if key not in idle}


@functools.cache
def argument_defaults(method: str) -> dict[str, Any]:
    """``{key: default}`` of a method's TRL config; the default is ``None`` where the source holds no literal.

    Raises:
        RecipeError: TRL or transformers is not installed.
    """
    return {key: _default(field.value) for key, field in _fields(method).items()}


def takes_list(method: str, key: str) -> bool:
    """Whether a list is a value of a method's key, by its type."""
    field = _fields(method).get(key) if method in CONFIGS else None
    return field is not None and "list" in ast.unparse(field.annotation).lower()


@functools.cache
def _fields(method: str) -> dict[str, ast.AnnAssign]:
    found: dict[str, ast.AnnAssign] = {}
    for package, file, name in CONFIGS[method]:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise RecipeError(f"the package {package!r} is not installed; install rl-harness with its requirements")
        path = Path(spec.submodule_search_locations[0]) / file
        found |= _dataclass_fields(path, name)
    return found


def completions_per_batch(arguments: dict[str, Any], processes: int = 1) -> int:
    """Completions that TRL samples at once in all processes together, by its own keys."""
    if arguments.get("generation_batch_size"):
        return int(arguments["generation_batch_size"])
    steps = arguments.get("steps_per_generation") or arguments["gradient_accumulation_steps"]
    return int(arguments["per_device_train_batch_size"] * steps) * processes


def completions_per_step(arguments: dict[str, Any], processes: int = 1) -> int:
    """Completions (in SFT examples, in DPO pairs) that one optimizer step learns from, in all processes together."""
    return int(arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"]) * processes


def steps_per_batch(arguments: dict[str, Any], processes: int = 1) -> int:
    """Optimizer steps between two generation batches: only there can a job be resumed without asking anything twice."""
    uses = completions_per_batch(arguments, processes) * arguments["num_iterations"]
    return max(1, math.ceil(int(uses) / completions_per_step(arguments, processes)))


def optimizer_steps(arguments: dict[str, Any], questions: int, processes: int = 1) -> int:
    """Optimizer steps of a GRPO job over so many training questions, by TRL's keys."""
    max_steps = arguments.get("max_steps")
    if max_steps is not None and max_steps > 0:
        return int(max_steps)
    batch = completions_per_batch(arguments, processes)
    batches = questions // (batch // arguments["num_generations"])
    uses = batches * arguments["num_train_epochs"] * arguments["num_iterations"]
    return int(uses * batch // completions_per_step(arguments, processes))


def supervised_steps(arguments: dict[str, Any], rows: int, processes: int = 1) -> int:
    """Optimizer steps of an SFT or DPO job over so many examples or pairs, without packing.

    As ``transformers.Trainer.set_initial_training_values`` counts them, and accelerate's ``BatchSamplerShard`` deals
    the batches of an epoch to the processes.
    """
    max_steps = arguments.get("max_steps")
    if max_steps is not None and max_steps > 0:
        return int(max_steps)
    size = int(arguments["per_device_train_batch_size"])
    if arguments["dataloader_drop_last"]:
        batches = rows // size // processes
    else:
        batches = math.ceil(math.ceil(rows / size) / processes)
    an_epoch: int = max(1, math.ceil(batches / arguments["gradient_accumulation_steps"]))
    return math.ceil(float(arguments["num_train_epochs"]) * an_epoch)


def _dataclass_fields(path: Path, name: str) -> dict[str, ast.AnnAssign]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (definition,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {
        node.target.id: node
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _default(value: ast.expr | None) -> Any:
    if isinstance(value, ast.Call):
        value = next((keyword.value for keyword in value.keywords if keyword.arg == "default"), None)
    try:
        return ast.literal_eval(value) if value is not None else None
    except ValueError:
        return None
