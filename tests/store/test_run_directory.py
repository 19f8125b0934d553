"""The run directory: what is written is read back, whatever is killed in between."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.store.errors import HarnessError
from harness.store.run_directory import (
    LineWriter,
    as_json,
    digest,
    locked,
    read_json,
    run_directories,
    set_aside,
    write_json,
    write_lines,
    write_text,
)
from tests.run_files import read_lines

# Every text, with line separators and lone surrogates (a model can write half an emoji).
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(["\ud83d", "a\u2028b\r\n\x85c", "\x00"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
rows = st.lists(st.dictionaries(texts, values, max_size=3), max_size=5)


@given(rows=rows)
@settings(deadline=None)
def test_lines_come_back(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    with LineWriter(path) as writer:
        for row in rows[:2]:
            writer.append(row)
    with LineWriter(path) as writer:
        for row in rows[2:]:
            writer.append(row)
    assert list(read_lines(path)) == rows
    appended = path.read_bytes()
    assert appended.isascii()
    write_lines(path, rows)
    assert path.read_bytes() == appended


@given(value=st.dictionaries(texts, values, max_size=3))
@settings(deadline=None)
def test_json_comes_back(value: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@given(value=values)
def test_as_json_leaves_plain_values_alone(value: Any) -> None:
    assert as_json(value) == value


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (math.nan, None),
        (math.inf, None),
        ([1.5, -math.inf, (2, math.nan)], [1.5, None, [2, None]]),
        ({3: {"x": math.nan}}, {"3": {"x": None}}),
        (Path("a/b"), "a/b"),
        (True, True),
    ],
)
def test_what_json_cannot_hold_is_made_plain(value: Any, made: Any, tmp_path: Path) -> None:
    assert as_json(value) == made
    write_json(tmp_path / "value.json", {"value": value})
    assert read_json(tmp_path / "value.json") == {"value": made}
    write_lines(tmp_path / "value.jsonl", [{"value": value}])
    assert list(read_lines(tmp_path / "value.jsonl")) == [{"value": made}]


@given(value=st.dictionaries(texts, values, min_size=2, max_size=4))
def test_digests_know_values_and_not_their_order(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert digest(value) == digest(backwards)
    assert digest(value) != digest({**value, "one more key": 1})
    assert re.fullmatch("[0-9a-f]{64}", digest(value))


KEPT: list[dict[str, Any]] = [
    {"n": 0, "text": "a\nb"},
    {"n": 1, "deep": {"list": [1, 2.5, None]}},
    {"n": 2, "é": "\ud83d"},
]


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    write_lines(tmp_path / "whole.jsonl", KEPT)
    return (tmp_path / "whole.jsonl").read_bytes()


def test_a_file_torn_at_any_byte_goes_on(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        complete = KEPT[: sum(cut > end for end in ends)]
        with LineWriter(path) as writer:
            writer.append({"n": "next"})
        assert list(read_lines(path)) == [*complete, {"n": "next"}], cut
        assert path.read_bytes().count(b"\n") == len(complete) + 1


def test_a_whole_file_is_opened_without_being_written_again(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    before = path.stat()
    LineWriter(path).close()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_every_line_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "new" / "rows.jsonl")
    writer.append({"n": 1})
    assert list(read_lines(tmp_path / "new" / "rows.jsonl")) == [{"n": 1}]
    writer.close()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "none.jsonl")) == []
    assert read_json(tmp_path / "none.json") is None
    for torn in ("", '{"a": ', "[1]", "nul"):
        (tmp_path / "torn.json").write_text(torn)
        assert read_json(tmp_path / "torn.json") is None


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    if step != "write":
        monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(KeyboardInterrupt):
        write_lines(path, ({"row": n or step != "write" or fail()} for n in (1, 0)))
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_written_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    write_text(tmp_path / "deep" / "file.txt", "text")
    assert (tmp_path / "deep" / "file.txt").stat().st_mode == (tmp_path / "other.txt").stat().st_mode


APPEND = """
import sys
from pathlib import Path
from harness.store.run_directory import LineWriter, locked
from tests.run_files import read_lines
directory, name = Path(sys.argv[1]), sys.argv[2]
for n in range(40):
    with locked(directory), LineWriter(directory / "rows.jsonl") as writer:
        seen = sum(1 for _ in read_lines(directory / "rows.jsonl"))
        writer.append({"by": name, "n": n, "seen": seen, "text": "x" * 500})
"""


def test_two_processes_append_under_the_lock(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", APPEND, str(tmp_path), name]) for name in "ab"]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    lines = list(read_lines(tmp_path / "rows.jsonl"))
    assert [line["seen"] for line in lines] == list(range(80))
    assert {name: [line["n"] for line in lines if line["by"] == name] for name in "ab"} == {
        name: list(range(40)) for name in "ab"
    }


def test_a_directory_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(HarnessError, match=r"cannot be locked .*; choose another with --rl-runs-dir"), locked(tmp_path):
        pytest.fail("the lock was taken")


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_setting_aside_loses_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run-0-abc"
    kept = []
    for number in range(3):  # within one second
        write_json(run / "identity.json", {"number": number})
        write_lines(run / "before" / "records.jsonl", KEPT)
        write_text(run / ".hidden" / "file", "text")
        (run / ".lock").touch()
        kept.append({name: data for name, data in contents(run).items() if name != ".lock"})
        set_aside(run)
        assert list(contents(run)) == [".lock"]
    attics = sorted((tmp_path / ".replaced").iterdir(), key=lambda attic: (attic / "identity.json").read_bytes())
    assert [contents(attic) for attic in attics] == kept
    assert all(attic.name.startswith("run-0-abc-") for attic in attics)


def test_run_directories_are_listed_oldest_first(tmp_path: Path) -> None:
    assert run_directories(tmp_path / "none") == []
    for age, name in enumerate(("b", "a", "c")):
        write_json(tmp_path / name / "identity.json", {})
        os.utime(tmp_path / name / "identity.json", (1000 + age, 1000 + age))
    (tmp_path / "no-run").mkdir()
    assert [path.name for path in run_directories(tmp_path)] == ["b", "a", "c"]
    set_aside(tmp_path / "a")
    assert [path.name for path in run_directories(tmp_path)] == ["b", "c"]
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved/identity.json").symlink_to("nowhere")  # listed, and gone when it is looked at
    assert [path.name for path in run_directories(tmp_path)] == ["b", "c"]
