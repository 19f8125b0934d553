"""Reward functions that were given as objects: of a notebook's cell, or of a script. No other process can import them.

They are known by a name like any other (``"__main__:my_reward"``), in this process. What decides their values, and so
stands in fingerprints, is :func:`source_of`: a file that could be hashed whole is not there.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from harness.store.errors import RewardError

_FUNCTIONS: dict[str, FunctionType] = {}
_OURS, _PYTHONS = Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


def keep(function: Callable[..., Any]) -> str:
    """Know a function by a name from now on; a cell that is run again gives the name to what it defines now.

    Raises:
        RewardError: it is no function with a name and a source, so that kept results could not be matched to it.
    """
    if not isinstance(function, FunctionType):
        raise RewardError(f"reward of type {type(function).__name__}: give a function that is defined by def")
    if function.__name__ == "<lambda>":
        raise RewardError("a lambda has no name to be kept by; define the reward function by def")
    source_of(function)
    name = f"{function.__module__ or '__main__'}:{function.__name__}"
    _FUNCTIONS[name] = function
    return name


def is_of_cell(name: str) -> bool:
    """Whether a reward of this name lives in this process alone."""
    return name in _FUNCTIONS


def function_of_cell(name: str) -> FunctionType | None:
    """The function, where it is such a one."""
    return _FUNCTIONS.get(name)


def source_of(function: FunctionType) -> str:
    """What decides the values of a function: its source, and that of the functions and values that it uses by name, its
    defaults among them. What a decorator wraps counts beside it. Of the user's own modules, the file counts. Installed
    packages count by name, and objects that are no plain data by their type.

    Raises:
        RewardError: a source is not there, as of what was typed at Python's own prompt.
    """
    return "\n".join(_parts(function, set()))


def _parts(value: Any, met: set[int]) -> Iterator[str]:
    if isinstance(value, FunctionType):
        yield from () if id(value) in met else _function(value, met | {id(value)})
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}"
        file = getattr(sys.modules.get(value.__module__), "__file__", None) or ""
        if value.__module__ == "__main__" or not is_installed(Path(file)):
            for name, member in sorted(vars(value).items()):
                if isinstance(member, FunctionType) and id(member) not in met:
                    yield name
                    yield from _function(member, met | {id(member)})
    elif isinstance(value, ModuleType):
        yield value.__name__
        file = getattr(value, "__file__", None)
        if file and not is_installed(Path(file)) and Path(file).is_file():
            yield hashlib.sha256(Path(file).read_bytes()).hexdigest()
    elif isinstance(value, partial):
        yield from _parts(value.func, met)
        for each in (*value.args, *(part for pair in sorted(value.keywords.items()) for part in pair)):
            yield from _parts(each, met)
    elif isinstance(value, BuiltinFunctionType):
        yield f"{value.__module__}.{value.__qualname__}"
    elif (wrapped := inspect.getattr_static(value, "__wrapped__", None)) is not None:  # of functools.lru_cache
        yield _plain(value)
        yield from () if id(value) in met else _parts(wrapped, met | {id(value)})
    else:
        yield _plain(value)


def _function(function: FunctionType, met: set[int]) -> Iterator[str]:
    code = function.__code__
    used = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            used[name] = cell.cell_contents
        except ValueError:
            raise RewardError(
                f"{function.__name__} uses {name}, which has no value yet; give it one before the function"
            ) from None
    if (wrapped := getattr(function, "__wrapped__", None)) is not None:  # of functools.wraps
        used["__wrapped__"] = wrapped
    if is_installed(Path(code.co_filename)):
        yield f"{function.__module__}.{function.__qualname__}"
    else:
        try:
            yield inspect.getsource(code)  # of a function it would be that of what it wraps
        except (OSError, TypeError):
            raise RewardError(
                f"{function.__name__} has no source, so kept results could not be matched to it; "
                "define it in a notebook's cell or in a file"
            ) from None
        used |= {name: function.__globals__[name] for name in _names(code) if name in function.__globals__}
    yield _plain([function.__defaults__, function.__kwdefaults__])
    for name, each in sorted(used.items()):
        yield name
        yield from _parts(each, met)


def _names(code: CodeType) -> Iterator[str]:
    """What a function refers to outside of itself; its comprehensions are code of their own."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def is_installed(file: Path) -> bool:
    """Whether a source file is this package's, Python's or an installed package's, and not the user's own."""
    ours = file.is_relative_to(_OURS) or file.is_relative_to(_PYTHONS)
    return ours or not _INSTALLED.isdisjoint(file.parts)


def _plain(value: Any) -> str:
    def told(other: Any) -> Any:
        if isinstance(other, set | frozenset):
            return sorted(map(_plain, other))
        if isinstance(other, re.Pattern):
            return [other.pattern, other.flags]
        return f"{type(other).__module__}.{type(other).__qualname__}"

    try:
        return json.dumps(value, default=told, sort_keys=True)
    except (TypeError, ValueError):  # keys that are no text, what holds itself
        return str(told(value))
