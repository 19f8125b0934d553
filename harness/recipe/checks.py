"""Combinations that can never work, refused when tests are collected: minutes before a trainer would.

A check calls ``refuse(location, sentence)``, which raises, for the first rule that the recipe breaks.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from harness.gate.health import CHECKS
from harness.models.engines.base import OMITTABLE, server_url
from harness.recipe.launching import check_launch
from harness.recipe.messages import Refuse, refuser
from harness.recipe.schema import EngineSection, HealthSection, RecipeTables
from harness.recipe.trl_arguments import CONFIGS, ONE_PROMPT, OWNED, OWNED_BY, argument_defaults, completions_per_batch
from harness.store.errors import RewardError, TaskError, nearest
from harness.store.question import GIVEN
from harness.tasks.rows import FIELDS, columns_in

# Keys of [task] that would change nothing.
_UNREAD = {"arithmetic": ("revision", "subset", "fields", "where", "split"), "gsm8k": ("fields",)}


def check(recipe: RecipeTables) -> None:
    """Raise ``RecipeError`` for the first rule that the recipe breaks."""
    refuse = refuser(recipe.source)
    if len(set(recipe.seeds)) < len(recipe.seeds):
        refuse(("seeds",), f"{recipe.seeds} names a seed twice; each seed is a run of its own")
    for word, name in recipe.task.fields.items():
        if word not in FIELDS:
            refuse(("task", "fields", word), f"unknown field; {nearest(word, list(FIELDS))}")
        try:
            columns_in(name)
        except TaskError as error:
            refuse(("task", "fields", word), str(error))
    for key in _UNREAD.get(recipe.task.name, ()):
        if getattr(recipe.task, key) != type(recipe.task).model_fields[key].get_default(call_default_factory=True):
            refuse(("task", key), f"is of a table, and {recipe.task.name} does not read it; drop this key")
    _check_rewards(recipe, refuse)
    _check_sampling("evaluate", recipe.evaluate.samples_per_question, recipe.evaluate.temperature, refuse)
    if recipe.evaluate.keep_best and recipe.evaluate.every_steps is None:
        refuse(("evaluate", "keep_best"), "nothing to choose by; set every_steps, the steps between two evaluations")
    _check_prompts(recipe, refuse)
    _check_arguments(recipe, refuse)
    _check_data(recipe, refuse)
    _check_engine(recipe, refuse)
    if recipe.train.method == "grpo":
        _check_grpo_batch(recipe, refuse)
    _check_learnable(recipe, refuse)
    check_launch(recipe, refuse)
    _check_health(recipe, refuse)


_DEEPEST, _LONGEST_KEY = 20, 200


def check_values(tables: Mapping[str, Any], refuse: Refuse) -> None:
    """Raise ``RecipeError`` for values that TOML can hold and no key can mean."""
    waiting: list[tuple[tuple[str, ...], int, Any]] = [((str(key),), 1, value) for key, value in tables.items()]
    while waiting:
        location, depth, value = waiting.pop()
        if len(location[-1]) > _LONGEST_KEY:
            refuse(location[:-1] or ("recipe",), f"no key has {len(location[-1])} characters")
        if depth > _DEEPEST:
            refuse(location[:2], "lists or tables lie too deep in each other")
        if isinstance(value, Mapping):
            waiting += [((*location, str(key)), depth + 1, each) for key, each in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(location, depth + 1, each) for each in value]
        elif isinstance(value, float) and not math.isfinite(value):
            refuse(location, f"must be a finite number, not {value}")
        elif isinstance(value, int) and abs(value) >= 1 << 63:
            refuse(location, "must be a number that fits into 64 bits")
        elif isinstance(value, str) and "\0" in value:
            refuse(location, "must be text without NUL characters")


def _check_sampling(table: str, samples: int, temperature: float, refuse: Refuse) -> None:
    if samples > 1 and temperature == 0:
        refuse(
            (table, "samples_per_question"),
            f"{samples} greedy answers to a question are the same answer; "
            "set temperature above 0 or samples_per_question = 1",
        )


def _check_learnable(recipe: RecipeTables, refuse: Refuse) -> None:
    wanted, there = recipe.task.learnable, recipe.task.train_questions
    if wanted is False:
        return
    if recipe.train.method != "grpo":
        refuse(("task", "learnable"), f"chooses questions for GRPO; {recipe.train.method} learns from [data] as it is")
    if wanted is not True and not fewest_questions(recipe) <= wanted <= there:
        within = f"{fewest_questions(recipe)}, which fill a batch, to {there}, the train_questions that may be asked"
        refuse(("task", "learnable"), f"must be true or a number from {within}, not {wanted}")


def _check_rewards(recipe: RecipeTables, refuse: Refuse) -> None:
    from harness.rewards import SHIPPED, resolve_reward
    from harness.rewards.registry import check_parameters

    for name in recipe.rewards:
        module, colon, function = name.partition(":")
        if name not in SHIPPED and not (colon and module and function):
            refuse(
                ("rewards", name),
                f"no such reward function; {nearest(name, list(SHIPPED), len(SHIPPED))} "
                '(your own are written "package.module:function")',
            )
        parameters = recipe.rewards.parameters.get(name, {})
        if given := [key for key in parameters if key in GIVEN]:
            refuse(("rewards", name, given[0]), "every reward function is called with it; choose another name")
        for key, value in parameters.items():
            _check_plain(("rewards", name, key), value, refuse)
        if name in SHIPPED:
            try:
                check_parameters(name, resolve_reward(name), parameters, shipped=True)
            except RewardError as error:
                refuse(("rewards", name), str(error))


def _check_plain(location: tuple[str, ...], value: Any, refuse: Refuse) -> None:
    """From Python anything may be given."""
    try:
        tomli_w.dumps({location[-1]: value})
    except TypeError:
        refuse(location, f"{value!r} cannot be written in TOML; use plain values")


# Arguments of the tokenizer's apply_chat_template: they are no variables of a template.
_OF_TOKENIZER = {
    **dict.fromkeys(("conversation", "messages"), "the chat is the question's, by [task]"),
    **dict.fromkeys(("tools", "documents"), "no stage has any"),
    "chat_template": "put a chat_template.jinja into a local copy of the model, and name that under [model]",
    **dict.fromkeys(
        ("add_generation_prompt", "continue_final_message"), "a prompt always ends where the answer begins"
    ),
    **dict.fromkeys(
        (
            *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
            *("return_assistant_tokens_mask", "sanitize_control_tokens", "tokenizer_kwargs"),
        ),
        "prompts are put into tokens whole, the same way in every stage",
    ),
}


def _check_prompts(recipe: RecipeTables, refuse: Refuse) -> None:
    """One prompt in every stage: what the chat template is told stands under ``[model]``, and nowhere else."""
    others = {"train": recipe.train.arguments, "engine": recipe.engine.arguments, "health": recipe.health.limits}
    for table, arguments in others.items():
        for location in _places("chat_template_kwargs", arguments):
            refuse((table, *location), ONE_PROMPT)
    if recipe.train.arguments.get("truncation_mode") == "keep_end":
        cut = '"keep_end" cuts the beginning off prompts that every other stage asks whole; write "keep_start"'
        refuse(("train", "truncation_mode"), cut)
    for key, value in recipe.model.chat_template_kwargs.items():
        if owner := _OF_TOKENIZER.get(key):
            refuse(("model", "chat_template_kwargs", key), f"not set here: {owner}")
        if not _is_plain(value):
            must = "must be text, a number, true or false, or lists and tables of them"
            refuse(("model", "chat_template_kwargs", key), f"{must}, not {value!r}")


def _places(word: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where a table holds the key; TRL and engines take tables in tables, and JSON text for them."""
    for key, value in arguments.items():
        if key == word or (isinstance(value, str) and word in value):
            yield (key,)
        elif isinstance(value, Mapping):
            yield from ((key, *rest) for rest in _places(word, value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


# Keys that decide how many completions TRL samples at once.
_COUNTS = (
    *("num_generations", "per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
    "generation_batch_size",
)


_ABOVE_ZERO = ("a number above 0", lambda value: 0 < value < math.inf)
_NOT_NEGATIVE = ("a number of 0 or more", lambda value: 0 <= value < math.inf)
_SHARE = ("a share above 0 and up to 1", lambda value: 0 < value <= 1)
# What torch and TRL refuse once a model is loaded, or train on without a word.
_NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    **dict.fromkeys(("num_train_epochs", "temperature", "max_completion_length"), _ABOVE_ZERO),
    **dict.fromkeys(("learning_rate", "beta", "epsilon", "max_grad_norm", "weight_decay", "min_p"), _NOT_NEGATIVE),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "top_p"), _SHARE),
}


def _check_arguments(recipe: RecipeTables, refuse: Refuse) -> None:
    method = recipe.train.method
    defaults, owned = argument_defaults(method), OWNED | OWNED_BY[method]
    for key, value in recipe.train.arguments.items():
        if owner := owned.get(key):
            refuse(("train", key), f"not set here: {owner}")
        if key == "push_to_hub" and value:
            refuse(
                ("train", key),
                "a model is not published before it is judged; drop this key, and after the verdict say "
                "hf upload YOU/MODEL rl-runs/RUN/train/final",
            )
        if key not in defaults:
            homes = [other for other in CONFIGS if key in argument_defaults(other)]
            hint = f"it is one of {' and '.join(homes)}'s" if homes else nearest(key, list(defaults))
            for close in set(difflib.get_close_matches(key, defaults, n=1)) & owned.keys():
                hint = f"{close} is not set here: {owned[close]}"  # no key that would work
            refuse(("train", key), f"unknown key of TRL's {method} config; {hint}")
        if isinstance(value, str) and isinstance(defaults[key], (int, float)):
            kind = "true or false" if isinstance(defaults[key], bool) else "a number"
            refuse(("train", key), f"must be {kind} without quotes, not {value!r}")
        _check_plain(("train", key), value, refuse)
        if key in _COUNTS and value is not None and (type(value) is not int or value < 1):
            refuse(("train", key), f"must be a whole number of 1 or more, not {value!r}")
        must, holds = _NUMBERS.get(key, ("", lambda value: True))
        if value is not None and not (type(value) in (int, float) and holds(value)) and must:
            refuse(("train", key), f"must be {must}, not {value!r}")


def _check_data(recipe: RecipeTables, refuse: Refuse) -> None:
    data, method = recipe.data, recipe.train.method
    if data is None:
        return
    if method == "grpo":
        refuse(
            ("data",),
            'GRPO learns from what it samples itself; drop this table, or write method = "sft" or "dpo" under [train]',
        )
    if data.source == "solutions" and method == "dpo":
        refuse(
            ("data", "source"),
            'DPO learns from pairs, and worked solutions are right ones alone; write source = "completions", '
            "or a file with chosen and rejected answers",
        )
    if data.source not in ("completions", "solutions") and Path(data.source).suffix != ".jsonl":
        refuse(
            ("data", "source"),
            f'must be "completions", "solutions" or the path of a .jsonl file, not {data.source!r}',
        )
    if data.source == "completions":
        _check_sampling("data", data.samples_per_question, data.temperature, refuse)
        if method == "dpo" and data.samples_per_question < 2:
            refuse(("data", "samples_per_question"), "a pair takes two answers to a question: give 2 or more, not 1")


# Keys of [engine] for [model] endpoint: what a value must be, and whether it is.
_ENDPOINT: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "concurrency": ("a whole number of requests, 1 or more", lambda value: type(value) is int and value >= 1),
    "key_env": (
        'the name of an environment variable, or "" for no key',
        lambda value: isinstance(value, str) and (value == "" or value.isidentifier()),
    ),
    **dict.fromkeys(
        ("timeout_seconds", "deadline_seconds"),
        (
            "a number of seconds above 0 and under a million",
            lambda value: type(value) in (int, float) and 0 < value <= 1e6,
        ),
    ),
    "tries": ("a whole number, 1 or more", lambda value: type(value) is int and value >= 1),
    "omit": (
        f"a list of {', '.join(map(repr, OMITTABLE[:-1]))} or {OMITTABLE[-1]!r}",
        lambda value: isinstance(value, list) and all(each in OMITTABLE for each in value),
    ),
}


def _check_engine(recipe: RecipeTables, refuse: Refuse) -> None:
    """Keys of other libraries are checked where they are used, and those of an endpoint that is not there by
    :func:`check_endpoint_keys`: ``--rl-endpoint`` may yet give one."""
    engine, given = recipe.engine, recipe.engine.arguments
    for key, value in given.items():
        must, holds = _ENDPOINT.get(key, ("", lambda value: True))
        if not holds(value):
            refuse(("engine", key), f"must be {must}, not {value!r}")
    foreign = next((key for key in given if key not in _ENDPOINT), None)
    if recipe.model.endpoint is None:
        if engine.name == "transformers" and foreign is not None:
            valid = [name for name in EngineSection.model_fields if name != "arguments"]
            refuse(("engine", foreign), f"unknown key of the transformers engine; {nearest(foreign, valid)}")
        return
    try:
        server_url(recipe.model.endpoint)
    except ValueError as error:
        refuse(("model", "endpoint"), str(error))
    if recipe.model.from_recipe is not None:
        refuse(("model", "endpoint"), "from_recipe says another model; drop one of the two")
    if engine.name != "transformers":
        refuse(("engine", "name"), f"the server of [model] endpoint answers, not {engine.name}; drop one of the two")
    if foreign is not None:
        refuse(("engine", foreign), f"unknown key of an endpoint; {nearest(foreign, list(_ENDPOINT))}")


def of_endpoint(engine: EngineSection) -> dict[str, Any]:
    """The table ``[engine]`` of a recipe whose model is served by ``--rl-endpoint``: what is said of the engine whose
    place the server takes is left out."""
    kept = {key: value for key, value in engine.arguments.items() if key in _ENDPOINT}
    return {**engine.model_dump(exclude={"name", "arguments"}), **kept}


def check_endpoint_keys(recipe: RecipeTables, given: Sequence[str] = ()) -> None:
    """Raise ``RecipeError`` where keys are for an endpoint and there is none; ``given`` are the options that changed
    the recipe."""
    key = next((key for key in recipe.engine.arguments if key in _ENDPOINT), None)
    if recipe.model.endpoint is None and key is not None:
        under = f" (under {' '.join(given)})" if given else ""
        home = "it is for [model] endpoint, or --rl-endpoint"
        refuser(recipe.source)(("engine", key), f"unknown key of the {recipe.engine.name} engine; {home}{under}")


def _check_grpo_batch(recipe: RecipeTables, refuse: Refuse) -> None:
    """TRL's rules (GRPOConfig.__post_init__)."""
    arguments, processes = {**argument_defaults("grpo"), **recipe.train.arguments}, recipe.launch.processes
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
    if 0 < recipe.task.train_questions < batch // generations:
        refuse(
            ("task", "train_questions"),
            f"{recipe.task.train_questions} questions do not fill one generation batch of {batch // generations} "
            f"({batch} completions, {generations} a question); ask for more questions or make the batch smaller",
        )


def fewest_questions(recipe: RecipeTables) -> int:
    """Training questions that fill one generation batch; SFT and DPO can learn from one."""
    if recipe.train.method != "grpo":
        return 1
    arguments = {**argument_defaults("grpo"), **recipe.train.arguments}
    return max(1, completions_per_batch(arguments, recipe.launch.processes) // int(arguments["num_generations"]))


def _check_health(recipe: RecipeTables, refuse: Refuse) -> None:
    keys = [key for key in HealthSection.model_fields if key != "limits"]
    for name, limit in recipe.health.limits.items():
        if name not in (*CHECKS, "signal"):
            refuse(("health", name), f"no such health check; {nearest(name, [*CHECKS, 'signal', *keys])}")
        if limit is not False and (type(limit) not in (int, float) or limit <= 0):
            refuse(("health", name), f"must be a limit above 0, or false to switch the check off, not {limit!r}")
    for name in recipe.health.stop_on:
        if name not in CHECKS:
            refuse(("health", "stop_on"), f"{name!r} is no health check; {nearest(name, list(CHECKS))}")
        if name == "restart":
            refuse(("health", "stop_on"), "a job that is not to be started again has max_restarts = 0 under [launch]")
        if recipe.health.limits.get(name) is False:
            refuse(("health", "stop_on"), f"{name} is switched off below; drop it here or give it a limit")
