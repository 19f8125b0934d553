"""Recipes: read from a file, found by name, changed, and the others that they start from."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import PrivateAttr, ValidationError

from harness.recipe.checks import check, check_values, fewest_questions
from harness.recipe.messages import explain, line_of, refuser
from harness.recipe.schema import LaunchSection, RecipeTables, section_types
from harness.rewards.registry import Rewards
from harness.store.errors import RecipeError, nearest
from harness.store.names import as_file, as_text, is_there
from harness.store.siblings import leaves

_PACKAGE = Path(__file__).parents[1]
# An installed package carries a copy; in a checkout they lie where users edit them.
SHIPPED_RECIPES = next(
    (folder for folder in (_PACKAGE / "recipes", _PACKAGE.parent / "suites" / "recipes") if folder.is_dir()),
    _PACKAGE / "recipes",
)


class Recipe(RecipeTables):
    """What decides a run, but for its training seed.

    Raises:
        RecipeError: a key is unknown, a value has the wrong type, or the combination is impossible.
    """

    _swept: tuple[str, ...] = PrivateAttr(())
    _given: tuple[str, ...] = PrivateAttr(())

    def __init__(self, **fields: Any) -> None:
        source = fields.get("source")
        check_values(fields, refuser(source))
        if "rewards" in fields:
            folder = folder_of(source) if isinstance(source, Path) else None
            fields["rewards"] = Rewards.from_table(_with_schema(fields["rewards"], source), refuser(source), folder)
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise RecipeError(explain(error, source if isinstance(source, Path) else None)) from None
        check(self)
        if self.model.from_recipe is not None:
            try:
                _check_lineage(self)
            except RecipeError as error:
                refuser(self.source)(("model", "from_recipe"), str(error))

    def override(self, changes: Mapping[str, Any], given: Sequence[str] = ()) -> Recipe:
        """A new recipe with dotted keys replaced: ``recipe.override({"train.max_steps": 2, "model.name": "tiny"})``.

        Raises:
            RecipeError: as :func:`load_recipe`; it names ``given``, the options that the changes were given by.
        """
        tables = self._tables()
        for dotted, value in changes.items():
            table, key = tables, dotted
            if (section := key.partition(".")[0]) != key and section in section_types():
                tables.setdefault(section, {})
            while isinstance(inner := table.get(key.partition(".")[0]), dict) and "." in key:
                table, key = inner, key.partition(".")[2]  # a reward's name may hold dots itself
            table[key] = value
        try:
            made = Recipe(**tables, source=self.source).of_sweep(self.swept)
            made._given = (*self._given, *given)
            return made
        except RecipeError as error:
            raise RecipeError(f"{error} (under {' '.join(given)})" if given else str(error)) from None

    @property
    def swept(self) -> tuple[str, ...]:
        """Keys that this recipe has one of several values of (:mod:`harness.recipe.sweeps`)."""
        return self._swept

    @property
    def given(self) -> tuple[str, ...]:
        """The options that changed it."""
        return self._given

    def of_sweep(self, keys: Iterable[str]) -> Recipe:
        """The same recipe, one of those that differ in these keys."""
        made = self.model_copy()
        made._swept = tuple(keys)
        return made

    def value(self, key: str) -> Any:
        """The value of a dotted key; ``None`` where it is not set."""
        return leaves(self._tables()).get(key)

    def limited(self, questions: int) -> Recipe:
        """The recipe with at most ``questions`` training and test questions, but enough to train on at all."""
        if questions < 1:
            raise RecipeError(f"a limit of {questions} questions leaves nothing to ask; give 1 or more")
        train = min(max(questions, fewest_questions(self)), self.task.train_questions)
        wanted = self.task.learnable
        return self.override(
            {
                "task.train_questions": train,
                **({} if isinstance(wanted, bool) else {"task.learnable": min(wanted, train)}),
                "task.test_questions": min(questions, self.task.test_questions),
                "evaluate.during_questions": min(questions, self.evaluate.during_questions),
            }
        )

    def to_toml(self) -> str:
        """The recipe as TOML that :func:`load_recipe` reads back, defaults written out."""
        tables = self._tables()
        del tables["name"]
        return tomli_w.dumps(tables)

    def _tables(self) -> dict[str, Any]:
        tables: dict[str, Any] = self.model_dump(exclude_none=True)
        tables["rewards"] = self.rewards.table()
        tables["train"] = {"method": self.train.method, **tables["train"]["arguments"]}
        tables["engine"] |= tables["engine"].pop("arguments")
        tables["health"] |= tables["health"].pop("limits")
        if self.launch == LaunchSection():  # a recipe of one process reads as it always did
            del tables["launch"]
        return tables


def _with_schema(rewards: Any, source: Any) -> Any:
    """A table of rewards with the text of the schema whose path ``json_schema`` gives, beside the recipe or in the
    working directory: what it says belongs to a run's identity, and is copied with the recipe. A schema that TOML
    cannot hold, as from Python with a ``None``, is JSON text too."""
    if not isinstance(rewards, Mapping) or not isinstance(own := rewards.get("json_schema"), Mapping):
        return rewards
    schema, place, refuse = own.get("schema"), ("rewards", "json_schema", "schema"), refuser(source)
    if isinstance(schema, Mapping):
        try:
            tomli_w.dumps(schema)
            return rewards
        except TypeError:
            pass
        try:
            text = json.dumps(schema)
        except TypeError as error:
            refuse(place, f"cannot be written as JSON: {error}")
    elif isinstance(schema, str) and not schema.lstrip().startswith("{"):
        beside = source.parent if isinstance(source, Path) else Path()
        named = as_file(schema)
        path = next((each for each in (beside / named, named) if is_there(each) and each.is_file()), None)
        if path is None:
            words = "no such file; it is looked for beside the recipe, then in the working directory"
            refuse(place, f"{schema}: {words}")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            refuse(place, f"{schema}: cannot be read: {error.strerror or error}")
        except UnicodeDecodeError:
            refuse(place, f"{schema}: not UTF-8 text; save the file as UTF-8")
    else:
        return rewards
    return {**rewards, "json_schema": {**own, "schema": text}}


def folder_of(source: Path) -> str:
    """Where a recipe's file lies."""
    return str(source.parent.resolve())


def load_recipe(path: str | Path) -> Recipe:
    """Read one recipe file; its name is the file's stem.

    Raises:
        RecipeError: with file, line and key, and what to write instead.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None
    try:
        tables = read_toml(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        number = at[1] if at else len(text.splitlines())
        raise RecipeError(f"{path}:{number}: not valid TOML: {error}") from None
    for reserved in ("name", "source"):
        if reserved in tables:
            raise RecipeError(f"{path}:{line_of(text, (reserved,))}: a recipe's {reserved} is its file; drop this key")
    return Recipe(name=as_text(path.stem), source=path, **tables)


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """``["train.max_steps=2"]`` as ``{"train.max_steps": 2}``, for :meth:`Recipe.override`.

    The value is TOML; one that is not is taken as text. Raises ``RecipeError`` where there is no ``key=``, or where a
    list, a table or a text in quotes is begun and is none.
    """
    changes = {}
    for assignment in assignments:
        key, equals, text = as_text(assignment).partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"an override is written key=value, as in train.max_steps=2, not {assignment!r}")
        try:
            changes[key.strip()] = read_toml(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            if text.strip()[:1] in ("[", "{", '"', "'"):
                raise RecipeError(
                    f"{key.strip()}: the value {text.strip()} is not valid TOML: {error}; a list is written as "
                    "[1e-6, 5e-6], and a text that begins with a bracket or a quote in quotes"
                ) from None
            changes[key.strip()] = text.strip()
    return changes


def read_toml(text: str) -> dict[str, Any]:
    """The tables of TOML text.

    Raises:
        TOMLDecodeError: it is none, or more than Python reads: a number of thousands of digits, or lists and tables
            that lie hundreds deep in each other.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # of int()
        what, place = "a number has too many digits", re.search(r"[0-9_]{600}", text)
    except RecursionError:
        what, place = "lists or tables lie too deep in each other", re.search(r"([\[{][^\[\]{}]*){50}", text)
    line = text.count("\n", 0, place.end() if place else len(text)) + 1
    raise tomllib.TOMLDecodeError(f"{what} (at line {line})")


def find_recipe(recipe: str | Path | Recipe, folder: Path | None = None) -> Recipe:
    """A recipe by name (in ``folder`` first, then among the shipped ones) or by the path of its file.

    Raises:
        RecipeError: there is no such recipe; the message names the nearest one.
    """
    if isinstance(recipe, Recipe):
        return recipe
    path = Path(recipe)
    if path.suffix == ".toml":
        if not (is_there(path) and path.is_file()):
            raise RecipeError(f"{path}: no such recipe file")
        return load_recipe(path)
    files = recipe_files(folder)
    if str(recipe) not in files:
        hint = nearest(str(recipe), list(files))
        raise RecipeError(f"no recipe named {str(recipe)!r}; {hint} (or give a .toml file)")
    return load_recipe(files[str(recipe)])


def recipe_files(folder: Path | None = None) -> dict[str, Path]:
    """Recipe files by name: the shipped ones, and those in ``folder`` before them."""
    folders = [SHIPPED_RECIPES, *([folder] if folder else [])]
    return {path.stem: path for each in folders for path in sorted(each.glob("*.toml"))}


def parent_of(recipe: Recipe) -> Recipe | None:
    """The recipe that this one starts from (``[model] from_recipe``), read; ``None`` where it starts from a model.

    It is found beside this one, or else among the shipped ones, and trains as its file says: what the command line
    overrides is meant for the recipe that was asked for.

    Raises:
        RecipeError: there is no such recipe, or its file is wrong.
    """
    if recipe.model.from_recipe is None:
        return None
    return find_recipe(recipe.model.from_recipe, recipe.source.parent if recipe.source else None)


def base_name(recipe: Recipe) -> str:
    """The model at the root of a recipe's lineage, as it is written there."""
    while (parent := parent_of(recipe)) is not None:
        recipe = parent
    return recipe.model.name


def _check_lineage(recipe: Recipe) -> None:
    """Raise ``RecipeError`` where the recipes that this one starts from lead back to themselves or to none, where the
    root's model is not the one that this recipe names, or where its parent was taught another prompt."""
    if str(recipe.model.from_recipe).endswith(".toml"):
        raise RecipeError(f"{recipe.model.from_recipe!r} is a file; write the recipe's name, without .toml")
    files = recipe_files(recipe.source.parent if recipe.source else None)
    seen, name = [recipe.name], recipe.model.from_recipe
    while name is not None and name in files:  # parent_of says where it is not, with the nearest name
        if name in seen:
            raise RecipeError(f"{' starts from '.join([*seen, name])}: no recipe can start from itself")
        seen.append(name)
        try:
            model = read_toml(files[name].read_text(encoding="utf-8-sig")).get("model", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            break  # as above
        name = model.get("from_recipe") if isinstance(model, dict) else None
    root, parent = base_name(recipe), parent_of(recipe)  # reads every recipe on the way, and so checks it
    assert parent is not None
    asked, taught = (dict(each.model.chat_template_kwargs) for each in (recipe, parent))
    if asked != taught:
        raise RecipeError(
            f"{parent.name} is trained with chat_template_kwargs = {taught}, and this recipe says {asked}; "
            "write the same under [model] of both, so that every stage asks the same prompt"
        )
    if recipe.model.name and recipe.model.name != root:
        raise RecipeError(
            f"{recipe.model.from_recipe} starts from the model {root!r}, and name says {recipe.model.name!r}; "
            "drop name, or one of the two"
        )
