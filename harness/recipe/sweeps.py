"""Several values for one key are several recipes: ``train.learning_rate=[1e-6, 5e-6]`` is a run with each.

A list for a key that takes one stays a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, get_args, get_origin

from harness.recipe.catalog import Recipe
from harness.recipe.schema import section_types
from harness.recipe.trl_arguments import takes_list
from harness.rewards import SHIPPED
from harness.store.errors import RecipeError


def sweep(recipe: Recipe, changes: Mapping[str, Any], given: Sequence[str] = ()) -> list[Recipe]:
    """The recipe with ``changes``: one recipe, or one for each combination of the values of its keys.

    Raises:
        RecipeError: as :meth:`Recipe.override` does, for whichever value; or a key has no value, or one twice.
    """
    swept = {
        key: value for key, value in changes.items() if isinstance(value, list) and not _is_list(recipe, key, changes)
    }
    for key, several in swept.items():
        if not several or any(value in several[:place] for place, value in enumerate(several)):
            what = "names a value twice" if several else "has no value"
            raise RecipeError(f"{key}: {several} {what}; each is a run of its own, as in {key}=[1, 2]")
    if not changes:
        return [recipe]
    made = []
    for values in product(*swept.values()):
        chosen = dict(zip(swept, values, strict=True))
        options = [*given, *(f"with {key}={value!r}" for key, value in chosen.items())]
        made.append(recipe.override({**changes, **chosen}, options).of_sweep(swept))
    return made


def _is_list(recipe: Recipe, key: str, changes: Mapping[str, Any]) -> bool:
    """Whether a key of a recipe takes a list: by its type, or, of a key that is another's, by what the recipe has."""
    table, _, rest = key.partition(".")
    section = section_types().get(table)
    field = (Recipe if section is None else section).model_fields.get(rest or table)
    if field is not None:
        return any(get_origin(each) in (list, tuple) for each in _parts(field.annotation))
    if table == "train" and "." not in rest:
        methods = changes.get("train.method", recipe.train.method)
        return all(takes_list(method, rest) for method in (methods if isinstance(methods, list) else [methods]))
    return rest not in SHIPPED and not isinstance(recipe.value(key), int | float | str)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _parts(each)
