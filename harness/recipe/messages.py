"""The words of a refused recipe: where in the file, what was wrong, and the nearest thing that would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from harness.recipe.schema import RecipeTables, section_types
from harness.recipe.trl_arguments import CONFIGS, OWNED, argument_defaults
from harness.store.errors import RecipeError, nearest
from harness.store.names import as_text
from harness.store.redact import safe_line

Refuse = Callable[[tuple[str, ...], str], NoReturn]

_MUST_BE = {  # by pydantic's name of the finding
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list in [brackets]",
    "model_type": "must be a table of keys",
    "mapping_type": "must be a table of keys",
    "dict_type": "must be a table of keys",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "must be letters, digits, '.', '_' and '-' of ASCII, the first a letter or a digit",
}


def explain(error: ValidationError, source: Path | None) -> str:
    """One of pydantic's findings in our words; an unknown key first, since a misspelt key is a missing one too."""
    findings = error.errors()
    finding = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    parts = (part for part in finding["loc"] if isinstance(part, str) and part not in ("arguments", "limits"))
    location = tuple(parts) or ("recipe",)
    place = where(source, location)
    if finding["type"] == "extra_forbidden":
        return f"{place}: unknown key; {_home(location)}"
    if finding["type"] == "missing":
        is_table = len(location) == 1 and location[0] in section_types()
        return f"{place}: missing; {f'a recipe needs a [{location[0]}] table' if is_table else 'this key is required'}"
    given, limits = finding["input"], finding.get("ctx", {})
    shown = safe_line(str(given).lower() if isinstance(given, bool) else repr(given), 60)
    must = _MUST_BE[finding["type"]].format(**limits) if finding["type"] in _MUST_BE else finding["msg"]
    percent = "; shares are written as 0.3 for 30 %" if limits.get("le") == 1 else ""
    return f"{place}: {must}, not {shown}{percent}"


def _home(location: tuple[str, ...]) -> str:
    """Where an unknown key belongs, or the nearest valid one."""
    *tables, word = location
    known = section_types()
    if tables and word in ("description", "requires", "seeds"):
        return "it belongs to the top of the recipe, before the first [table]"
    gathered = ("arguments", "limits") if tables else ("source",)  # no keys of a file
    valid = [key for key in (known[tables[0]] if tables else RecipeTables).model_fields if key not in gathered]
    first, dot, rest = word.partition(".")
    if dot and not tables and (close := difflib.get_close_matches(first, known, n=1, cutoff=0.6)):
        return f"did you mean '{close[0]}.{rest}'?"
    hint = nearest(first, valid)
    homes = [name for name, table in known.items() if word in table.model_fields and word not in gathered]
    if not tables and word not in OWNED and any(word in argument_defaults(method) for method in CONFIGS):
        homes.append("train")
    if not homes or hint.startswith("did you mean"):
        return hint
    return f"it belongs under {' or '.join(f'[{name}]' for name in homes)}"


def line_of(text: str, location: tuple[str, ...]) -> int:
    """The 1-based line where a dotted key stands in TOML text; else that of the nearest table around it, or 1.

    tomllib keeps no positions; recipes are plain tables, so headers and ``key =`` lines are enough.
    """
    section, lines = "", {"": 1}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = re.sub(r"[\"']", "", header[1]).strip()
            lines.setdefault(section, number)
        elif key := re.match(r"\s*[\"']?([^\"'=]+?)[\"']?\s*=", line):
            lines.setdefault(f"{section}.{key[1]}".removeprefix("."), number)
    around = (".".join(location[:end]) for end in range(len(location), -1, -1))
    return next(lines[place] for place in around if place in lines)


def where(recipe_source: Path | None, location: tuple[str, ...]) -> str:
    """``file:line: [section] key``, or just the key for a recipe built in Python."""
    key = f"[{'.'.join(location[:-1])}] {location[-1]}" if len(location) > 1 else location[0]
    if recipe_source is None or not recipe_source.is_file():
        return key
    return f"{as_text(str(recipe_source))}:{line_of(recipe_source.read_text(encoding='utf-8-sig'), location)}: {key}"


def refuser(source: object) -> Refuse:
    """``refuse(location, sentence)`` raises ``RecipeError`` with the place in the recipe's file, if it has one."""

    def refuse(location: tuple[str, ...], sentence: str) -> NoReturn:
        raise RecipeError(f"{where(source if isinstance(source, Path) else None, location)}: {sentence}")

    return refuse
