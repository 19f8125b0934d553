"""A recipe: one TOML file that says what to train, on what, how it is judged, and what is asked of it.

    recipe = load_recipe("suites/recipes/tiny-arithmetic.toml")
    recipe.train.arguments["num_generations"]

The same object can be built in Python (``Recipe(name=..., task=TaskSection(...), ...)``); every rule below holds there
too. All sections are frozen: a changed recipe is a new object (:meth:`Recipe.override`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from harness.errors import RecipeError
from harness.recipe_checks import check, fewest_questions, line_of, nearest, read_rewards, where
from harness.rewards.settings import Rewards

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

SYSTEM_PROMPT = r"Reason step by step, then put the final answer in \boxed{}."

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes


class _Explained(ModelMetaclass):
    """Models whose construction raises :class:`RecipeError`; pydantic makes those inside a recipe without it."""

    def __call__(cls, **fields: Any) -> Any:  # noqa: N805 (a metaclass)
        try:
            return super().__call__(**fields)
        except ValidationError as error:
            source = fields.get("source")
            section = () if cls is Recipe else (cls.__name__.removesuffix("Section").lower(),)
            raise RecipeError(_explain(error, section, source if isinstance(source, Path) else None)) from None


class _Section(BaseModel, metaclass=_Explained):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelSection(_Section):
    """``[model]``: ``"tiny"`` (embedded), a Hub id, a local folder or a ``.gguf`` file.

    ``from_recipe`` starts from what another recipe trained with the same seed instead; ``name`` may then be left out.
    """

    from_recipe: str | None = None
    name: str = Field(default="", validate_default=True)
    revision: str = "main"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @field_validator("name")
    @classmethod
    def _say_which(cls, name: str, info: ValidationInfo) -> str:
        if not name and info.data.get("from_recipe") is None:
            raise PydanticCustomError("missing", "no model is named")
        return name


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

    method: Literal["grpo", "sft", "dpo"] = "grpo"
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        if table.keys() <= {"method", "arguments"} and isinstance(table.get("arguments", {}), Mapping):
            return table  # built in Python
        return {
            **({"method": table["method"]} if "method" in table else {}),
            "arguments": {key: value for key, value in table.items() if key != "method"},
        }


class DataSection(_Section):
    """``[data]``: what SFT and DPO learn from.

    ``source`` is ``"completions"`` (the policy's own graded answers to the training questions), ``"solutions"`` (the
    task's worked ones, SFT only) or the path of a ``.jsonl`` file; see :mod:`harness.training.given`. All other keys
    are about completions: the answers sampled a question, at most ``per_question`` examples (SFT: different correct
    answers; DPO: pairs of a correct and a wrong one) made of them, and how they are sampled. ``max_new_tokens`` is
    that of ``[evaluate]`` unless given.
    """

    source: str = "completions"
    samples_per_question: Positive = 8
    per_question: Positive = 4
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Positive | None = None


class LoraSection(_Section):
    """``[lora]``: train low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft instead of all weights.

    ``alpha / r`` scales the adapter. ``target_modules`` is ``"all-linear"`` (all but the output layer) or a list of
    module names. ``merge`` saves the final policy as plain weights; without it, as an adapter beside its base's name.
    """

    r: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[
        list[str], Field(min_length=1), BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
    ] = ["all-linear"]
    merge: bool = True


class EvaluateSection(_Section):
    """``[evaluate]``: how answers are decoded. Temperature 0 is greedy; ``top_k = 0`` and ``top_p = 1`` cut nothing."""

    max_new_tokens: Positive = 512
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    samples_per_question: Positive = 1
    seed: int = 0
    batch_size: Positive = 64
    # During training: see harness.training.during.
    every_steps: Positive | None = None
    during_questions: Positive = 64
    keep_best: bool = False


class HealthSection(_Section):
    """``[health]``: see :mod:`harness.training.health` and :mod:`harness.signal_check`.

    A check's name with a number sets its limit, with ``false`` switches it off; ``signal`` is one of them: the share of
    groups with a gradient under which nothing is trained, as found on ``signal_questions`` training questions (four
    times as many before it refuses). Findings of checks in ``stop_on`` end the training. A job that shows no progress
    for ``stall_seconds`` at the least is ended.
    """

    stop_on: list[str] = []
    signal_questions: Positive = 16
    stall_seconds: Annotated[float, Field(gt=0)] = 600.0
    limits: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_limits(cls, table: Any) -> Any:
        if not isinstance(table, dict) or isinstance(table.get("limits"), Mapping):
            return table  # built in Python
        own = {key: value for key, value in table.items() if key in cls.model_fields}
        return {**own, "limits": {key: value for key, value in table.items() if key not in own}}

    @property
    def signal(self) -> float | None:
        """The signal check's limit; ``None`` where it is switched off."""
        limit = self.limits.get("signal", 0.05)
        return None if limit is False else float(limit)


class LaunchSection(_Section):
    """``[launch]``: the processes that train and answer together, in the words of ``torch.distributed.run``.

    ``nproc_per_node`` processes on each of ``nnodes`` machines train; an evaluation is shared out among those of the
    machine that it runs on. ``prefix`` is put before the command that starts a machine's processes and has to start it
    on every machine, as ``["srun", "--nodes=2", "--ntasks-per-node=1"]`` does; without one, ``rl-harness join`` does so
    on the others. ``rdzv_endpoint`` (``host:port``) is where machines find each other: this machine and a free port
    unless given. When a process dies, all are started again from the last checkpoint, at most ``max_restarts`` times:
    once unless said otherwise, since a crash that comes back is no accident.
    """

    nproc_per_node: Positive = 1
    nnodes: Positive = 1
    rdzv_backend: Literal["c10d", "etcd-v2"] = "c10d"
    rdzv_endpoint: str | None = None
    rdzv_id: str | None = None
    prefix: list[str] = []
    max_restarts: Annotated[int, Field(ge=0)] = 1

    @property
    def processes(self) -> int:
        """All processes that train together."""
        return self.nproc_per_node * self.nnodes


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
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    model: ModelSection
    task: TaskSection
    rewards: InstanceOf[Rewards] = Rewards({"boxed_numeric": 1.0})
    train: TrainSection = TrainSection()
    data: DataSection | None = None
    lora: LoraSection | None = None
    evaluate: EvaluateSection = EvaluateSection()
    gate: GateSection = GateSection()
    health: HealthSection = HealthSection()
    launch: LaunchSection = LaunchSection()
    source: Path | None = Field(default=None, exclude=True, repr=False)

    def __init__(self, **fields: Any) -> None:
        if "rewards" in fields:
            fields["rewards"] = read_rewards(fields["rewards"], fields.get("source"))
        super().__init__(**fields)
        check(self)

    @model_validator(mode="after")
    def _say_what_is_learnt_from(self) -> Recipe:
        if self.train.method != "grpo" and self.data is None:  # its defaults are part of the recipe
            object.__setattr__(self, "data", DataSection())
        return self

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """A new recipe with dotted keys replaced: ``recipe.override({"train.max_steps": 2, "model.name": "tiny"})``."""
        tables = self._tables()
        for dotted, value in changes.items():
            table, key = tables, dotted
            if (section := key.partition(".")[0]) != key and section in _sections():
                tables.setdefault(section, {})
            while isinstance(inner := table.get(key.partition(".")[0]), dict) and "." in key:
                table, key = inner, key.partition(".")[2]  # a reward's name may hold dots itself
            table[key] = value
        return Recipe(**tables, source=self.source)

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


_MUST_BE = {  # by pydantic's name of the finding
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list in [brackets]",
    "model_type": "must be a table of keys",
    "mapping_type": "must be a table of keys",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "must be letters, digits, '.', '_' and '-', the first a letter or a digit",
}


def _explain(error: ValidationError, section: tuple[str, ...], source: Path | None) -> str:
    """One of pydantic's findings in our words; an unknown key first, since a misspelt key is a missing one too."""
    findings = error.errors()
    finding = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    parts = (part for part in finding["loc"] if isinstance(part, str) and part not in ("arguments", "limits"))
    location = (*section, *parts) or ("recipe",)
    place = where(source, location)
    if finding["type"] == "extra_forbidden":
        return f"{place}: unknown key; {_home(location)}"
    if finding["type"] == "missing":
        is_table = len(location) == 1 and location[0] in _sections()
        return f"{place}: missing; {f'a recipe needs a [{location[0]}] table' if is_table else 'this key is required'}"
    given, limits = finding["input"], finding.get("ctx", {})
    shown = str(given).lower() if isinstance(given, bool) else repr(given)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    must = _MUST_BE[finding["type"]].format(**limits) if finding["type"] in _MUST_BE else finding["msg"]
    percent = "; shares are written as 0.3 for 30 %" if limits.get("le") == 1 else ""
    return f"{place}: {must}, not {shown}{percent}"


def _sections() -> dict[str, type[_Section]]:
    """The recipe's tables by name; ``DataSection | None`` is a table that may be left out."""
    kinds = {name: (field.annotation, *get_args(field.annotation)) for name, field in Recipe.model_fields.items()}
    tables = {name: [each for each in found if isinstance(each, type)] for name, found in kinds.items()}
    return {name: each for name, found in tables.items() for each in found if issubclass(each, _Section)}


def _home(location: tuple[str, ...]) -> str:
    """Where an unknown key belongs, or the nearest valid one."""
    *tables, word = location
    sections = _sections()
    if tables and word in ("description", "requires", "seeds"):
        return "it belongs to the top of the recipe, before the first [table]"
    valid = [key for key in (sections[tables[0]] if tables else Recipe).model_fields if tables or key != "source"]
    hint = nearest(word.partition(".")[0], valid)
    homes = [name for name, table in sections.items() if word in table.model_fields]
    if not homes or hint.startswith("did you mean"):
        return hint
    return f"it belongs under {' or '.join(f'[{name}]' for name in homes)}"
