"""From the name in a recipe to the reward function, and to the version of what decides its values.

A name is one of :data:`SHIPPED` or ``"package.module:function"``. The module must be importable as it is: whoever reads
the recipe puts its folder on ``sys.path`` (:mod:`harness.recipe.needs`), this module leaves it alone.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import sys
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, cast

from harness.rewards.answer_in_tags import answer_in_tags
from harness.rewards.boxed_exact import boxed_exact
from harness.rewards.boxed_numeric import boxed_numeric
from harness.rewards.format_boxed import format_boxed
from harness.rewards.format_tags import format_tags
from harness.rewards.length_penalty import length_penalty
from harness.rewards.math_equivalent import math_equivalent
from harness.rewards.raised import raised
from harness.rewards.repetition_penalty import repetition_penalty
from harness.store.errors import RewardError
from harness.store.versions import REWARDS
from harness.tasks.forms import form_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.rewards.grader import RewardFunction

_SHIPPED: Mapping[str, RewardFunction] = MappingProxyType(
    {
        "boxed_numeric": boxed_numeric,
        "boxed_exact": boxed_exact,
        "math_equivalent": math_equivalent,
        "answer_in_tags": answer_in_tags,
        "format_boxed": format_boxed,
        "format_tags": format_tags,
        "length_penalty": cast("RewardFunction", length_penalty),  # its parameters are bound where it is called
        "repetition_penalty": repetition_penalty,
    }
)

SHIPPED: tuple[str, ...] = tuple(_SHIPPED)
"""Names that a recipe may use without a module."""

_MATH_PACKAGES = ("sympy", "mpmath")


def resolve_reward(name: str) -> RewardFunction:
    """The reward function called ``name``; raises ``RewardError`` where there is none."""
    if name in _SHIPPED:
        return _SHIPPED[name]
    module_name, attribute = _split(name)
    module = _import(name, module_name)
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


def answer_form(names: Iterable[str]) -> str | None:
    """The form in which the reward functions of these names, in a recipe's order, read answers; ``None`` where that is
    not known (:func:`harness.tasks.forms.form_of`). Raises ``RewardError`` as
    :func:`resolve_reward` does."""
    return form_of({name: resolve_reward(name) for name in names})


def reward_version(name: str) -> str:
    """What decides the reward's values, for fingerprints: the same name and version give the same rewards.

    Of a shipped reward, its version, and those of the libraries that it computes with. Of a user's function, a hash of
    the file of the module named and of the module that defines the function, though not of what those import; it may
    build on shipped rewards, so that all of these versions count too. Raises ``RewardError`` where
    ``name`` does not resolve or its module has no source file.
    """
    libraries = [f"{package} {_version(package)}" for package in _MATH_PACKAGES]
    if name in REWARDS:
        return ", ".join([f"version {REWARDS[name]}", *(libraries if name == "math_equivalent" else [])])
    function = resolve_reward(name)
    digest = hashlib.sha256(json.dumps([REWARDS, libraries], sort_keys=True).encode())
    module_name, _ = _split(name)
    home = getattr(function, "__module__", None) or module_name
    for number, module in enumerate(sorted({module_name, home})):
        _add(digest, str(number), _source(name, sys.modules.get(module)))
    return f"source {digest.hexdigest()[:16]}"


def _split(name: str) -> tuple[str, str]:
    module_name, colon, attribute = name.partition(":")
    if not (colon and attribute.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        close = get_close_matches(name, SHIPPED, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"those shipped are {', '.join(SHIPPED)}."
        raise RewardError(
            f'there is no reward "{name}"; {hint} A function of your own is written "package.module:function".'
        )
    return module_name, attribute


def _import(name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (module_name == missing or module_name.startswith(f"{missing}.")):
            raise RewardError(
                f'reward "{name}": there is no module "{missing}" on Python\'s path; '
                "it is looked for in the working directory and beside the recipe"
            ) from error
        raise RewardError(f'reward "{name}": importing {module_name} {raised(error)}') from error


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


def _add(digest: hashlib._Hash, label: str, content: bytes) -> None:
    """Adds one labelled part, line ends as Git normalizes them, its length first so that parts cannot run together."""
    content = content.replace(b"\r\n", b"\n")
    digest.update(f"{label}\0{len(content)}\0".encode())
    digest.update(content)
