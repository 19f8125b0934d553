"""A recipe: one TOML file that says what to train, on what, how it is judged, and what is asked of it.

    recipe = load_recipe("suites/recipes/tiny-arithmetic.toml")
    recipe.train.arguments["num_generations"]

The same object can be built in Python (``Recipe(name=..., task=TaskSection(...), ...)``); every rule below holds there
too. All sections are frozen: a changed recipe is a new object (:meth:`Recipe.override`).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import RecipeError

SYSTEM_PROMPT = r"Reason step by step, then put the final answer in \boxed{}."

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelSection(_Section):
    """``[model]``: ``"tiny"`` (embedded), a Hub id, a local folder or a ``.gguf`` file."""

    name: str
    revision: str = "main"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class TaskSection(_Section):
    """``[task]``: ``"arithmetic"``, ``"gsm8k"``, or the path of a JSONL file or folder; see :mod:`harness.tasks`."""

    name: str
    train_questions: Positive
    test_questions: Positive
    system_prompt: str = SYSTEM_PROMPT
    few_shot: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    fields: Mapping[str, str] = Field(default_factory=dict)
    operations: list[Literal["add", "subtract", "multiply"]] = ["add", "subtract", "multiply"]
    largest: Positive = 12


class TrainSection(_Section):
    """``[train]``: the method; every other key goes to TRL's config of that method unchanged."""

    method: Literal["grpo"] = "grpo"
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, table: Any) -> Any:
        if not isinstance(table, dict) or "arguments" in table:
            return table
        return {
            **({"method": table["method"]} if "method" in table else {}),
            "arguments": {key: value for key, value in table.items() if key != "method"},
        }


class EvaluateSection(_Section):
    """``[evaluate]``: how answers are decoded. Temperature 0 is greedy; ``top_k = 0`` and ``top_p = 1`` cut nothing."""

    max_new_tokens: Positive = 512
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    samples_per_question: Positive = 1
    seed: int = 0
    batch_size: Positive = 64


class GateSection(_Section):
    """``[gate]``: what is asked of the trained policy; see :mod:`harness.gate`. Shares, not percent."""

    min_accuracy: Share | None = None
    min_improvement: Share | None = None
    margin: Annotated[float, Field(gt=0, le=1)] = 0.05
    stop_early: bool = False
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(gt=0, lt=1)] = 0.80


class Recipe(_Section):
    """What decides a run, but for its training seed. ``source`` is the file it came from, if any.

    Raises:
        RecipeError: a key is unknown, a value has the wrong type, or the combination is impossible.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    requires: list[Literal["gpu", "request"]] = []
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    model: ModelSection
    task: TaskSection
    rewards: Annotated[Mapping[str, float], Field(min_length=1)] = {"boxed_numeric": 1.0}
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
    gate: GateSection = GateSection()
    source: Path | None = Field(default=None, exclude=True, repr=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise RecipeError(_explain(error, fields)) from None
        from harness.recipe_checks import check

        check(self)

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """A new recipe with dotted keys replaced: ``recipe.override({"train.max_steps": 2, "model.name": "tiny"})``."""
        tables = self._tables()
        for dotted, value in changes.items():
            *sections, key = dotted.split(".")
            table = tables
            for section in sections:
                table = table.setdefault(section, {})
                if not isinstance(table, dict):
                    raise RecipeError(f"{dotted!r} names no key of a recipe; write section.key, as in train.max_steps")
            table[key] = value
        return Recipe(**tables, source=self.source)

    def limited(self, questions: int) -> Recipe:
        """The recipe with at most ``questions`` training and test questions."""
        if questions < 1:
            raise RecipeError(f"a limit of {questions} questions leaves nothing to ask; give 1 or more")
        return self.override(
            {
                "task.train_questions": min(questions, self.task.train_questions),
                "task.test_questions": min(questions, self.task.test_questions),
            }
        )

    def to_toml(self) -> str:
        """The recipe as TOML that :func:`load_recipe` reads back, defaults written out."""
        tables = self._tables()
        del tables["name"]
        return tomli_w.dumps(tables)

    def _tables(self) -> dict[str, Any]:
        tables: dict[str, Any] = self.model_dump(exclude_none=True)
        tables["train"] = {"method": self.train.method, **tables["train"]["arguments"]}
        return tables


def load_recipe(path: str | Path) -> Recipe:
    """Read one recipe file; its name is the file's stem.

    Raises:
        RecipeError: with file, line and key, and what to write instead.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    for reserved in ("name", "source"):
        if reserved in tables:
            raise RecipeError(f"{path}:{line_of(text, (reserved,))}: a recipe's {reserved} is its file; drop this key")
    return Recipe(name=path.stem, source=path, **tables)


def parse_changes(assignments: list[str]) -> dict[str, Any]:
    """``["train.max_steps=2"]`` as ``{"train.max_steps": 2}``, for :meth:`Recipe.override`.

    The value is TOML; one that is not is taken as text. Raises ``RecipeError`` where there is no ``key=``.
    """
    changes = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"an override is written key=value, as in train.max_steps=2, not {assignment!r}")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = text.strip()
    return changes


def line_of(text: str, location: tuple[str, ...]) -> int:
    """The 1-based line where a dotted key stands in TOML text, or its section's line, or 1.

    tomllib keeps no positions; recipes are plain tables, so headers and ``key =`` lines are enough.
    """
    section, found = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = header[1].strip()
            if len(location) > 1 and section == location[0]:
                found = number
        elif section == ".".join(location[:-1]):
            key = re.match(r"\s*[\"']?([^\"'=]+?)[\"']?\s*=", line)
            if key and key[1] == location[-1]:
                return number
    return found


def where(recipe_source: Path | None, location: tuple[str, ...]) -> str:
    """``file:line: [section] key``, or just the key for a recipe built in Python."""
    key = f"[{'.'.join(location[:-1])}] {location[-1]}" if len(location) > 1 else location[0]
    if recipe_source is None or not recipe_source.is_file():
        return key
    return f"{recipe_source}:{line_of(recipe_source.read_text(encoding='utf-8'), location)}: {key}"


def nearest(word: str, valid: list[str]) -> str:
    """A hint that names the nearest valid word, or all of them when they are few."""
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(sorted(valid))}" if len(valid) <= 12 else "nothing valid has a similar name"


def _explain(error: ValidationError, fields: Mapping[str, Any]) -> str:
    """pydantic's first finding in our words."""
    finding = error.errors()[0]
    location = tuple(str(part) for part in finding["loc"] if not isinstance(part, int))
    location = tuple(part for part in location if part != "arguments") or ("recipe",)
    place = where(fields.get("source"), location)
    if finding["type"] == "extra_forbidden":
        section: Any = Recipe
        for part in location[:-1]:
            section = section.model_fields[part].annotation
        valid = [key for key in section.model_fields if key not in ("name", "source") or section is not Recipe]
        return f"{place}: unknown key; {nearest(location[-1], valid)}"
    if finding["type"] == "missing":
        return f"{place}: missing; this key is required"
    return f"{place}: {finding['msg']}, not {finding['input']!r}"
