"""docs/recipe.md has every key of a recipe with its default, every health check with its limit, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from harness.gate.health import CHECKS
from harness.recipe import HealthSection, Recipe
from harness.recipe.schema import section_types

TEXT = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text(encoding="utf-8")
TOP = "Top of the file"
GATHERED = {"arguments", "limits", "source"}  # keys of others, and the file itself


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the tables under a heading by their first cell."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [re.split(r" *\| *", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


def written(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    return "-" if value is None or value is PydanticUndefined else f"`{json.dumps(value)}`"


@pytest.mark.parametrize("name", [TOP, *(name for name in section_types() if name != "rewards")])
def test_every_key_with_its_default(name: str) -> None:
    found = rows(TOP if name == TOP else f"`[{name}]`")
    fields = Recipe.model_fields if name == TOP else section_types()[name].model_fields
    own = {key for key in fields if name != TOP or key in ("description", "requires", "seeds")} - GATHERED
    expected = {key: written(fields[key]) for key in own}
    if name == "health":
        expected["signal"] = f"`{HealthSection().signal}`"
        expected |= {check.name: f"`{check.limit}`" for check in CHECKS.values()}
        assert {each: found[each][1] for each in CHECKS} == {each.name: each.level for each in CHECKS.values()}
    if name == "data":
        expected["source"] = '`"completions"`'
    assert {key: row[0] for key, row in found.items()} == expected
