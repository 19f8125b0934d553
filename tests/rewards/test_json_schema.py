"""JSON by a schema: where schemas come from, what is refused at collection, and what holds for any JSON; its cases are
the audit's."""

from __future__ import annotations

import json
import socket
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.recipe.catalog import load_recipe
from harness.recipe.needs import check_needs
from harness.rewards import RewardCalls, json_schema
from harness.rewards.json_answers import json_said
from harness.store.errors import RecipeError, RewardError

pytest.importorskip("jsonschema", reason="needs rl-harness[json]")

TASK = '[model]\nname = "tiny"\n[task]\nname = "arithmetic"\ntrain_questions = 64\ntest_questions = 8\n[rewards]\n'
CITY = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}


def recipe(folder, schema):
    (folder / "my.toml").write_text(f"{TASK}json_schema = {{ weight = 1.0, schema = {schema} }}\n")
    return load_recipe(folder / "my.toml")


@pytest.mark.parametrize(
    "schema",
    [
        '{ type = "object", required = ["city"], properties = { city = { type = "string" } } }',
        f"'{json.dumps(CITY)}'",
        '"city.json"',
    ],
)
def test_a_recipes_schema(tmp_path, schema):
    (tmp_path / "city.json").write_text(json.dumps(CITY))
    calls = RewardCalls(recipe(tmp_path, schema).rewards)
    answers = ['{"city": "Paris"}', '{"city": 1}', '```json\n{"city": "Rome"}\n```', "Paris"]
    assert calls(["?"] * 4, answers, {"ground_truth": ["-"] * 4}) == {"json_schema": [1.0, 0.0, 1.0, 0.0]}


def test_the_text_of_a_schemas_file_is_part_of_a_recipe(tmp_path):
    (tmp_path / "city.json").write_text("{}")
    one = recipe(tmp_path, '"city.json"').rewards
    assert one.parameters["json_schema"]["schema"] == "{}"
    (tmp_path / "city.json").write_text('{"type": "object"}')
    assert recipe(tmp_path, '"city.json"').rewards.settings() != one.settings()


def test_where_a_schemas_file_lies(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = '\ufeff{"type": "object"}'
    (tmp_path / "home" / "city.json").write_text(text, encoding="utf-8")
    made = recipe(tmp_path, '"~/city.json"')
    assert made.rewards.parameters["json_schema"]["schema"] == text[1:]
    assert made.override({"seeds": [1]}).rewards == made.rewards
    (tmp_path / "latin.json").write_bytes(b'{"const": "\xfc"}')
    with pytest.raises(RecipeError, match=r"schema: latin\.json: not UTF-8 text; save the file as UTF-8"):
        recipe(tmp_path, '"latin.json"')


def test_a_schema_from_python_may_hold_what_toml_cannot(tmp_path):
    schema = {"enum": ["a", None]}
    tables = recipe(tmp_path, "{}").override({"rewards": {"json_schema": {"weight": 1, "schema": schema}}})
    (tmp_path / "again.toml").write_text(tables.to_toml())
    again = load_recipe(tmp_path / "again.toml").rewards
    assert json.loads(again.parameters["json_schema"]["schema"]) == schema
    assert again == tables.rewards
    answers = [[{"role": "assistant", "content": text}] for text in ('"a"', "null", '"b"')]
    assert RewardCalls(again)(["?"] * 3, answers, {"ground_truth": ["-"] * 3}) == {"json_schema": [1.0, 1.0, 0.0]}
    for name, parameters, said in [
        ("json_schema", {"schema": {"enum": {1}}}, "schema: cannot be written as JSON: Object of type set is not"),
        ("regex", {"pattern": None}, r"pattern: None cannot be written in TOML; use plain values"),
    ]:
        with pytest.raises(RecipeError, match=said):
            tables.override({"rewards": {name: {"weight": 1, **parameters}}})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            '"none.json"',
            r"my.toml:\d+: \[rewards.json_schema\] schema: none.json: no such file; it is looked for beside",
        ),
        (f'"{"x" * 300}"', r"my.toml:\d+: \[rewards.json_schema\] schema: x{300}: no such file; it is looked for"),
        ('{ type = "objct" }', r"my.toml:\d+: \[rewards\] json_schema: schema: 'objct' is not valid .* \(at type\)"),
        ('\'{"type": "null"\'', r"schema: .* is no JSON: Expecting ',' delimiter"),
        (
            '{ "$ref" = "http://localhost/x" }',
            r"\$ref 'http://localhost/x' is not in the schema, and nothing is fetched",
        ),
        ('{ "$ref" = "#/$defs/none" }', r"\$ref '#/\$defs/none' is not in the schema"),
        ('{ "$ref" = "#" }', "it refers to itself without an end"),
        ('{ items = { pattern = "(" } }', r"'\(' is not a 'regex' \(at items/pattern\)"),
        ("7", "schema: '7' is no table"),
        ("{ const = 1979-05-27 }", "schema: it is no JSON: Object of type date is not JSON serializable"),
        ('{ "$schema" = 5 }', r"schema: \$schema must be text, not 5"),
        ('{ title = "t", "$ref" = "#/title" }', "schema: it is no schema: AttributeError"),
        ('{ properties = { default = { "$ref" = "http://x" } } }', r"\$ref 'http://x' is not in the schema"),
    ],
)
def test_a_schema_is_checked_at_collection(tmp_path, schema, message):
    with pytest.raises(RecipeError, match=message):
        recipe(tmp_path, schema)


def test_a_questions_schema():
    truth = json.dumps(CITY)
    assert json_schema.grade('{"city": "Paris"}', truth).correct is True
    assert json_schema.grade("{}", truth).correct is False
    for none in ("-", "[]", '{"type": "objct"}', '{"$ref": "#/nowhere"}', '{"pattern": "("}'):
        assert json_schema.grade("{}", none).status == "unscored"


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"properties": {"default": {"$ref": "http://x/y"}}}, {"default": 1}),
        ({"properties": {"const": {"$ref": "#/none"}}}, {"const": 1}),
        ({"properties": {"a": {"$id": "http://y/z", "properties": {"q": {"$ref": "#/$defs/q"}}}}}, {"a": {"q": 1}}),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"a": 1}),
        ({"$ref": "#/const/x", "const": {"x": {"pattern": "("}}}, "a"),
        ({"minimum": 5, "$ref": "#/minimum"}, 5),
        ({"minimum": 5, "$ref": "#/minimum/x"}, 5),
        ({"pattern": "(?R)"}, "a"),
        *[({"$schema": kind}, 1) for kind in (1, ["a"], {})],
        *[({key: 5}, 1) for key in ("$id", "$ref", "$anchor", "$defs")],
        ({"$ref": "http://[x"}, 1),
    ],
)
def test_a_questions_schema_that_is_at_fault_leaves_its_answer_undecided(schema, answer):
    assert json_schema.grade(json.dumps(answer), json.dumps(schema)).status == "unscored"


NESTED = {"$id": "http://y/z", "properties": {"q": {"$ref": "#/$defs/q"}}, "$defs": {"q": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"properties": {"a": NESTED}}, {"a": {"q": 1}}, {"a": {"q": "1"}}),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$ref": "#here",
                "definitions": {"a": {"$id": "#here", "type": "integer"}},
            },
            1,
            "1",
        ),
        ({"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}}}, {"$ref": "("}, {"pattern": 1}),
        ({"enum": [{"$ref": "http://x"}]}, {"$ref": "http://x"}, 1),
    ],
)
def test_names_and_references_within_a_schema(schema, right, wrong):
    assert json_schema.grade(json.dumps(right), json.dumps(schema)).correct is True
    assert json_schema.grade(json.dumps(wrong), json.dumps(schema)).correct is False


def test_nothing_is_fetched(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for reference in (
        "http://localhost:9/schema",
        "file:///etc/passwd",
        "https://json-schema.org/draft/2020-12/schema",
    ):
        for schema in (
            {"$ref": reference},
            {"items": {"$ref": reference}},
            {"$id": "http://localhost:9/", "$ref": "x"},
        ):
            assert json_schema.grade("[1]", json.dumps(schema)).correct is None


def test_a_package_that_is_missing_is_said_at_collection(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    made = recipe(tmp_path, '{ title = "read without the package" }')
    with pytest.raises(RewardError, match=r"json_schema needs the package jsonschema: pip install"):
        json_schema.grade("{}", '{"title": "graded without it"}')
    monkeypatch.setattr("harness.recipe.needs._is_installed", lambda name: name != "jsonschema")
    with pytest.raises(
        RecipeError, match=r"json_schema: jsonschema is not installed: pip install 'rl-harness\[json\]'"
    ):
        check_needs(made)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_a_constant_admits_itself_alone(value, other):
    schema = json.dumps({"const": other})
    same = json.dumps(json.loads(json.dumps(value)), sort_keys=True) == json.dumps(other, sort_keys=True)
    for text in (json.dumps(value), f"So:\n```json\n{json.dumps(value, indent=1)}\n```\nDone."):
        correct = json_schema.grade(text, schema).correct
        assert correct is True or not same
    assert json_schema.grade(json.dumps(other), schema).correct is True


@settings(deadline=None)
@given(VALUES, VALUES)
def test_two_blocks_that_differ_are_no_answer(one, other):
    blocks = "\n".join(f"```json\n{json.dumps(value)}\n```" for value in (one, other))
    assert (json_said(blocks) is None) or one == other


@settings(deadline=None)
@given(st.text(max_size=80) | st.text('`json\n{}[]":,1e.-\\', max_size=80), st.text(max_size=20))
def test_no_text_makes_it_raise(completion, truth):
    assert json_schema.grade(completion, truth).correct in (True, False, None)
    assert json_schema.grade(completion, "{}").correct is (json_said(completion) is not None)


SLOW = ["[" * 1_000_000, '"' * 1_000_000, "```json\n" * 100_000, "```\n1\n" * 50_000, '"\\' * 400_000, "{" * 90_000,
        "[" + "{}," * 30_000 + "{}]", "1" * 1_000_000]  # fmt: skip


@pytest.mark.parametrize("answer", SLOW, ids=lambda text: repr(text[:8]))
def test_answers_made_to_be_slow(answer):
    start = time.process_time()
    assert json_schema.grade(answer, '{"type": "object", "uniqueItems": true}').correct is False
    assert time.process_time() - start < 2.0
