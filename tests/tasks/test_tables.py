"""Tables of every kind: the same questions from each, rows that are meant, columns, templates, and sentences about what
is wrong."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

import harness.tasks.load as load_module
from harness.recipe import Recipe, load_recipe
from harness.recipe.needs import check_needs
from harness.recipe.schema import questions_of
from harness.store.errors import RecipeError, TaskError
from harness.store.question import Questions
from harness.tasks import TaskSection, load_questions
from harness.tasks.files import _list_rows, read_rows
from harness.tasks.rows import as_lines, columns_in, row_reader
from harness.tasks.tables import files_of, with_rows

Rows = list[dict[str, Any]]


def made(count: int = 30, start: int = 0) -> Rows:
    return [
        {
            "question": f"What is {n} + 1?",
            "answer": str(n + 1),
            "level": n % 3,
            "tags": [f"t{n}", None],
            "note": "ü, \n",
        }
        for n in range(start, start + count)
    ]


def jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def as_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8")


def as_csv(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def as_parquet(path: Path, rows: Rows) -> None:
    parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".jsonl": jsonl,
    ".json": as_json,
    ".csv": as_csv,
    ".parquet": as_parquet,
}
kinds = pytest.mark.parametrize("kind", WRITERS)


def load(name: object, train: int = 5, test: int = 4, asked: Any = frozenset(), **more: Any) -> Questions:
    task = TaskSection(name=str(name), train_questions=train, test_questions=test, **more)
    return load_questions(task, columns=asked)


def plain(loaded: Questions) -> list[Any]:
    return [(each.id, each.text, each.ground_truth, each.split) for each in (*loaded.train, *loaded.test)]


@kinds
def test_every_kind_of_file_gives_the_same(kind: str, tmp_path: Path) -> None:
    jsonl(tmp_path / "all.jsonl", made())
    WRITERS[kind](tmp_path / f"all{kind}", made())
    expected, found = (load(tmp_path / f"all{each}", asked=None) for each in (".jsonl", kind))
    assert plain(found) == plain(expected)
    assert (found.counts, found.columns) == (expected.counts, expected.columns)
    if kind != ".csv":  # where all is text
        assert found == expected
        assert found.test[0].columns.keys() == {"answer", "level", "tags", "note"}


@kinds
def test_every_kind_of_folder_gives_the_same(kind: str, tmp_path: Path) -> None:
    for number, folder in enumerate(("whole", "shards", "named")):
        for split, rows in {"train": made(), "test": made(20, 100)}.items():
            path = tmp_path / folder / "data" / f"{split}{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if number == 0:
                jsonl(path.with_suffix(".jsonl"), rows)
            elif number == 1:
                for shard in range(2):
                    part = path.with_name(f"{split}-{shard:05}-of-00002{kind}")
                    WRITERS[kind](part, rows[10 * shard : 10 * shard + 10 if shard == 0 else None])
                jsonl(path.with_name(f"{split}_socratic.jsonl"), rows[:3])
            else:
                WRITERS[kind](path.with_name(f"{split}ing{kind}"), rows)
    expected = plain(load(tmp_path / "whole" / "data"))
    assert plain(load(tmp_path / "shards" / "data")) == expected
    split = {"train": "training", "test": "testing"}
    assert plain(load(tmp_path / "named" / "data", split=split)) == expected
    one = load(tmp_path / "named" / "data", split="testing")
    assert {each.id.split("/")[1] for each in (*one.train, *one.test)} == {"all"}
    assert not {each.text for each in one.train} & {each.text for each in one.test}


def test_what_datasets_saved(tmp_path: Path) -> None:
    jsonl(tmp_path / "all.jsonl", made())
    whole = datasets.Dataset.from_list(made())
    whole.save_to_disk(tmp_path / "all")
    assert load(tmp_path / "all", asked=None) == load(tmp_path / "all.jsonl", asked=None)
    datasets.DatasetDict(train=whole, validation=whole.select(range(5))).save_to_disk(tmp_path / "both")
    loaded = load(tmp_path / "both", split={"train": "train", "test": "validation"})
    assert {int(each.ground_truth) for each in loaded.test} <= {1, 2, 3, 4, 5}
    with pytest.raises(TaskError, match=r"both: has no split 'test'; it has train, validation; \[task\] split = \{"):
        load(tmp_path / "both")
    (tmp_path / "both" / "dataset_dict.json").write_text("{}")
    with pytest.raises(TaskError, match=r"both: cannot be read as what datasets saved \("):
        load(tmp_path / "both")


def test_bytes_are_passed_over(tmp_path: Path) -> None:
    picture = {"bytes": b"\x89PNG" * 10, "path": None}
    rows = [{**row, "image": picture, "raw": b"x", "images": [picture]} for row in made()]
    as_parquet(tmp_path / "all.parquet", rows)
    loaded = load(tmp_path / "all.parquet", asked=None)
    assert loaded.columns == ("question", "answer", "level", "tags", "note")


@pytest.mark.parametrize("asked", [frozenset(), frozenset({"level", "extra", "nowhere"}), None])
def test_columns_that_are_kept(asked: frozenset[str] | None, tmp_path: Path) -> None:
    rows: Rows = [{**row, **({"extra": {"at": n}} if n % 2 else {})} for n, row in enumerate(made())]
    jsonl(tmp_path / "all.jsonl", rows)
    loaded = load(tmp_path / "all.jsonl", asked=asked)
    assert loaded.columns == (*made(1)[0], "extra")
    for question in (*loaded.train, *loaded.test):
        row = rows[int(question.ground_truth) - 1]
        own = {name: row.get(name) for name in loaded.columns if name != "question"}
        assert question.columns == (own if asked is None else {name: own[name] for name in own if name in asked})


def test_columns_that_are_too_large_are_said(tmp_path: Path) -> None:
    jsonl(tmp_path / "all.jsonl", [{**row, "book": "x" * 1_100_000} for row in made(9)])
    assert load(tmp_path / "all.jsonl", asked=frozenset({"level"})).columns
    with pytest.raises(
        TaskError, match=r"all\.jsonl:\d: the columns that the rewards take are 1,100,\d+ bytes, and at"
    ):
        load(tmp_path / "all.jsonl", asked=None)


# Which rows are meant

WHERE: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {0, 1, 2}),
    ({"level": 1}, {1}),
    ({"level": [1, 2]}, {1, 2}),
    ({"level": 1.0}, {1}),
    ({"level": 2, "note": "ü, \n"}, {2}),
]


@kinds
@pytest.mark.parametrize(("where", "levels"), WHERE)
def test_where(kind: str, where: dict[str, Any], levels: set[int], tmp_path: Path) -> None:
    WRITERS[kind](tmp_path / f"all{kind}", made())
    if where.get("level") == 1.0 and kind == ".csv":
        where = {"level": 1}
    loaded = load(tmp_path / f"all{kind}", asked=frozenset({"level"}), where=where)
    assert {int(each.columns["level"]) for each in (*loaded.train, *loaded.test)} == levels
    assert loaded.counts is not None
    assert loaded.counts.rows == 10 * len(levels)
    for each in loaded.test:  # whatever is left out, a row keeps its number
        assert each.id == f"all/all/{int(each.ground_truth) - 1}"


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"levl": 1}, "[task] where: no row has the column 'levl'; did you mean 'level'?"),
        ({"level": 7}, "[task] where: none of 30 rows has level = 7"),
        ({"level": True}, "[task] where: none of 30 rows has level = true"),
        ({"level": [], "note": "x"}, '[task] where: none of 30 rows has level = [], note = "x"'),
    ],
)
def test_where_that_leaves_nothing(where: dict[str, Any], says: str, tmp_path: Path) -> None:
    jsonl(tmp_path / "all.jsonl", made())
    with pytest.raises(TaskError) as caught:
        load(tmp_path / "all.jsonl", where=where)
    assert str(caught.value) == says


# Templates

ROW = {"problem": "How many?", "n": 3, "choices": ["red", "blue"], "a.b": "dotted", "none": None, "x": {"y": [1]}}
ROW["labelled"] = {"text": ["red", "blue"], "label": ["1", "2"]}
ROW["unlabelled"] = {"text": ["red"], "label": None}
TEMPLATES = [
    ("{problem} ({n})", "How many? (3)"),
    ("{problem}\n{choices}", "How many?\nA. red\nB. blue"),
    ("{labelled}", "1. red\n2. blue"),
    (r"\boxed{{}} {problem}", r"\boxed{} How many?"),
    ("{a.b}", "dotted"),
    ("{x}", '{"y": [1]}'),
    ("{unlabelled}", '{"text": ["red"], "label": null}'),
]


@pytest.mark.parametrize(("template", "text"), TEMPLATES)
def test_a_template(template: str, text: str) -> None:
    read = row_reader("q", {"question": template, "answer": "n", "id": ""})
    assert read(ROW, "test", 0).text == text


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{problme}", "no field 'problme', which [task] fields.question names (fields here: problem, n, choices"),
        ("{problem.__class__}", "no field 'problem.__class__', which"),
        ("{choices[0]}", "no field 'choices[0]', which"),
        ("{none}", "the field 'none' is empty"),
    ],
)
def test_a_template_that_a_row_cannot_fill(template: str, says: str) -> None:
    with pytest.raises(TaskError) as caught:
        row_reader("q", {"question": template, "answer": "n"})(ROW, "test", 0)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("template", ["{", "}", "{problem", "{}", "{0:>9}", "{problem!r}", "{ }", "{{}}"])
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(TaskError, match=r"template.*; a brace that is meant is written twice"):
        columns_in(template)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z .0-9]{0,8}", fullmatch=True), st.text(min_size=1), min_size=1))
def test_templates_put_texts_in_as_they_are(row: dict[str, str]) -> None:
    template = "|".join(f"{{{name}}}" for name in row)
    assert columns_in(template) == tuple(row)
    written = "|".join(row.values())
    if written.strip() and not any("\ud800" <= letter <= "\udfff" for letter in written):
        read = row_reader("q", {"question": template, "answer": "", "id": ""})
        assert read(row, "test", 0).text == written


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each, max_size=30)))
def test_any_value_can_stand_in_a_question(value: Any) -> None:
    assert isinstance(as_lines(value), str)


# What is wrong with a file


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("q.json", b'[{"question": "1", "answer": "1"}, {"question"', "q.json, row 2: not valid JSON: "),
        ("q.json", b'[{"question": "1", "answer": "1"}, 3]', "q.json, row 2: a row must be one JSON object, not int"),
        ("q.json", b"[]", "q.json: holds no questions"),
        ("q.json", b'[{"a": 1}][{"a": 2}]', "q.json, row 1: no field 'question'"),
        ("q.json", b"[Q][Q]", "q.json: something follows the ] that ends the list; a JSON file is one list of"),
        ("q.json", b"[Q]\nQ", "q.json: something follows the ] that ends the list"),
        ("q.json", b"[][Q]", "q.json: something follows the ] that ends the list"),
        ("q.json", b"[Q Q]", "q.json, row 1: neither a comma nor the ] that ends the list follows it"),
        ("q.json", b"[Q, Q", "q.json, row 2: neither a comma nor the ] that ends the list follows it"),
        ("q.json", b"[Q,, Q]", "q.json, row 2: not valid JSON: Expecting value"),
        ("q.json", b"[, Q]", "q.json, row 1: not valid JSON: Expecting value"),
        ("q.json", b"[Q,]", "q.json, row 2: not valid JSON: Expecting value"),
        ("q.json", b"[", "q.json, row 1: not valid JSON: Expecting value"),
        ("q.json", b'{\n"data": [Q, Q]\n}', "q.json:1: not valid JSON by itself: Expecting property name"),
        ("q.json", b'{"data": 3', "q.json:1: not valid JSON by itself: Expecting ',' delimiter at column 11; a JSON"),
        ("q.json", b'[{"question": "gr\xfcn"}]', "q.json:1: not UTF-8 text; save the file as UTF-8"),
        ("q.parquet", b"PAR1 no", "q.parquet: cannot be read: "),
        ("q.csv", b"question,answer,question\n1,2,3\n", "q.csv:1: two columns are called 'question'; rename one"),
        ("q.csv", b"question,answer\n1,2\n\xfc,3\n", "q.csv:3: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.replace(b"Q", b'{"question": "1", "answer": "1"}'))
    with pytest.raises(TaskError) as caught:
        load(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path}/{says}")


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text(), max_size=3), max_size=6), st.integers(0, 3))
def test_a_list_is_read_as_json_reads_it(rows: Rows, indent: int) -> None:
    """Whatever is read at once, the characters that stand between rows included."""
    text = json.dumps(rows, indent=indent or None)
    for size in (1, 2, 7, 1 << 20):
        path, file = Path("q.json"), io.StringIO(text)
        assert [row for _, row in _list_rows(path, file, file.read(size), size)] == rows


def test_a_bad_row_of_parquet_is_named(tmp_path: Path) -> None:
    as_parquet(tmp_path / "q.parquet", [*made(2500), {"question": "?", "answer": None}])
    with pytest.raises(TaskError) as caught:
        load(tmp_path / "q.parquet")
    assert str(caught.value) == f"{tmp_path}/q.parquet, row 2501: the field 'answer' is empty"
    as_parquet(tmp_path / "q.parquet", [{**row, "id": n % 7} for n, row in enumerate(made())])
    with pytest.raises(TaskError, match=r"q\.parquet, row 8: the id 'q/all/0' is that of row 1; ids are unique"):
        load(tmp_path / "q.parquet")


def test_columns_of_one_name_are_told(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["1"])] * 3, names=["question", "answer", "answer"])
    parquet.write_table(table, tmp_path / "q.parquet")
    with pytest.raises(TaskError, match=r"q\.parquet: two columns are called 'answer'; rename one"):
        load(tmp_path / "q.parquet")


def test_what_datasets_saved_may_hold_a_date_that_python_has_not(tmp_path: Path) -> None:
    when = pa.array([2**62] * 30, pa.timestamp("s"))
    datasets.Dataset(pa.Table.from_pylist(made()).append_column("when", when)).save_to_disk(tmp_path / "all")
    with pytest.raises(TaskError, match=r"all: cannot be read: "):
        load(tmp_path / "all")


def test_of_many_fields_some_are_told(tmp_path: Path) -> None:
    jsonl(tmp_path / "q.jsonl", [{f"f{n}": n for n in range(20_000)}])
    with pytest.raises(TaskError, match=r"\(fields here: f0, f1, .*, f29 and 19970 more\); name yours"):
        load(tmp_path / "q.jsonl")


def test_a_device_is_no_table() -> None:
    with pytest.raises(TaskError, match=r"^/dev/null: is neither a file nor a folder$"):
        load("/dev/null")


def test_a_folder_says_what_it_has(tmp_path: Path) -> None:
    as_parquet(tmp_path / "train.parquet", made())
    as_parquet(tmp_path / "dev.parquet", made())
    with pytest.raises(TaskError, match=r"has no test\.jsonl, nor \.json, .*; it has dev\.parquet, train\.parquet; "):
        load(tmp_path)


BOTH = {"train": "train", "test": "test"}
FILES: list[tuple[list[str], dict[str, str], dict[str, list[str]]]] = [
    (["train.jsonl", "test.csv"], BOTH, {"train": ["train.jsonl"], "test": ["test.csv"]}),
    (["train.jsonl", "train.parquet", "train_socratic.jsonl"], {"all": "train"}, {"all": ["train.jsonl"]}),
    (["Train.JSONL", "train-extra.jsonl"], {"all": "train"}, {"all": ["Train.JSONL"]}),
    (["train-0.csv", "train-1.csv", "train_x.csv"], {"all": "train"}, {"all": ["train-0.csv", "train-1.csv"]}),
    (["gsm8k_train.jsonl", "gsm8k_test.jsonl"], BOTH, {"train": ["gsm8k_train.jsonl"], "test": ["gsm8k_test.jsonl"]}),
    (["data/train.csv", "data/test.csv"], BOTH, {"train": ["data/train.csv"], "test": ["data/test.csv"]}),
    (["train-9.csv", "train-10.csv"], {"all": "train"}, {"all": ["train-9.csv", "train-10.csv"]}),
    (["train/0.csv", "test/0.csv"], BOTH, {"train": ["train/0.csv"], "test": ["test/0.csv"]}),
    (["my-test-data/train.jsonl"], BOTH, {"train": ["my-test-data/train.jsonl"], "test": []}),
    (["my-test-data/train.jsonl"], {"all": "test"}, {"all": []}),
    (["validation.jsonl"], {"all": "Validation"}, {"all": ["validation.jsonl"]}),
    (["testing.jsonl", "contest.csv"], {"all": "test"}, {"all": []}),
    (["test.jsonl"], {"all": "test("}, {"all": []}),
    (["test.jsonl"], {"all": "t.*"}, {"all": []}),
    (["train.jsonl", "test.jsonl", "old/train.jsonl"], BOTH, {"train": ["train.jsonl"], "test": ["test.jsonl"]}),
]


@pytest.mark.parametrize(("there", "wanted", "found"), FILES)
def test_which_file_is_of_which_split(there: list[str], wanted: Any, found: Any, tmp_path: Path) -> None:
    chosen = files_of(with_rows(map(Path, there)), wanted)
    assert {own: [path.as_posix() for path in paths] for own, paths in chosen.items()} == found
    for number, name in enumerate(there):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        rows = {".jsonl": jsonl, ".csv": as_csv}.get(Path(name).suffix.lower(), as_parquet)
        rows(tmp_path / name, made(20, 100 * number))
    split = wanted.get("all", wanted)
    if all(found.values()):
        own = {name: there.index(name) for names in found.values() for name in names}
        loaded = load(tmp_path, split=split)
        assert {int(each.ground_truth) // 100 for each in (*loaded.train, *loaded.test)} == set(own.values())
    else:
        with pytest.raises(TaskError, match=r"has no .*\.jsonl, nor \.json, \.csv or \.parquet; it has "):
            load(tmp_path, split=split)


def test_folders_with_files_of_one_split_are_told(tmp_path: Path) -> None:
    for folder in ("main", "socratic"):
        (tmp_path / folder).mkdir()
        for split in ("train", "test"):
            jsonl(tmp_path / folder / f"{split}.jsonl", made(20, 50 * (split == "test")))
    with pytest.raises(TaskError, match=r"has files of train in main, socratic; name one, as in '/.*/socratic'"):
        load(tmp_path)
    assert load(tmp_path / "main").train


def test_a_row_of_a_json_file_may_be_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    rows = [{"question": "x" * size, "answer": "1"} for size in (10, 3_000_000, 1_048_570, 5)]
    as_json(tmp_path / "q.json", rows)
    assert [row for _, row in read_rows(tmp_path / "q.json")] == rows


@pytest.mark.parametrize("key", ["revision", "subset", "split"])
@pytest.mark.parametrize("kind", [".jsonl", "saved"])
def test_keys_that_would_change_nothing_are_refused(key: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"all{kind}"
    if kind == "saved":
        datasets.Dataset.from_list(made()).save_to_disk(path)
    else:
        jsonl(path, made())
    with pytest.raises(TaskError, match=r"; drop this key$") as caught:
        load(path, **{key: "other"})
    assert caught.value.key == ("task", key)
    recipe = Recipe(
        name="r",
        model={"name": "tiny"},
        task={"name": str(path), "train_questions": 9, "test_questions": 9, key: "other"},
        rewards={"boxed_numeric": 1.0},
        train={"method": "grpo"},
    )
    with pytest.raises(RecipeError, match=rf"^\[task\] {key}: .*; drop this key$"):
        check_needs(recipe)


def test_a_file_may_stand_in_for_a_dataset_with_splits(tmp_path: Path) -> None:
    jsonl(tmp_path / "all.jsonl", made())
    task = TaskSection(name="org/set", subset="a", revision="v1", split="dev", train_questions=5, test_questions=4)
    assert load_questions(task, data=tmp_path / "all.jsonl").train


@pytest.mark.parametrize(
    ("rewards", "says"),
    [
        (
            {"boxed_numeric": 1.0},
            "boxed_numeric, which judges by them, finds none right; name the field",
        ),
        ({"format_boxed": 1.0}, "boxed_numeric, which judges by them"),
        ({"users_truthless:liked": 1.0}, "boxed_numeric, which judges by them"),
        ({"exact": 1.0, "users_truthless:graded": 1.0}, "exact, which judges by them"),
        (
            {"regex": {"weight": 1.0, "search": True}},
            "regex, which judges by them, finds none right; give regex its",
        ),
        ({"regex": {"weight": 1.0, "pattern": "a+"}}, None),
        ({"users_truthless:graded": 1.0, "exact": 1.0}, None),
    ],
)
def test_without_answers_none_is_judged_by_them(rewards: Any, says: str | None, tmp_path: Path) -> None:
    (tmp_path / "users_truthless.py").write_text(
        "from harness.rewards import Grade, reward_function\n"
        "def liked(completions, **columns): return [1.0] * len(completions)\n"
        "def short(completion, truth): return Grade(completion, len(completion) < 9)\n"
        "graded = reward_function(short)\n"
    )
    jsonl(tmp_path / "q.jsonl", [{"question": row["question"]} for row in made()])
    task = {"name": "q.jsonl", "train_questions": 9, "test_questions": 9, "fields": {"answer": ""}}
    (tmp_path / "it.toml").write_text(tomli_w.dumps({"model": {"name": "tiny"}, "task": task, "rewards": rewards}))
    recipe = load_recipe(tmp_path / "it.toml")
    if says is None:
        check_needs(recipe)
    else:
        with pytest.raises(RecipeError) as caught:
            check_needs(recipe)
        assert f"it.toml:10: [task.fields] answer: without answers {says}" in str(caught.value)


CHANGES: list[tuple[str, Rows]] = [
    ("shorter", made(2)),
    ("empty", []),
    ("other rows", made(30, 100)),
    ("other columns", [{"q": "?"}] * 30),
]


@pytest.mark.parametrize(("change", "after"), CHANGES)
def test_a_file_that_changes_while_it_is_read(change: str, after: Rows, tmp_path: Path, monkeypatch: Any) -> None:
    jsonl(tmp_path / "all.jsonl", made())
    first = load_module.check_where

    def change_it(*arguments: Any) -> None:
        first(*arguments)
        jsonl(tmp_path / "all.jsonl", after)

    monkeypatch.setattr(load_module, "check_where", change_it)
    said = "holds no questions" if change == "empty" else "the questions changed while they were read, which is done"
    with pytest.raises(TaskError, match=said):
        load(tmp_path / "all.jsonl")


# How much is held


def test_what_is_held_grows_by_a_few_bytes_a_row(tmp_path: Path) -> None:
    """Rows of 2 kB; where all questions are held, 20,000 more are 40 MB more."""

    def most(rows: int) -> int:
        as_parquet(tmp_path / "q.parquet", [{"question": f"{n} {'x' * 2000}", "answer": "1"} for n in range(rows)])
        load(tmp_path / "q.parquet")
        tracemalloc.start()
        try:
            load(tmp_path / "q.parquet")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert most(22_000) - most(2_000) < 20_000 * 200


# As they are on the Hub: five lines of TOML each

REAL: dict[str, tuple[Rows, dict[str, Any], str, str]] = {
    "gsm8k": (
        [{"question": f"Ann has {n}.", "answer": f"So <<{n}+1={n + 1}>>{n + 1}.\n#### 1,0{n:02}"} for n in range(20)],
        {},
        "Ann has 0.",
        "1000",
    ),
    "math-500": (
        [
            {
                "problem": rf"Find $\frac{{{n}}}{{2}}$.",
                "solution": rf"It is $\boxed{{\frac{{{n}}}{{2}}}}$.",
                "answer": rf"\frac{{{n}}}{{2}}",
                "subject": "Algebra",
                "level": 2 + n % 2,
                "unique_id": f"test/algebra/{n}.json",
            }
            for n in range(20)
        ],
        {"fields": {"question": "problem", "id": "unique_id"}, "where": {"level": [2]}},
        r"Find $\frac{0}{2}$.",
        r"\frac{0}{2}",
    ),
    "arc": (
        [
            {
                "id": f"Mercury_{n}",
                "question": f"Which is {n}?",
                "choices": {"text": ["this", "that"], "label": ["A", "B"]},
                "answerKey": "AB"[n % 2],
            }
            for n in range(20)
        ],
        {"fields": {"question": "{question}\n{choices}", "answer": "answerKey"}},
        "Which is 0?\nA. this\nB. that",
        "A",
    ),
    "ifeval": (
        [
            {
                "key": 1000 + n,
                "prompt": f"Write {n} words.",
                "instruction_id_list": ["length_constraints:number_words"],
                "kwargs": [{"relation": "at least", "num_words": n}],
            }
            for n in range(20)
        ],
        {"fields": {"question": "prompt", "answer": "", "id": "key"}},
        "Write 0 words.",
        "",
    ),
    "gsm-symbolic": (
        [
            {"id": n % 4, "instance": n // 4, "question": f"Bo has {n}.", "answer": f"It is {n}.\n#### {n}"}
            for n in range(20)
        ],
        {"fields": {"id": ""}},
        "Bo has 0.",
        "0",
    ),
    "mgsm": (
        [
            {"question": f"রজারের {n}টি বল।", "answer": None, "answer_number": n, "equation_solution": None}
            for n in range(20)
        ],
        {"fields": {"answer": "answer_number"}},
        "রজারের 0টি বল।",
        "0",
    ),
    "mgsm-native": (
        [{"question": f"{n}?", "final": "".join("০১২৩৪৫৬৭৮৯"[int(each)] for each in str(n))} for n in range(20)],
        {"fields": {"answer": "final"}},
        "0?",
        "\u09e6",
    ),
}


@pytest.mark.parametrize("kind", [".parquet", ".jsonl"])
@pytest.mark.parametrize("name", REAL)
def test_real_shapes(name: str, kind: str, tmp_path: Path) -> None:
    rows, keys, text, truth = REAL[name]
    WRITERS[kind](tmp_path / f"{name}{kind}", rows)
    there = 10 if "where" in keys else 20
    task = {"name": f"{name}{kind}", "train_questions": 0, "test_questions": there, **keys}
    (tmp_path / "it.toml").write_text(tomli_w.dumps({"model": {"name": "tiny"}, "task": task}))
    recipe = load_recipe(tmp_path / "it.toml")
    found = {each.text: each.ground_truth for each in questions_of(recipe, None).test}
    assert len(found) == there
    assert found[text] == truth
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "again.toml").task == recipe.task
    loaded = load(tmp_path / f"{name}{kind}", train=4, test=6, asked=None, **keys)
    assert len({each.text for each in (*loaded.train, *loaded.test)}) == 10
    if name == "ifeval":
        assert loaded.test[0].columns["kwargs"][0].keys() == {"relation", "num_words"}


def test_an_optional_field_that_is_misspelt_is_told(tmp_path: Path) -> None:
    jsonl(tmp_path / "q.jsonl", made())
    for fields in ({"id": "levl"}, {"solution": "levl"}):
        task = TaskSection(name=str(tmp_path / "q.jsonl"), train_questions=5, test_questions=5, fields=fields)
        with pytest.raises(
            TaskError, match=rf"fields.{next(iter(fields))}: no row has the column 'levl'; did you mean"
        ):
            load_questions(task)


def test_a_table_that_lacks_a_shard_is_not_read_as_whole(tmp_path: Path) -> None:
    jsonl(tmp_path / "test.jsonl", made(8))
    for n in (0, 2):
        jsonl(tmp_path / f"train-0000{n}-of-00003.jsonl", made(8, 10 * (n + 1)))
    task = TaskSection(name=str(tmp_path), train_questions=5, test_questions=5)
    with pytest.raises(TaskError, match=r"train-00001-of-00003.jsonl is not there: the table is not whole"):
        load_questions(task)
    jsonl(tmp_path / "train-00001-of-00003.jsonl", made(8, 20))
    assert len(load_questions(task).train) == 5
