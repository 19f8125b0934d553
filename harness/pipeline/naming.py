"""What a run is called: its recipe, what was overridden in it, and its seed where that says something.

tiny-arithmetic
tiny-arithmetic lr=2e-6
tiny-arithmetic lr=2e-6 seed 1
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from harness.pipeline.fingerprint import decides
from harness.pipeline.manifest import overrides
from harness.recipe.schema import section_types
from harness.store.errors import HarnessError, RecipeError
from harness.store.redact import clean_tree, safe_line
from harness.store.run_files import Changed, Name
from harness.store.siblings import label, slug, worded

if TYPE_CHECKING:
    from harness.recipe import Recipe

_MOST, _LONGEST = 4, 32  # overrides that a name says, and characters of a value
_MOST_LETTERS = 60  # of a name that is given


def run_name(recipe: Recipe, seed: int, given: str | None = None) -> Name:
    """The name of a recipe's run with a seed; ``given`` is what somebody calls it instead of by its overrides.

    Raises:
        HarnessError: ``given`` is no name.
    """
    known = overrides(recipe)
    changed = known.changed if known else ()
    seeds = next((each.file for each in changed if each.key == "seeds"), recipe.seeds)
    swept = [Changed(key, None, recipe.value(key)) for key in recipe.swept]
    keys = {each.key: each for each in (*swept, *(changed if given is None else ()))}
    variant = " ".join([recipe.name if given is None else check_name(given), *_words(recipe, keys.values())])
    alone = [seed] == recipe.seeds == seeds
    return Name(variant if alone else f"{variant} seed {seed}", variant, given is not None)


def check_name(given: str) -> str:
    """The same, where it can be printed and be a folder's name."""
    wrong = None
    if not given.strip():
        wrong = "is empty"
    elif len(given) > _MOST_LETTERS:
        wrong = f"is longer than {_MOST_LETTERS} characters"
    elif safe_line(given) != given:
        wrong = "holds what cannot be printed in a line"
    elif slug(given) == "run" != given:
        wrong = "has none of the letters a to z and no digit, and its folder is named by those"
    if wrong:
        raise HarnessError(f"{given!r} is no name for a run: it {wrong}; write one as 'small batch 2'")
    return given.strip()


def swept_words(recipe: Recipe) -> list[str]:
    """The values that a recipe has of those that keys are given, as its name says them."""
    return _words(recipe, [Changed(key, None, recipe.value(key)) for key in recipe.swept])


def check_sweep(recipes: Sequence[Recipe], *, records: bool) -> None:
    """Raise ``RecipeError`` where values of a key would share a run, or (``records``) a baseline."""
    for key in recipes[0].swept:
        if not decides(key, recipes[0]):
            raise RecipeError(f"{key} decides no result, so all its values are of one run; give it one value")
        if records:
            raise RecipeError(f"{key} has several values and a recipe has one baseline a seed; record one of them")


def _words(recipe: Recipe, changed: Collection[Changed]) -> list[str]:
    told = {
        each.key: each.run
        for each in changed
        if each.key in recipe.swept
        or (each.run not in (None, "") and decides(each.key, recipe) and not _is_default(each))
    }
    told = clean_tree(told)  # a folder's name holds no secret either
    labels = {key: label(key) for key in told}
    words = ["lora"] if any(each.key.startswith("lora.") and each.file is None for each in changed) else []
    for key, value in told.items():
        short = labels[key] if list(labels.values()).count(labels[key]) == 1 else key
        words.append(f"{short}={_brief(value)}")
    most = max(_MOST, len(recipe.swept) + 1)
    return words if len(words) <= most else [*words[: most - 1], f"and {len(words) - most + 1} more"]


def _is_default(changed: Changed) -> bool:
    """Of a key whose whole table the file leaves out: ``[data]`` comes with ``method = "dpo"``."""
    table, _, key = changed.key.partition(".")
    field = section_types()[table].model_fields.get(key) if table in section_types() else None
    return (
        changed.file is None and field is not None and bool(changed.run == field.get_default(call_default_factory=True))
    )


def _brief(value: Any) -> str:
    """A value without spaces; of a path or an address its last part, of a long text its beginning."""
    text = worded(value).replace(" ", "")
    if isinstance(value, str) and "://" not in text:
        text = text.rstrip("/").rpartition("/")[2]
    text = text.partition("://")[2] or text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
