"""Combinations that can never work, refused when tests are collected: minutes before a trainer would."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import tomli_w

from harness.recipe.engine_checks import check_engine
from harness.recipe.launching import check_launch
from harness.recipe.messages import where
from harness.recipe.method_checks import OWNED_BY, check_method
from harness.recipe.prompt_checks import ELSEWHERE, KEY, check_prompts
from harness.recipe.trl_arguments import CONFIGS, argument_defaults, completions_per_batch
from harness.rewards.settings import Rewards
from harness.store.errors import RecipeError, RewardError, nearest
from harness.tasks.jsonl import FIELDS

if TYPE_CHECKING:
    from harness.recipe import Recipe

# Keys of TRL's configs that the harness sets itself, and where the user says it instead.
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
    KEY: ELSEWHERE,
}

_PUSHED = (
    "a model is not published before it is judged; drop this key, and after the verdict say "
    "hf upload YOU/MODEL rl-runs/RUN/train/final"
)

# Keys that decide how many completions TRL samples at once.
_COUNTS = (
    "num_generations",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "steps_per_generation",
    "generation_batch_size",
)


def check(recipe: Recipe) -> None:
    """Raise ``RecipeError`` for the first rule that the recipe breaks."""

    def refuse(location: tuple[str, ...], message: str) -> None:
        raise RecipeError(f"{where(recipe.source, location)}: {message}")

    if len(set(recipe.seeds)) < len(recipe.seeds):
        refuse(("seeds",), f"{recipe.seeds} names a seed twice; each seed is a run of its own")
    _check_rewards(recipe, refuse)
    if recipe.evaluate.samples_per_question > 1 and recipe.evaluate.temperature == 0:
        refuse(
            ("evaluate", "samples_per_question"),
            f"{recipe.evaluate.samples_per_question} greedy answers to a question are the same answer; "
            "set temperature above 0 or samples_per_question = 1",
        )
    for word in recipe.task.fields:
        if word not in FIELDS:
            refuse(("task", "fields", word), f"unknown field; {nearest(word, list(FIELDS))}")
    check_prompts(recipe, refuse)
    defaults, owned = argument_defaults(recipe.train.method), OWNED | OWNED_BY[recipe.train.method]
    for key in recipe.train.arguments:
        if owner := owned.get(key):
            refuse(("train", key), f"not set here: {owner}")
        if key == "push_to_hub" and recipe.train.arguments[key]:
            refuse(("train", key), _PUSHED)
        if key not in defaults:
            homes = [method for method in CONFIGS if key in argument_defaults(method)]
            hint = f"it is one of {' and '.join(homes)}'s" if homes else nearest(key, list(defaults))
            for close in set(difflib.get_close_matches(key, defaults, n=1)) & owned.keys():
                hint = f"{close} is not set here: {owned[close]}"  # no key that would work
            refuse(("train", key), f"unknown key of TRL's {recipe.train.method} config; {hint}")
        if isinstance(recipe.train.arguments[key], str) and isinstance(defaults[key], (int, float)):
            kind = "true or false" if isinstance(defaults[key], bool) else "a number"
            refuse(("train", key), f"must be {kind} without quotes, not {recipe.train.arguments[key]!r}")
        try:
            tomli_w.dumps({key: recipe.train.arguments[key]})
        except TypeError:
            refuse(("train", key), f"{recipe.train.arguments[key]!r} cannot be written in TOML; use plain values")
    check_method(recipe, refuse)
    check_engine(recipe, refuse)
    _check_counts(recipe, defaults, refuse)
    if recipe.train.method == "grpo":
        _check_grpo_batch(recipe, defaults, refuse)
    check_launch(recipe, refuse)
    _check_health(recipe, refuse)


def read_rewards(table: object, source: Path | None) -> Rewards:
    """The table ``[rewards]``; raises ``RecipeError`` with file, line and key."""

    def refuse(location: tuple[str, ...], message: str) -> NoReturn:
        raise RecipeError(f"{where(source, location)}: {message}")

    return Rewards.from_table(table, refuse)


def _check_health(recipe: Recipe, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    from harness.gate.health import CHECKS
    from harness.recipe import HealthSection

    keys = [key for key in HealthSection.model_fields if key != "limits"]
    for name, limit in recipe.health.limits.items():
        if name not in (*CHECKS, "signal"):
            refuse(("health", name), f"no such health check; {nearest(name, [*CHECKS, 'signal', *keys])}")
        if isinstance(limit, bool) and not limit:
            continue
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit <= 0:
            refuse(("health", name), f"must be a limit above 0, or false to switch the check off, not {limit!r}")
    for name in recipe.health.stop_on:
        if name not in CHECKS:
            refuse(("health", "stop_on"), f"{name!r} is no health check; {nearest(name, list(CHECKS))}")
        if name == "restart":
            refuse(("health", "stop_on"), "a job that is not to be started again has max_restarts = 0 under [launch]")
        if recipe.health.limits.get(name) is False:
            refuse(("health", "stop_on"), f"{name} is switched off below; drop it here or give it a limit")
    if recipe.evaluate.keep_best and recipe.evaluate.every_steps is None:
        refuse(("evaluate", "keep_best"), "nothing to choose by; set every_steps, the steps between two evaluations")


def _check_rewards(recipe: Recipe, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    from harness.rewards import SHIPPED, resolve_reward
    from harness.rewards.parameters import GIVEN, check_parameters

    for name in recipe.rewards:
        module, colon, function = name.partition(":")
        if name not in SHIPPED and not (colon and module and function):
            refuse(
                ("rewards", name),
                f"no such reward function; {nearest(name, list(SHIPPED))} "
                '(your own are written "package.module:function")',
            )
        parameters = recipe.rewards.parameters.get(name, {})
        if given := [key for key in parameters if key in GIVEN]:
            refuse(("rewards", name, given[0]), "every reward function is called with it; choose another name")
        if name in SHIPPED:
            try:
                check_parameters(name, resolve_reward(name), parameters, shipped=True)
            except RewardError as error:
                refuse(("rewards", name), str(error))


def _check_counts(recipe: Recipe, defaults: dict[str, Any], refuse: Callable[[tuple[str, ...], str], None]) -> None:
    for key in _COUNTS:
        value = {**defaults, **recipe.train.arguments}.get(key)
        if value is not None and (type(value) is not int or value < 1):
            refuse(("train", key), f"must be a whole number of 1 or more, not {value!r}")


def _check_grpo_batch(recipe: Recipe, defaults: dict[str, Any], refuse: Callable[[tuple[str, ...], str], None]) -> None:
    """TRL's rules (GRPOConfig.__post_init__)."""
    arguments, processes = {**defaults, **recipe.train.arguments}, recipe.launch.processes
    generations = arguments["num_generations"]
    per_device = arguments["per_device_train_batch_size"]
    whole, steps = arguments["generation_batch_size"], arguments["steps_per_generation"]
    if generations < 2:
        refuse(("train", "num_generations"), f"GRPO compares answers in a group: give 2 or more, not {generations}")
    if whole and steps:
        refuse(("train", "generation_batch_size"), "steps_per_generation says the same; give one of the two")
    each = f" in each of {processes} processes" if processes > 1 else ""
    if whole and whole % (per_device * processes):
        refuse(
            ("train", "generation_batch_size"),
            f"{whole} completions cannot be split into batches of {per_device} (per_device_train_batch_size){each}; "
            "make it a multiple",
        )
    batch = completions_per_batch(arguments, processes)
    if batch % generations:
        key = "generation_batch_size" if whole else "steps_per_generation" if steps else "gradient_accumulation_steps"
        refuse(
            ("train", "num_generations"),
            f"a generation batch of {batch} completions (per_device_train_batch_size {per_device} x "
            f"{batch // per_device // processes} accumulated{each}) cannot be split into groups of {generations}; "
            f"make it a multiple, as with {key} = {generations * per_device * processes if whole else generations}",
        )
    if recipe.task.train_questions < batch // generations:
        refuse(
            ("task", "train_questions"),
            f"{recipe.task.train_questions} questions do not fill one generation batch of {batch // generations} "
            f"({batch} completions, {generations} a question); ask for more questions or make the batch smaller",
        )


def fewest_questions(recipe: Recipe) -> int:
    """Training questions that fill one generation batch; SFT and DPO can learn from one."""
    if recipe.train.method != "grpo":
        return 1
    arguments = {**argument_defaults(recipe.train.method), **recipe.train.arguments}
    return max(1, completions_per_batch(arguments, recipe.launch.processes) // int(arguments["num_generations"]))
