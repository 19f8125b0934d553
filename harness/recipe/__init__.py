"""A recipe: one TOML file that says what to train, on what, how it is judged, and what is asked of it.

    recipe = load_recipe("suites/recipes/tiny-arithmetic.toml")
    recipe.train.arguments["num_generations"]

The same object can be built in Python (``Recipe(name=..., task=TaskSection(...), ...)``); every rule below holds there
too. All sections are frozen: a changed recipe is a new object (:meth:`Recipe.override`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, InstanceOf, ValidationError, model_validator

from harness.recipe.checks import check, fewest_questions, read_rewards
from harness.recipe.messages import explain, line_of, section_types
from harness.recipe.sections import (
    DataSection,
    EngineSection,
    EvaluateSection,
    GateSection,
    HealthSection,
    LaunchSection,
    LoraSection,
    ModelSection,
    TrainSection,
)
from harness.rewards.settings import Rewards
from harness.store.errors import RecipeError
from harness.store.names import as_text
from harness.store.table import Table
from harness.tasks.section import TaskSection

__all__ = [
    "DataSection",
    "EngineSection",
    "EvaluateSection",
    "GateSection",
    "HealthSection",
    "LaunchSection",
    "LoraSection",
    "ModelSection",
    "Recipe",
    "TaskSection",
    "TrainSection",
    "load_recipe",
    "parse_changes",
]

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes


class Recipe(Table):
    """What decides a run, but for its training seed. ``source`` is the file it came from, if any.

    Raises:
        RecipeError: a key is unknown, a value has the wrong type, or the combination is impossible.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    requires: list[Literal["gpu", "request"]] = Field(default=[])
    seeds: list[Seed] = Field(default=[0], min_length=1)
    model: ModelSection
    task: TaskSection
    rewards: InstanceOf[Rewards] = Rewards({"boxed_numeric": 1.0})
    train: TrainSection = TrainSection()
    data: DataSection | None = None
    lora: LoraSection | None = None
    evaluate: EvaluateSection = EvaluateSection()
    engine: EngineSection = EngineSection()
    gate: GateSection = GateSection()
    health: HealthSection = HealthSection()
    launch: LaunchSection = LaunchSection()
    source: Path | None = Field(default=None, exclude=True, repr=False)

    def __init__(self, **fields: Any) -> None:
        if "rewards" in fields:
            fields["rewards"] = read_rewards(fields["rewards"], fields.get("source"))
        try:
            super().__init__(**fields)
        except ValidationError as error:
            source = fields.get("source")
            raise RecipeError(explain(error, source if isinstance(source, Path) else None)) from None
        check(self)

    @model_validator(mode="after")
    def _say_what_is_learnt_from(self) -> Recipe:
        if self.train.method != "grpo" and self.data is None:  # its defaults are part of the recipe
            object.__setattr__(self, "data", DataSection())
        return self

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
            return Recipe(**tables, source=self.source)
        except RecipeError as error:
            raise RecipeError(f"{error} (under {' '.join(given)})" if given else str(error)) from None

    def limited(self, questions: int) -> Recipe:
        """The recipe with at most ``questions`` training and test questions, but enough to train on at all."""
        if questions < 1:
            raise RecipeError(f"a limit of {questions} questions leaves nothing to ask; give 1 or more")
        return self.override(
            {
                "task.train_questions": min(max(questions, fewest_questions(self)), self.task.train_questions),
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
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        number = at[1] if at else len(text.splitlines())
        raise RecipeError(f"{path}:{number}: not valid TOML: {error}") from None
    for reserved in ("name", "source"):
        if reserved in tables:
            raise RecipeError(f"{path}:{line_of(text, (reserved,))}: a recipe's {reserved} is its file; drop this key")
    return Recipe(name=as_text(path.stem), source=path, **tables)


def parse_changes(assignments: list[str]) -> dict[str, Any]:
    """``["train.max_steps=2"]`` as ``{"train.max_steps": 2}``, for :meth:`Recipe.override`.

    The value is TOML; one that is not is taken as text. Raises ``RecipeError`` where there is no ``key=``.
    """
    changes = {}
    for assignment in assignments:
        key, equals, text = as_text(assignment).partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"an override is written key=value, as in train.max_steps=2, not {assignment!r}")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = text.strip()
    return changes
