"""Questions of datasets by their id, from a Hub on loopback; tests/models/test_hub.py has what a Hub may answer."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.hub import TOKEN, Ask, Hub, answers, asking, bent, log_in
from tests.tasks.test_load_questions import rows

COUNTS = {"train_questions": 3, "test_questions": 2}


def parquet(several: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(several), file)
    return file.getvalue()


def jsonl(several: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in several).encode()


def gsm8k(start: int = 0) -> Mapping[str, bytes]:
    """As ``openai/gsm8k`` lies on the Hub."""
    return {
        "README.md": b"...",
        "main/train-00000-of-00001.parquet": parquet(rows(20, start=start)),
        "main/test-00000-of-00001.parquet": parquet(rows(10, start=start + 100)),
        "socratic/train-00000-of-00001.parquet": parquet(rows(20, start=500)),
        "socratic/test-00000-of-00001.parquet": parquet(rows(10, start=600)),
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def ask(hub: Hub, home: Path) -> Iterator[Ask]:
    with asking(home, hub.url) as ask:
        yield ask


@pytest.fixture(scope="module")
def offline(hub: Hub, home: Path) -> Iterator[Ask]:
    with asking(home, hub.url, HF_HUB_OFFLINE="1") as ask:
        yield ask


def test_gsm8k_is_that_of_the_hub_at_a_commit(hub: Hub, home: Path, ask: Ask, offline: Ask, tmp_path: Path) -> None:
    for split, start, count in (("train", 0, 20), ("test", 100, 10)):
        (tmp_path / f"{split}.jsonl").write_bytes(jsonl(rows(count, start=start)))
    here = ask(name=str(tmp_path), **COUNTS)
    first = hub.commit("datasets/openai/gsm8k", gsm8k(), "main", "v1")
    hub.fetched()
    found = ask(name="gsm8k", **COUNTS)
    assert found == [f"openai/gsm8k@{first}", *here[1:]]
    assert hub.fetched() == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    second = hub.commit("datasets/openai/gsm8k", gsm8k(start=40))
    moved = ask(name="gsm8k", **COUNTS)
    assert moved[0] == f"openai/gsm8k@{second}"
    assert not {*moved[1], *moved[2]} & {*found[1], *found[2]}
    assert ask(name="gsm8k", revision="v1", **COUNTS) == ask(name="gsm8k", revision=first, **COUNTS) == found
    with asking(home, "http://127.0.0.1:9") as gone:
        for each in (offline, gone):
            assert each(name="gsm8k", **COUNTS) == moved
            assert each(name="gsm8k", revision=first, **COUNTS) == found


def table(*several: str) -> bytes:
    return "\n".join(["question,answer", *several]).encode()


PARTS = {f"train/{n}.parquet": parquet(rows(9, start=9 * n)) for n in range(2)}
OTHERS = jsonl([{"problem": f"{n}?", "final": n} for n in range(9)])


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"train.jsonl": jsonl(rows(20)), "test.jsonl": jsonl(rows(10, start=100))}, {}),
        ({"data/train.csv": table("A?,1", "B?,2", "C?,3"), "data/test.csv": table("D?,4", "E?,5")}, {}),
        (PARTS | {"test/0.parquet": parquet(rows(9, start=50))}, {}),
        ({"questions.json": json.dumps(rows(9)).encode(), "dataset_infos.json": b'{"default": {}}'}, {}),
        (
            {"my-test-data/train.jsonl": jsonl(rows(9)), "my-test-data/Validation.jsonl": jsonl(rows(9, start=50))},
            {"split": {"train": "train", "test": "Validation"}},
        ),
        ({"my-test-data/train.jsonl": jsonl(rows(9))}, {}),
        ({"data/test-00000-of-00001.parquet": parquet(rows(9))}, {}),
        ({"questions.jsonl": jsonl(rows(9)), "tests.md": b"..."}, {}),
        (gsm8k(), {"subset": "socratic"}),
        ({"problems.jsonl": OTHERS}, {"fields": {"question": "problem", "answer": "final"}}),
        (PARTS | {"validation.jsonl": jsonl(rows(9, start=50))}, {"split": {"train": "train", "test": "validation"}}),
        (
            {"train.jsonl": b"[", "dev.parquet": parquet(rows(9))},
            {"split": "dev", "fields": {"question": "{question}"}},
        ),
    ],
)
def test_files_are_found_by_their_paths(files: Mapping[str, bytes], named: Any, hub: Hub, ask: Ask) -> None:
    name = f"org/set-{len(hub.repositories)}"
    commit = hub.commit(f"datasets/{name}", files)
    source, train, test = ask(name=name, **named, **COUNTS)
    assert source == f"{name}@{commit}"
    assert (len({*train, *test}), len(train), len(test)) == (5, 3, 2)
    if "subset" in named:
        assert all(int(text.split()[2]) >= 500 for text in (*train, *test))


NONE = "has no file of .jsonl, .json, .csv, .parquet"
FIELDS = "no field 'answer' (fields here: question); name yours in the recipe: ..."


@pytest.mark.parametrize(
    ("files", "named", "said"),
    [
        (gsm8k(), {}, 'NAME: has files of train in main, socratic; name one under [task], as in subset = "socratic"'),
        (gsm8k(), {"subset": "other"}, f"NAME: {NONE} in the folder 'other' at revision 'main'"),
        ({"a.txt": b"..."}, {}, f"NAME: {NONE} at revision 'main'"),
        (gsm8k(), {"revision": "v9"}, "NAME: the Hub has no branch, tag or commit 'v9' of it; write one that PAGE has"),
        ({"a.parquet": b"PAR1 and no more"}, {}, "/...a.parquet: cannot be read: ..."),
        ({"a.jsonl": b'{"question": "?"}'}, {}, f"/...a.jsonl:1: {FIELDS}"),
        ({"a.parquet": parquet([{"question": "?"}])}, {}, f"/...a.parquet, row 1: {FIELDS}"),
        (PARTS, {"split": "dev"}, "NAME: has no file of a split 'dev'; it has train/0.parquet, train/1.parquet"),
        (PARTS, {"split": "test("}, "NAME: has no file of a split 'test('; it has train/0.parquet, train/1.parquet"),
        (gsm8k(), {"subset": "main", "where": {"level": 3}}, "[task] where: no row has the column 'level'; valid: ..."),
        (None, {}, "NAME: neither a folder here nor a dataset on the Hub at HUB; check its spelling, and if it is ..."),
        (gsm8k(), {"train_questions": 99, "subset": "main"}, "task 'NAME' has 20 train questions left, the recipe ..."),
    ],
)
def test_what_is_refused_is_one_sentence(files: Any, named: Any, said: str, hub: Hub, ask: Ask) -> None:
    name = f"org/set-{len(hub.repositories)}"
    if files is not None:
        hub.commit(f"datasets/{name}", files)
    hub.fetched()
    found = ask(**{"name": name, **COUNTS, **named})
    if isinstance(found, str) and found.startswith(f"{name}: has "):
        assert hub.fetched() == []
    said = said.replace("NAME", name).replace("PAGE", f"HUB/datasets/{name}").replace("HUB", hub.url)
    assert isinstance(found, str), found
    assert re.fullmatch(".*".join(map(re.escape, said.split("..."))), found), found


def test_a_gated_dataset_a_hub_that_fails_and_a_file_that_is_bent(hub: Hub, home: Path, ask: Ask, offline: Ask) -> None:
    commit = hub.commit("datasets/org/gated", gsm8k())
    hub.repositories["datasets/org/gated"].token = TOKEN
    task = {"name": "org/gated", "subset": "main", **COUNTS}
    page = f"{hub.url}/datasets/org/gated"
    assert ask(**task) == f"org/gated: is gated: accept its terms at {page} and log in with 'hf auth login'"
    log_in(home)
    hub.faults["/api/"] = [answers(500)] * 2
    assert ask(**task) == (
        "org/gated: no folder of this name, not complete in the Hub cache at revision 'main', and the Hub at "
        f"{hub.url} answered 500 Internal Server Error; try again later, or give --rl-data a local file "
        "or folder of questions"
    )
    hub.faults["?cdn"] = [bent]
    said = ask(**task)
    assert said == offline(**task)
    told = re.fullmatch(
        r"org/gated: t\w+-00000-of-00001\.parquet in the Hub cache is not .*; rm (/.*) and run again", said
    )
    assert told, said
    Path(told[1]).unlink()
    found = ask(**task)
    assert found[0] == f"org/gated@{commit}"
    assert found == offline(**task)


@pytest.mark.parametrize("name", ["data/questions.json", "data/q.jsonl", "data/q.CSV", "data/q.parquet"])
def test_a_file_that_is_not_there_is_no_dataset(name: str, hub: Hub, ask: Ask) -> None:
    hub.requests.clear()
    assert ask(name=name, **COUNTS).startswith(f"{name}: no such file or folder; ")
    assert hub.requests == []
