"""What ``[model] endpoint`` and ``[engine]`` may say, checked when tests are collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.policy.engines.address import server_url
from harness.recipe.messages import nearest

if TYPE_CHECKING:
    from harness.recipe import Recipe

_ENDPOINT: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "concurrency": ("a whole number of requests, 1 or more", lambda value: type(value) is int and value >= 1),
    "key_env": ("the name of an environment variable", lambda value: isinstance(value, str) and value.isidentifier()),
    "timeout_seconds": ("a number of seconds above 0", lambda value: type(value) in (int, float) and value > 0),
    "tries": ("a whole number, 1 or more", lambda value: type(value) is int and value >= 1),
}


def check_engine(recipe: Recipe, refuse: Callable[[tuple[str, ...], str], None]) -> None:
    """Call ``refuse`` for the first rule that is broken. Keys of other libraries are checked where they are used."""
    engine, given = recipe.engine, recipe.engine.arguments
    if recipe.model.endpoint is None:
        if engine.name == "transformers" and given:
            key = next(iter(given))
            home = (
                "; it is for [model] endpoint"
                if key in _ENDPOINT
                else f"; {nearest(key, [name for name in type(engine).model_fields if name != 'arguments'])}"
            )
            refuse(("engine", key), f"unknown key of the transformers engine{home}")
        return
    try:
        server_url(recipe.model.endpoint)
    except ValueError as error:
        refuse(("model", "endpoint"), str(error))
    if recipe.model.from_recipe is not None:
        refuse(("model", "endpoint"), "from_recipe says another model; drop one of the two")
    if engine.name != "transformers":
        refuse(("engine", "name"), f"the server of [model] endpoint answers, not {engine.name}; drop one of the two")
    for key, value in given.items():
        if key not in _ENDPOINT:
            refuse(("engine", key), f"unknown key of an endpoint; {nearest(key, list(_ENDPOINT))}")
        must, holds = _ENDPOINT[key]
        if not holds(value):
            refuse(("engine", key), f"must be {must}, not {value!r}")
