"""The table ``[rewards]`` of a recipe: names, weights, parameters and limits, and the functions that the names mean.

>>> rewards = Rewards.from_table({
...     "boxed_numeric": 1.0,
...     "length_penalty": {"weight": 0.2, "max_tokens": 400, "soft_tokens": 100},
... })
>>> dict(rewards), dict(rewards.parameters)
({'boxed_numeric': 1.0, 'length_penalty': 0.2}, {'length_penalty': {'max_tokens': 400, 'soft_tokens': 100}})
>>> resolve_reward("boxed_numeric").__name__
'boxed_numeric'
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, NoReturn, cast

from harness.rewards import cells, functions
from harness.rewards.grader import RewardFunction, form_of
from harness.store.errors import RewardError, nearest
from harness.store.question import GIVEN
from harness.store.redact import safe_line
from harness.store.versions import REWARDS

# The strict grader of tags has a version, and is no reward of its own.
_SHIPPED: Mapping[str, RewardFunction] = MappingProxyType(
    {name: getattr(functions, name) for name in REWARDS if name != "tags_exact"}
)

SHIPPED: tuple[str, ...] = tuple(_SHIPPED)
"""Names that a recipe may use without a module."""

TIMEOUT_SECONDS = 60.0
"""How long one call of a reward function of the user's may take, where the recipe says nothing."""

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "math_equivalent": ("sympy", "mpmath"),
    "regex": ("regex",),
    "json_schema": ("jsonschema", "referencing", "regex"),
}
"""What shipped functions compute with: another version may give other values."""

# The table

Refuse = Callable[[tuple[str, ...], str], NoReturn]
"""``refuse(location, message)`` raises; the location is that of the key, ``("rewards", name, ...)``."""


def _refuse(location: tuple[str, ...], message: str) -> NoReturn:
    raise RewardError(f"{'.'.join(location)}: {message}")


@dataclass(frozen=True, eq=False)
class Rewards(Mapping[str, float]):
    """Name to weight. ``parameters`` are keyword arguments by name, and ``limits`` seconds by name, of those that have
    any; ``timeout_seconds`` is the limit of the others. Functions of the user's are looked for in ``folder`` first, the
    recipe's."""

    weights: Mapping[str, float]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    timeout_seconds: float = TIMEOUT_SECONDS
    folder: str | None = None

    def __getitem__(self, name: str) -> float:
        return self.weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self.table() == Rewards.of(other).table()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a dict

    def limit(self, name: str) -> float:
        """Seconds that one call of a function may take."""
        return self.limits.get(name, self.timeout_seconds)

    @classmethod
    def of(cls, rewards: Mapping[str, float]) -> Rewards:
        """A plain mapping of name to weight has no parameters and the usual time limit."""
        return rewards if isinstance(rewards, Rewards) else cls(dict(rewards))

    @classmethod
    def from_table(cls, table: object, refuse: Refuse = _refuse, folder: str | None = None) -> Rewards:
        """``{name: weight}`` or ``{name: {"weight": .., parameters}}``, and ``timeout_seconds`` for all of them."""
        if isinstance(table, Rewards):
            return table
        if not isinstance(table, Mapping):
            refuse(("rewards",), f"must be a table of keys, not {_shown(table)}")
        weights: dict[str, float] = {}
        parameters: dict[str, dict[str, Any]] = {}
        limits: dict[str, float] = {}
        for name, value in table.items():
            own = dict(value) if isinstance(value, Mapping) else {"weight": value}
            if name == "timeout_seconds":
                continue
            if "weight" not in own:
                refuse(("rewards", name), "a reward with parameters needs its weight, as in { weight = 1.0, ... }")
            place = ("rewards", name, "weight") if isinstance(value, Mapping) else ("rewards", name)
            weights[name] = _number(own.pop("weight"), place, refuse)
            if "timeout_seconds" in own:
                limits[name] = _limit(own.pop("timeout_seconds"), ("rewards", name, "timeout_seconds"), refuse)
            if own:
                parameters[name] = own
        if not weights:
            refuse(("rewards",), f"must not be empty, not {_shown(dict(table))}")
        overall = _limit(table.get("timeout_seconds", TIMEOUT_SECONDS), ("rewards", "timeout_seconds"), refuse)
        return cls(weights, parameters, limits, overall, folder if any(":" in name for name in weights) else None)

    def table(self) -> dict[str, Any]:
        """What :meth:`from_table` reads back, in the same order: the first function that grades decides."""
        table: dict[str, Any] = {}
        if self.timeout_seconds != TIMEOUT_SECONDS:
            table["timeout_seconds"] = self.timeout_seconds
        for name, weight in self.weights.items():
            own = dict(self.parameters.get(name, {}))
            if name in self.limits:
                own["timeout_seconds"] = self.limits[name]
            # TOML writes plain values before tables: where one is a table, all are, to stay in order.
            table[name] = {"weight": weight, **own} if self.parameters or self.limits else weight
        return table

    def settings(self) -> dict[str, Any]:
        """Whatever beside the weights decides the values, as plain JSON; empty for most recipes."""
        found: dict[str, Any] = {}
        if self.parameters:
            found["parameters"] = {name: dict(own) for name, own in self.parameters.items()}
        limits = {name: self.limit(name) for name in self.weights if self.limit(name) != TIMEOUT_SECONDS}
        return found | ({"timeout_seconds": limits} if limits else {})


def _number(value: object, location: tuple[str, ...], refuse: Refuse) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(location, f"must be a number, not {_shown(value)}")
    if not math.isfinite(value):
        refuse(location, f"must be a finite number, not {_shown(value)}")
    return float(value)


def _limit(value: object, location: tuple[str, ...], refuse: Refuse) -> float:
    seconds = _number(value, location, refuse)
    if seconds <= 0:
        refuse(location, f"must be more than 0 seconds, not {seconds:g}")
    return seconds


def _shown(value: object) -> str:
    return safe_line(str(value).lower() if isinstance(value, bool) else repr(value), 60)


# The functions


def resolve_reward(name: str, folder: str | None = None) -> RewardFunction:
    """The reward function called ``name``: one of :data:`SHIPPED` or ``"package.module:function"``, of a module in
    ``folder``, or else one that is importable as it is (whoever reads the recipe puts its folder on ``sys.path``).
    Raises ``RewardError`` where there is none."""
    if name in _SHIPPED:
        return _SHIPPED[name]
    if (given := cells.function_of_cell(name)) is not None:
        return cast("RewardFunction", given)
    module_name, attribute = _split(name)
    if module_name == "__main__":
        raise RewardError(
            f'reward "{name}": was defined in a notebook or a script, and is known there alone; put it into a file '
            f'beside the recipe and write "file:{attribute}"'
        )
    module = _import(name, module_name, folder)
    function = getattr(module, attribute, None)
    if function is None:
        close = get_close_matches(attribute, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f'; did you mean "{module_name}:{close[0]}"?' if close else ""
        raise RewardError(f'reward "{name}": {_file(module) or module_name} has no "{attribute}"{hint}')
    if not callable(function):
        raise RewardError(
            f'reward "{name}": "{attribute}" is a value of type {type(function).__name__}, not a function'
        )
    return cast("RewardFunction", function)


def reward_name(function: Callable[..., Any]) -> str:
    """The name by which :func:`resolve_reward` finds a function from now on: that of a shipped one, that of a module
    which any process can import, or else one of this process alone (:mod:`harness.rewards.cells`).

    Raises ``RewardError`` for what no name can be given.
    """
    for name, shipped in _SHIPPED.items():
        if function is shipped:
            return name
    module = sys.modules.get(str(getattr(function, "__module__", None)))
    attribute = getattr(function, "__name__", "")
    known = module is not None and module.__name__ != "__main__" and getattr(module, attribute, None) is function
    if known and (path := _file(module)) is not None and path.suffix == ".py":
        return f"{function.__module__}:{attribute}"
    return cells.keep(function)


def _split(name: str) -> tuple[str, str]:
    module_name, colon, attribute = name.partition(":")
    if not (colon and attribute.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        close = get_close_matches(name, SHIPPED, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"those shipped are {', '.join(SHIPPED)}."
        raise RewardError(
            f'there is no reward "{name}"; {hint} A function of your own is written "package.module:function".'
        )
    return module_name, attribute


def _import(name: str, module_name: str, folder: str | None) -> ModuleType:
    try:
        if folder is not None and _is_of(folder, module_name):
            return _import_of(folder, module_name)
        return importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (module_name == missing or module_name.startswith(f"{missing}.")):
            raise RewardError(
                f'reward "{name}": there is no module "{missing}" on Python\'s path; '
                "it is looked for beside the recipe and in the working directory"
            ) from error
        raise RewardError(f'reward "{name}": importing {module_name} {raised(error)}') from error


_OF_FOLDERS: dict[str, dict[str, ModuleType]] = {}
"""The modules of recipes' folders, which may have names in common: only one of those is in ``sys.modules``."""


def _is_of(folder: str, module_name: str, file: str | None = None) -> bool:
    """Whether a folder has a module of this name, that of a ``file`` where one is given."""
    path = Path(folder, *module_name.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return any(map(Path.is_file, files)) if file is None else Path(file) in files


def _import_of(folder: str, module_name: str) -> ModuleType:
    """A module of a folder, whatever other module of its name, or of one that it imports from beside it, is there."""
    kept = _OF_FOLDERS.setdefault(folder, {})
    if module_name in kept:
        return kept[module_name]
    beside = {path.stem for path in Path(folder).iterdir()}
    others = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in beside
        and _is_users(module)
        and not _is_of(folder, name, getattr(module, "__file__", None) or "")
    }
    for name in others:
        del sys.modules[name]
    sys.modules.update(kept)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        kept[module_name] = importlib.import_module(module_name)
    finally:
        sys.path.remove(folder)
        kept |= {name: sys.modules.pop(name) for name in others.keys() & sys.modules.keys()}
        sys.modules.update(others)
    return kept[module_name]


def _is_users(module: ModuleType) -> bool:
    """Whether a module was imported from neither this package, Python nor an installed one."""
    path = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return path is not None and not cells.is_installed(Path(path))


def raised(error: BaseException) -> str:
    """``raised ValueError at my_rewards.py:12: no number in it``: the innermost line of the user's own files that an
    exception came through, if there is one. The lines of this package, of Python's and of installed packages are not
    theirs to mend. The file's name alone, so that the words are the same on every machine."""
    place = ""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if not (cells.is_installed(file) or file.name.startswith("<")):
            name = "/".join(file.parts[-2:]) if file.name == "__init__.py" else file.name
            # A notebook's cell is a file that is named by a number.
            cell = file.parent.name.startswith("ipykernel_")
            place = f" in line {line} of its cell" if cell else f" at {name}:{line}"
            break
    return f"raised {type(error).__name__}{place}: {error}"


def check_parameters(name: str, function: Callable[..., Any], parameters: Mapping[str, Any], *, shipped: bool) -> None:
    """Raises ``RewardError`` for a parameter that a function does not take, or lacks.

    A shipped function's parameters are its keyword-only ones, and it looks at their values. A function of the user's
    may take anything by ``**``.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some callables of C have none
        return
    kinds = inspect.Parameter
    own = [each for each in signature.parameters.values() if each.kind is kinds.KEYWORD_ONLY and each.name not in GIVEN]
    takes = [each.name for each in own]
    anything = any(each.kind is kinds.VAR_KEYWORD for each in signature.parameters.values()) and not shipped
    named = {each.name for each in signature.parameters.values() if each.kind is not kinds.VAR_KEYWORD}
    for key in parameters:
        if not anything and key not in (takes if shipped else named):
            close = get_close_matches(key, takes, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"{name} takes {', '.join(takes) or 'none'}"
            raise RewardError(f"unknown parameter {key!r}; {hint}")
    missing = [each.name for each in own if each.default is kinds.empty and each.name not in parameters]
    if missing and shipped:  # a keyword of the user's may be a column of their questions
        example = ", ".join(f"{key} = ..." for key in missing)
        raise RewardError(f"needs {' and '.join(missing)}, as in {name} = {{ weight = 1.0, {example} }}")
    if shipped:
        function(prompts=[], completions=[], ground_truth=[], completion_tokens=[], **parameters)


class Takes(NamedTuple):
    """The parameters of a function by name, those of them without a default, whether it takes ``anything`` more by
    ``**``, and those that are keyword-only, which a recipe gives where the function is shipped."""

    named: frozenset[str]
    needed: tuple[str, ...]
    anything: bool
    keyword_only: frozenset[str] = frozenset()


def takes(function: Callable[..., Any], behind: int = 0) -> Takes:
    """What a reward function can be called with by name, or a grader ``behind`` its first two parameters."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[behind:]
    except (TypeError, ValueError):  # some callables of C have none
        return Takes(frozenset(), (), True)
    kinds = inspect.Parameter
    named = [each for each in parameters if each.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    needed = tuple(each.name for each in named if each.default is kinds.empty and each.name not in GIVEN)
    anything = any(each.kind is kinds.VAR_KEYWORD for each in parameters)
    keyword_only = frozenset(each.name for each in named if each.kind is kinds.KEYWORD_ONLY)
    return Takes(frozenset(each.name for each in named), needed, anything, keyword_only)


def columns_asked(rewards: Mapping[str, float]) -> frozenset[str] | None:
    """The columns of a question's row that a recipe's reward functions take by name: ``None`` is all of them, where a
    function of the user's has ``**``."""
    asked: set[str] = set()
    for name, function in functions_of(rewards).items():
        own = takes(function)
        if own.anything and name not in SHIPPED:
            return None
        given = own.keyword_only if name in SHIPPED else Rewards.of(rewards).parameters.get(name, {}).keys()
        asked |= own.named - given
    return frozenset(asked - GIVEN)


def check_columns(own: Takes, parameters: Mapping[str, Any], columns: Iterable[str]) -> None:
    """Raises ``RewardError`` where a function takes what is neither a column of the questions nor a parameter that the
    recipe gives."""
    for key in sorted(set(own.needed) - set(columns) - parameters.keys()):
        there = sorted(set(columns) - GIVEN)
        hint = nearest(key, there) if there else "they have none"
        raise RewardError(f"takes {key!r}, and the questions have no such column; {hint}")


def functions_of(names: Iterable[str]) -> dict[str, RewardFunction]:
    """The reward functions of these names, those of a recipe's ``Rewards`` from its folder. Raises ``RewardError`` as
    :func:`resolve_reward` does."""
    folder = names.folder if isinstance(names, Rewards) else None
    return {name: resolve_reward(name, folder) for name in names}


def answer_form(names: Iterable[str]) -> str | None:
    """The form in which the reward functions of these names, in a recipe's order, read answers; ``None`` where that is
    not known (:func:`harness.rewards.grader.form_of`). Raises ``RewardError`` as :func:`resolve_reward` does."""
    return form_of(functions_of(names))


def reward_version(name: str, folder: str | None = None) -> str:
    """What decides the reward's values, for fingerprints: the same name and version give the same rewards.

    Of a shipped reward, its version, and those of the libraries that it computes with. Of a user's function, a hash of
    the file of the module named and of the module that defines the function, though not of what those import, or of its
    source where it was given in a notebook; it may build on shipped rewards, so that all of these versions count too,
    and the libraries of those that it names. Raises ``RewardError`` where ``name`` does not resolve or its module has
    no source file.
    """
    if name in REWARDS:
        own = [f"{package} {_version(package)}" for package in PACKAGES.get(name, ())]
        return ", ".join([f"version {REWARDS[name]}", *own])
    function = resolve_reward(name, folder)
    modules = {**sys.modules, **_OF_FOLDERS.get(folder or "", {})}
    if (given := cells.function_of_cell(name)) is not None:
        sources = [cells.source_of(given).encode(errors="surrogateescape")]
    else:
        module_name, _ = _split(name)
        home = getattr(function, "__module__", None) or module_name
        sources = [_source(name, modules.get(each)).replace(b"\r\n", b"\n") for each in sorted({module_name, home})]
    named = [shipped for shipped in PACKAGES if any(shipped.encode() in source for source in sources)]
    libraries = [f"{package} {_version(package)}" for shipped in named for package in PACKAGES[shipped]]
    digest = hashlib.sha256(json.dumps([REWARDS, libraries], sort_keys=True).encode())
    for number, source in enumerate(sources):
        digest.update(f"{number}\0{len(source)}\0".encode() + source)
    return f"source {digest.hexdigest()[:16]}"


def _source(name: str, module: ModuleType | None) -> bytes:
    path = _file(module)
    if path is None or path.suffix != ".py" or not path.is_file():
        raise RewardError(f'reward "{name}" has no Python source file, so kept results cannot be matched to it')
    return path.read_bytes()


def _file(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if file else None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
