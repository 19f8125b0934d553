"""The keys and defaults read from TRL's source text, against the classes themselves."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from harness.recipe.trl_arguments import CONFIGS, OWNED, OWNED_BY, argument_defaults
from harness.store.errors import RecipeError


@pytest.fixture(scope="module", params=["grpo", "sft", "dpo"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def config(method: str) -> Any:
    """TRL's own class."""
    import trl

    return getattr(trl, f"{method.upper()}Config")


@pytest.fixture(scope="module")
def fields(config: Any) -> dict[str, dataclasses.Field[Any]]:
    """Its fields."""
    return {field.name: field for field in dataclasses.fields(config)}


def test_names_are_those_of_the_class(method: str, fields: dict[str, dataclasses.Field[Any]]) -> None:
    assert set(argument_defaults(method)) == set(fields)


def test_literal_defaults_are_those_of_the_class(method: str, fields: dict[str, dataclasses.Field[Any]]) -> None:
    defaults = argument_defaults(method)
    differing = {name for name, field in fields.items() if field.default != defaults[name]}
    # None stands for what the source computes: a factory, or a name that is no literal.
    assert {name for name in differing if defaults[name] is not None} == set()
    assert differing <= {"optim", "include_for_metrics", "loss_type"}


def test_the_bases_that_are_read_are_all_that_have_fields(method: str, config: Any) -> None:
    bases = [base.__name__ for base in reversed(config.__mro__) if dataclasses.is_dataclass(base)]
    assert bases == [name for _, _, name in CONFIGS[method]]


def test_nothing_with_a_numeric_default_takes_text(method: str, fields: dict[str, dataclasses.Field[Any]]) -> None:
    # recipe_checks refuses text for these keys.
    numeric = {name for name, default in argument_defaults(method).items() if isinstance(default, (int, float))}
    assert len(numeric) > 50
    assert [name for name in numeric if "str" in str(fields[name].type)] == []


def test_owned_keys_are_trls_keys(method: str) -> None:
    assert set(OWNED) <= set(argument_defaults("grpo"))
    assert set(OWNED_BY[method]) <= set(argument_defaults(method))


def test_reading_imports_neither_trl_nor_torch() -> None:
    code = (
        "import sys; from harness.recipe.trl_arguments import argument_defaults\n"
        "assert argument_defaults('grpo')['beta'] == 0.0\n"
        "print(sorted({'torch', 'trl', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "none", (("no_such_package_here", "x.py", "X"),))
    with pytest.raises(RecipeError, match="the package 'no_such_package_here' is not installed"):
        argument_defaults("none")
