"""What a recipe needs beside itself: files, reward functions of the user's, and packages that are optional."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from harness.models.engines.base import TRUSTED_HOSTS, key_may_go, server_url
from harness.models.source import looks_like_path
from harness.recipe.catalog import Recipe, folder_of, load_recipe, parent_of
from harness.recipe.checks import check_endpoint_keys
from harness.recipe.messages import refuser, where
from harness.recipe.schema import given_file, located, located_task, questions_of
from harness.rewards import SHIPPED, functions_of, resolve_reward
from harness.rewards.choices import options_of
from harness.rewards.registry import check_columns, check_parameters, takes
from harness.rewards.score import primary_grader
from harness.store.errors import ModelError, RecipeError, RewardError, TaskError, nearest
from harness.store.names import as_file, is_there
from harness.store.run_files import OVERRIDES
from harness.tasks import Questions, is_from_hub, reads_data

# The modules that a tracker of transformers takes, a|b being one of the two, and what pip calls them.
TRACKERS = {
    "azure_ml": ("azureml.core", "azureml-core"),
    "clearml": ("clearml", "clearml"),
    "codecarbon": ("codecarbon", "codecarbon"),
    "comet_ml": ("comet_ml", "comet-ml"),
    "dagshub": ("dagshub mlflow", "dagshub mlflow"),
    "dvclive": ("dvclive", "dvclive"),
    "flyte": ("flytekit", "flytekit"),
    "kubeflow": ("", ""),  # known by an environment variable of the cluster
    "mlflow": ("mlflow", "mlflow"),
    "neptune": ("neptune", "neptune"),
    "swanlab": ("swanlab", "swanlab"),
    "tensorboard": ("tensorboard|tensorboardX", "tensorboard"),
    "trackio": ("trackio", "trackio"),
    "wandb": ("wandb", "wandb"),
}


def look_beside(source: Path | None) -> None:
    """From now on reward functions are found beside a recipe's file as well, and in the working directory."""
    folders = [str(Path.cwd()), *([folder_of(source)] if source else [])]
    sys.path += [folder for folder in folders if folder not in sys.path]


def look_beside_recipe_of(directory: Path) -> str | None:
    """The same for the recipe that a run directory is of: it holds a copy, and says where the file was. The folder of
    that is returned."""
    changed = OVERRIDES.read(directory)
    source = Path(changed.folder, changed.file) if changed else None
    look_beside(source)
    return None if source is None else folder_of(source)


def check_needs(
    recipe: Recipe,
    *,
    data: Path | None = None,
    questions: bool = True,
    model: bool = True,
    trains: bool = True,
    reads: bool = True,
    given: Sequence[str] = (),
) -> None:
    """Look for all that is needed, before anything is made: reward functions, and as asked for the questions (``data``
    stands in for the recipe's), the model, and what the training takes. With ``reads``, questions that lie here are
    read. ``given`` are the options that changed the recipe.

    Raises:
        RecipeError: as :func:`check_rewards` does, a file, a folder or a package is not there, or the questions are too
            few or torn.
    """
    check_rewards(recipe)
    check_endpoint_keys(recipe, given)
    check_key(recipe)
    trains = trains and recipe.model.endpoint is None
    from_hub = data is None and is_from_hub(located_task(recipe))
    if questions and data is None and reads_data(recipe.task) and not from_hub:
        _check_file(recipe, "task", "name", given)
    if questions and reads and not from_hub:
        _check_questions(recipe, data, given)
    if model and recipe.model.endpoint is None:
        _check_packages(recipe, trains, given)
    if model and recipe.model.endpoint is None and looks_like_path(recipe.model.name):
        _check_file(recipe, "model", "name", given)
    if trains:
        if given_file(recipe) is not None:
            _check_file(recipe, "data", "source", given)
        _check_trackers(recipe, given)
        if recipe.lora is not None and importlib.util.find_spec("peft") is None:
            refuser(recipe.source)(("lora",), "takes the peft package: pip install 'rl-harness[lora]'")
    if model and (parent := parent_of(recipe)) is not None:
        check_needs(parent, data=data, reads=reads)


def _check_questions(recipe: Recipe, data: Path | None, given: Sequence[str]) -> None:
    """Read the questions, where they lie here: their columns, and whether there are as many as are asked for."""
    if not reads_data(recipe.task):
        return
    if data is not None and not data.exists():
        return  # check_data says so, with the option
    try:
        require_columns(recipe, questions_of(recipe, data))
    except TaskError as error:
        if error.key is not None:
            _refuse(recipe, *error.key, str(error), given)
        raise RecipeError(str(error)) from None


def require_columns(recipe: Recipe, questions: Questions) -> Questions:
    """The questions, where they have the columns that the recipe's reward functions take.

    Raises:
        RecipeError: there is no such column, with the function and those that there are, or the options of a multiple
            choice are none.
    """
    for name, function in functions_of(recipe.rewards).items():
        parameters = recipe.rewards.parameters.get(name, {})
        try:
            check_columns(takes(function), parameters, questions.columns)
            if name == "choice" and "options" not in parameters:
                _check_options(questions)
        except RewardError as error:
            refuser(recipe.source)(("rewards", name), str(error))
    return questions


def _check_options(questions: Questions) -> None:
    for each in (*questions.train, *questions.test):
        try:
            options_of(each.columns.get("choices"))
        except RewardError as error:
            raise RewardError(f"question {each.id}: {error}") from None


def _check_packages(recipe: Recipe, trains: bool, given: Sequence[str]) -> None:
    """Packages that answer or read the model, and are no requirement of ours."""
    if recipe.engine.name == "vllm" and not _is_installed("vllm"):
        words = "vLLM is not installed: pip install 'rl-harness[vllm]' on a machine with a GPU, or leave out this key"
        _refuse(recipe, "engine", "name", words, given)
    if trains and recipe.train.arguments.get("use_vllm") and not _is_installed("vllm"):
        words = "vLLM is not installed: pip install 'trl[vllm]' on a machine with a GPU, or leave out this key"
        _refuse(recipe, "train", "use_vllm", words, given)
    if recipe.model.name.lower().endswith(".gguf") and not _is_installed("gguf"):
        words = "reading GGUF files takes the gguf package: pip install 'rl-harness[gguf]'"
        _refuse(recipe, "model", "name", words, given)


def _check_file(recipe: Recipe, table: str, key: str, given: Sequence[str]) -> None:
    name = str(_value(recipe, table, key))
    if is_there(as_file(located(recipe, name))):
        return
    words = f"{name}: no such file or folder; it is looked for beside the recipe, then in the working directory"
    _refuse(recipe, table, key, words, given)


def _check_trackers(recipe: Recipe, given: Sequence[str]) -> None:
    """Trackers of ``[train] report_to``; one that is not there would end the training at its start."""
    asked = _value(recipe, "train", "report_to")
    for name in asked if isinstance(asked, list) else [asked]:
        if name in (None, "none", "all"):
            continue
        if name not in TRACKERS:
            words = f"no such tracker {name!r}; {nearest(str(name), ['none', *TRACKERS])}"
            _refuse(recipe, "train", "report_to", words, given)
        modules, packages = TRACKERS[name]
        if not all(any(map(_is_installed, either.split("|"))) for either in modules.split()):
            words = f'{name} is not installed: pip install {packages}, or write report_to = "none"'
            _refuse(recipe, "train", "report_to", words, given)


def _is_installed(module: str) -> bool:
    """Whether a module can be imported, found without importing it. A folder of that name is none: trackers leave
    such folders in the working directory."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # not even what it is part of
        return False
    return found is not None and found.origin is not None


def _value(recipe: Recipe, table: str, key: str) -> Any:
    section = getattr(recipe, table)
    return section.arguments.get(key) if table == "train" else getattr(section, key, None)


def _refuse(recipe: Recipe, table: str, key: str, words: str, given: Sequence[str]) -> NoReturn:
    raise RecipeError(_told(recipe, table, key, words, given))


def _told(recipe: Recipe, table: str, key: str, words: str, given: Sequence[str]) -> str:
    """With the line of the recipe, or with the options where one of them gave the value."""
    if recipe.source is None or _value(load_recipe(recipe.source), table, key) == _value(recipe, table, key):
        return f"{where(recipe.source, (table, key))}: {words}"
    return f"{where(None, (table, key))}: {words}" + (f" (under {' '.join(given)})" if given else "")


@contextmanager
def asked_by(recipe: Recipe, table: str) -> Iterator[None]:
    """A model or questions that cannot be had are told with the line of the recipe that names them, or the options."""
    try:
        yield
    except (ModelError, TaskError) as error:
        told = _told(recipe, *(error.key or (table, "name")), str(error), recipe.given)
        raise type(error)(told) from None


def check_key(recipe: Recipe) -> None:
    """Raise ``RecipeError`` where a recipe's file would have a key sent to a server that the user did not name: a
    recipe from elsewhere may name any variable and any address."""
    url = recipe.model.endpoint and server_url(recipe.model.endpoint)
    variable = recipe.engine.arguments.get("key_env", "OPENAI_API_KEY")
    if not url or not os.environ.get(variable, "").strip() or key_may_go(url) or recipe.source is None:
        return
    if load_recipe(recipe.source).model.endpoint == recipe.model.endpoint:  # else an option gave it
        host = urlsplit(url).hostname
        refuser(recipe.source)(
            ("model", "endpoint"),
            f"the key in {variable} would be sent to {host}; where that is meant, set {TRUSTED_HOSTS}={host} in the "
            'environment, or write key_env = "" under [engine] to send none',
        )


def check_data(recipe: Recipe, data: Path | None, option: str) -> None:
    """Look for the questions that are to stand in for the recipe's own; ``option`` is what they were given by.

    Raises:
        RecipeError: they are not there, or the recipe would not read them.
    """
    if data is None:
        return
    if not reads_data(recipe.task):
        raise RecipeError(
            f"{option} {data}: recipe {recipe.name} makes its own questions and would not read it; leave {option} out, "
            "or name a recipe that reads questions"
        )
    if not data.exists():
        raise RecipeError(
            f"{option} {data}: no such file or folder; give a folder with train.jsonl and test.jsonl (.json, .csv "
            "or .parquet), or one such file"
        )


def check_rewards(recipe: Recipe) -> None:
    """Look for the user's reward functions, and for a package that one of ours takes.

    Raises:
        RecipeError: one is not found, does not take what it is given, or judges by answers that the task has not.
    """
    look_beside(recipe.source)
    for name in recipe.rewards:
        if name == "json_schema" and not _is_installed("jsonschema"):
            words = "jsonschema is not installed: pip install 'rl-harness[json]'"
            refuser(recipe.source)(("rewards", name), words)
        if name in SHIPPED:
            continue  # these are known to be there
        try:
            check_parameters(
                name,
                resolve_reward(name, recipe.rewards.folder),
                recipe.rewards.parameters.get(name, {}),
                shipped=False,
            )
        except RewardError as error:
            refuser(recipe.source)(("rewards", name), str(error))
    if recipe.task.fields.get("answer") == "":
        name, _ = primary_grader(functions_of(recipe.rewards))
        own = _RULES.get(name, "")
        if name in SHIPPED and own not in recipe.rewards.parameters.get(name, {}):
            give = f"give {name} its {own}" if own else "name the field of the answers"
            refuser(recipe.source)(
                ("task", "fields", "answer"),
                f"without answers {name}, which judges by them, finds none right; {give}, or let a function of your "
                "own that has .grade judge, as the first under [rewards]",
            )


# Shipped graders by the parameter that may stand in the place of a question's answer.
_RULES = {"regex": "pattern", "json_schema": "schema"}
