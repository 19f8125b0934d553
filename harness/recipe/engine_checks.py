"""What ``[model] endpoint`` and ``[engine]`` may say, checked when tests are collected.

``--rl-endpoint`` puts a server in the place of a recipe's engine: keys of the one are no keys of the other, so a recipe
may have keys of both, and which of them have no say is known only when the options are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.models.engines.address import OMITTABLE, server_url
from harness.recipe.messages import where
from harness.store.errors import RecipeError, nearest

if TYPE_CHECKING:
    from harness.recipe import EngineSection, Recipe

_ENDPOINT: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "concurrency": ("a whole number of requests, 1 or more", lambda value: type(value) is int and value >= 1),
    "key_env": ("the name of an environment variable", lambda value: isinstance(value, str) and value.isidentifier()),
    "timeout_seconds": ("a number of seconds above 0", lambda value: type(value) in (int, float) and value > 0),
    "deadline_seconds": ("a number of seconds above 0", lambda value: type(value) in (int, float) and value > 0),
    "tries": ("a whole number, 1 or more", lambda value: type(value) is int and value >= 1),
    "omit": (
        f"a list of {', '.join(map(repr, OMITTABLE[:-1]))} or {OMITTABLE[-1]!r}",
        lambda value: isinstance(value, list) and all(each in OMITTABLE for each in value),
    ),
}


def check_engine(recipe: Recipe, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    """Call ``refuse`` for the first rule that is broken. Keys of other libraries are checked where they are used."""
    engine, given = recipe.engine, recipe.engine.arguments
    for key, value in given.items():
        must, holds = _ENDPOINT.get(key, ("", lambda value: True))
        if not holds(value):
            refuse(("engine", key), f"must be {must}, not {value!r}")
    foreign = next((key for key in given if key not in _ENDPOINT), None)
    if recipe.model.endpoint is None:
        if engine.name == "transformers" and foreign is not None:
            valid = [name for name in type(engine).model_fields if name != "arguments"]
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


def check_endpoint_keys(recipe: Recipe, given: Sequence[str] = ()) -> None:
    """Raise ``RecipeError`` where keys are for an endpoint and there is none; ``given`` are the options that changed
    the recipe."""
    key = next((key for key in recipe.engine.arguments if key in _ENDPOINT), None)
    if recipe.model.endpoint is None and key is not None:
        place, under = where(recipe.source, ("engine", key)), f" (under {' '.join(given)})" if given else ""
        home = "it is for [model] endpoint, or --rl-endpoint"
        raise RecipeError(f"{place}: unknown key of the {recipe.engine.name} engine; {home}{under}")
