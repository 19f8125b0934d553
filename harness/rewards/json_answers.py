r"""Answers in JSON, held to a JSON Schema by the package jsonschema, an extra.

>>> json_said('{"a": 1}'), json_said('So:\n```json\n{"a": 1}\n```'), json_said("```\n1\n```\n```\n2\n```")
('{"a": 1}', '{"a": 1}', None)

An answer is JSON as a whole, or its fenced block is. Of several blocks all must be the same; one that says json and is
none counts as another. A policy may write anything: names given twice, NaN, numbers beyond a float or of more than 400
digits, and what is nested deeper than 64 levels or longer than 100,000 characters is no JSON here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, NoReturn, Protocol, cast

from harness.rewards.grader import Grade, Grader, configurable
from harness.rewards.patterns import found_in
from harness.store.errors import RewardError
from harness.store.redact import safe_line

_MOST_CHARACTERS = 100_000
_MOST_LEVELS = 64
_MOST_DIGITS = 400
_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[ \t]*$", re.MULTILINE)
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{}\]]', re.DOTALL)


@partial(configurable, form="json")
def json_schema(*, schema: Mapping[str, Any] | str | None = None) -> Grader:
    """The answer is JSON that a schema admits: the recipe's, as a table, as JSON text or as the path of a file, or else
    the question's: its ground truth, undecided where that is no schema. Nothing is ever fetched."""
    try:
        own = None if schema is None else schema if isinstance(schema, str) else json.dumps(schema)
    except TypeError as error:  # TOML has dates
        raise RewardError(f"schema: it is no JSON: {error}; write it as text") from None
    if own is not None:
        try:
            _validator(own)
        except ValueError as error:
            raise RewardError(f"schema: {error}") from None
        except ImportError:
            pass  # a recipe may be read without the package: harness.recipe.needs says so before it is used

    def grade(completion: str, ground_truth: str) -> Grade:
        said = json_said(completion)
        if said is None:
            return Grade(None, False)
        try:
            validator = _validator(ground_truth if own is None else own)
        except ValueError:
            return Grade(said, None)
        except ImportError:
            raise RewardError("json_schema needs the package jsonschema: pip install 'rl-harness[json]'") from None
        value = _read(said)
        try:
            return Grade(said, validator.is_valid(value))
        except ArithmeticError:  # a number beyond what multipleOf divides
            return Grade(said, False)
        except Exception:  # the schema's fault, found where an answer reaches it, or out of time
            return Grade(said, None)

    return grade


def json_said(completion: str) -> str | None:
    """The JSON of an answer, as it stands there; ``None`` where there is none, or two that differ."""
    whole = completion.strip()
    if _value(whole) is not None:
        return whole
    fences = list(_FENCE.finditer(completion))
    blocks = [
        (opened[1].lower(), completion[opened.end() : closed.start()].strip())
        for opened, closed in zip(fences[::2], fences[1::2], strict=False)
    ]
    found = {_value(text): text for kind, text in blocks if kind == "json" or _value(text) is not None}
    return next(iter(found.values())) if len(found) == 1 and None not in found else None


def _value(text: str) -> str | None:
    """What JSON says, written in one way; ``None`` where it is none."""
    try:
        return _written(_read(text))
    except (ValueError, RecursionError):
        return None


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _read(text: str) -> Any:
    """The value of JSON text. Raises ``ValueError`` for what is none."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("it is too long")
    depth = 0
    for mark in _STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth > _MOST_LEVELS:
            raise ValueError("it is nested too deep")
    return json.loads(
        text, parse_constant=_refused, parse_int=_whole, parse_float=_decimal, object_pairs_hook=_each_once
    )


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


def _decimal(digits: str) -> float | int:
    """1.0 is 1, as in JSON Schema."""
    number = float(digits)
    if len(digits) > _MOST_DIGITS or not math.isfinite(number):
        raise ValueError("a number is too large")
    return int(number) if number.is_integer() else number


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(table := dict(pairs)) < len(pairs):
        raise ValueError("a name is given twice")
    return table


class _Validator(Protocol):
    def is_valid(self, instance: Any) -> bool: ...


@lru_cache(maxsize=1_000)
def _validator(text: str) -> _Validator:
    """The validator of a schema as JSON text. Raises ``ValueError`` with what is wrong, and ``ImportError``."""
    from jsonschema import Draft202012Validator, SchemaError, ValidationError
    from jsonschema.validators import extend, validator_for
    from referencing import Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

    def pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not found_in(wanted, instance):
            yield ValidationError("no match")

    def unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if wanted and isinstance(instance, list) and len({*map(_written, instance)}) < len(instance):
            yield ValidationError("not unique")

    def check(part: Resource[Any], around: Any) -> None:
        inside = around.in_subresource(part)
        keywords = part.contents if isinstance(part.contents, dict) else {}
        for key in keywords.keys() & {"$ref", "$dynamicRef"}:
            try:
                inside.lookup(keywords[key])
            except Unresolvable:
                raise ValueError(f"{key} {keywords[key]!r} is not in the schema, and nothing is fetched") from None
        if "pattern" in keywords:
            found_in(keywords["pattern"], "")
        for each in part.subresources():
            check(each, inside)

    try:
        schema = _read(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{safe_line(repr(text), 60)} is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ValueError(f"{safe_line(repr(text), 60)} is no table")
    if not isinstance(schema.get("$schema", ""), str):
        raise ValueError(f"$schema must be text, not {safe_line(repr(schema['$schema']), 60)}")
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
        # One that could be stopped, and one that takes no quadratic time, in place of jsonschema's own.
        made = extend(kind, {"pattern": pattern, "uniqueItems": unique})(schema, registry=EMPTY_REGISTRY)
        whole = Resource.from_contents(schema, default_specification=DRAFT202012)
        check(whole, EMPTY_REGISTRY.resolver_with_root(whole))
        made.is_valid({})
    except SchemaError as error:
        place = "/".join(map(str, error.path)) or "its top"
        raise ValueError(f"{safe_line(error.message, 120)} (at {place})") from None
    except RecursionError:
        raise ValueError("it refers to itself without an end") from None
    except ValueError:
        raise
    except Exception as error:  # what is no schema fails anywhere in these packages
        raise ValueError(f"it is no schema: {safe_line(f'{type(error).__name__}: {error}', 120)}") from None
    return cast("_Validator", made)
