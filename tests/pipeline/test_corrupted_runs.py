"""Finished runs that somebody changed: what is made good, what is refused, and that nothing else is believed.

Each row is a recipe of one project with made-up policies: a first session finishes all of them, every run is changed as
its row says, and a second session has to come to the same verdicts, or to say why it cannot.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.report.render import render_session
from tests.plugin.gate.conftest import MadeUp, Session

Change = Callable[[Path], None]


def rows(change: Callable[[dict[str, Any]], object], count: int = 1) -> Change:
    """Another value in the first lines of a file, as a script would write it."""

    def changed(path: Path) -> None:
        lines = path.read_text().splitlines()
        for n in range(count):
            row = json.loads(lines[n])
            change(row)
            lines[n] = json.dumps(row)
        path.write_text("".join(line + "\n" for line in lines))

    return changed


def value(**changes: Any) -> Change:
    """Other values in a file of one object."""

    def changed(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2) + "\n")

    return changed


def without_digest(**changes: Any) -> Change:
    def changed(path: Path) -> None:
        kept = {key: each for key, each in json.loads(path.read_text()).items() if key != "digest"}
        path.write_text(json.dumps(kept | changes, indent=2) + "\n")

    return changed


def whole(change: Callable[[bytes], bytes]) -> Change:
    return lambda path: path.write_bytes(change(path.read_bytes()))  # type: ignore[return-value]


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    return whole(lambda raw: b"".join(change(raw.splitlines(keepends=True))))


def gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def unfinished(path: Path) -> None:
    """What a kill leaves: no summary, and half of a last line."""
    path.with_name("summary.json").unlink()
    path.write_bytes(path.read_bytes()[:-20])


def base_for_trained(path: Path) -> None:
    shutil.copyfile(path.parents[1] / "before" / path.name, path)


def deep(raw: bytes) -> bytes:
    return b"[" * 1000 + b"]" * 1000 + b"\n"


def digits(raw: bytes) -> bytes:
    return b"9" * 6000 + b"\n"


def loose(line: bytes) -> bytes:
    return json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True)
class Row:
    """``file`` of a run, what is done to it, what has to be ``said``, the answers that are ``asked`` and the trainings
    that are ``trained`` anew; ``red`` are the gates that cannot be judged."""

    file: str
    change: Change
    said: str = ""
    asked: int = 0
    trained: int = 0
    red: tuple[str, ...] = ()


AFTER, SUMMARY = "after/records.jsonl", "after/summary.json"
FINAL = "train/final"
NOT_LEFT = "is not as training left it, and the training cannot be judged without it; run again with --rl-fresh"
ROWS = {
    "50 flipped grades": Row(
        AFTER, rows(lambda row: row.update(status="wrong"), 50), "2: 47 lines not as written; 47 answers graded anew"
    ),
    "a completion": Row(
        AFTER, rows(lambda row: row.update(completion="x")), "1: 1 line not as written; 1 answer asked anew", 1
    ),
    "a reward": Row(AFTER, rows(lambda row: row.update(reward=9.5)), "1: 1 line not as written; 1 answer graded anew"),
    "a foreign id": Row(AFTER, rows(lambda row: row.update(question_id="q")), "1 answer asked anew", 1),
    "status null": Row(AFTER, rows(lambda row: row.update(status=None)), "1 answer graded anew"),
    "sample as text": Row(AFTER, rows(lambda row: row.update(sample="0")), "1 answer asked anew", 1),
    "ids that are lists": Row(AFTER, rows(lambda row: row.update(question_id=["q"])), "1 answer asked anew", 1),
    "NaN": Row(AFTER, rows(lambda row: row.update(reward=float("nan"))), "1 answer graded anew"),
    "a dropped key": Row(AFTER, rows(lambda row: row.pop("grades"), 3), "3 answers graded anew"),
    "a dropped prompt": Row(AFTER, rows(lambda row: row.pop("prompt"), 3), "3 answers asked anew", 3),
    "a dropped digest": Row(AFTER, rows(lambda row: row.pop("digest"), 3), "3 answers asked anew", 3),
    "a dropped line": Row(
        AFTER, lines(lambda all_: all_[1:]), "fewer answers than summary.json is of; 1 answer asked anew", 1
    ),
    "a doubled line": Row(AFTER, lines(lambda all_: [all_[0], *all_])),
    "other order": Row(AFTER, lines(lambda all_: all_[::-1])),
    "bare newlines": Row(AFTER, lines(lambda all_: [b"\n"] * 200), "200 answers asked anew", 200),
    "empty": Row(AFTER, whole(lambda raw: b""), "200 answers asked anew", 200),
    "no file": Row(AFTER, gone, "200 answers asked anew", 200),
    "UTF-16": Row(
        AFTER, whole(lambda raw: raw.decode().encode("utf-16")), "1: 1 line not as written; 1 answer asked", 1
    ),
    "a byte order mark": Row(AFTER, whole(lambda raw: b"\xef\xbb\xbf" + raw)),
    "Windows line ends": Row(AFTER, whole(lambda raw: raw.replace(b"\n", b"\r\n"))),
    "another layout": Row(AFTER, lines(lambda all_: list(map(loose, all_)))),
    "a torn end": Row(AFTER, whole(lambda raw: raw[:-20]), "fewer answers than summary.json is of; 1 answer", 1),
    "a torn end after a kill": Row(AFTER, unfinished, asked=1),
    "a thousand levels": Row(AFTER, lines(lambda all_: [deep(b""), *all_[1:]]), "1 answer asked anew", 1),
    "6,000 digits": Row(AFTER, lines(lambda all_: [digits(b""), *all_[1:]]), "1 answer asked anew", 1),
    "records in a folder's place": Row(AFTER, directory, "cannot be read (Is a directory); all are asked anew", 200),
    "another stage's records": Row(
        AFTER, base_for_trained, "holds other answers than summary.json is of; all are asked anew", 200
    ),
    "an accuracy": Row(SUMMARY, value(accuracy=0.5), "was changed after it was written", 0),
    "an interval": Row(SUMMARY, value(interval=[0.99, 1.0]), "summed up anew"),
    "an interval without a digest": Row(SUMMARY, without_digest(interval=[0.99, 1.0]), "summed up anew"),
    "a summary's type": Row(SUMMARY, value(accuracy="most"), "accuracy: input should be a valid number, not text"),
    "half a summary": Row(SUMMARY, whole(lambda raw: raw[: len(raw) // 2])),
    "no summary": Row(SUMMARY, gone),
    "a deep summary": Row(SUMMARY, whole(deep)),
    "no key": Row("after/key.json", gone),
    "half a key": Row("after/key.json", whole(lambda raw: raw[:9])),
    "no identity": Row("identity.json", gone),
    "a deep identity": Row("identity.json", whole(deep)),
    "no environment": Row("environment.json", gone),
    "a list for the environment": Row("environment.json", whole(lambda raw: b"[1]\n")),
    "other questions": Row("questions.jsonl", rows(lambda row: row.update(text="?"))),
    "no questions": Row("questions.jsonl", gone),
    "deep verdicts": Row("verdicts.json", whole(deep)),
    "stale verdicts": Row("verdicts.json", value(recipe="elsewhere")),
    "a name": Row("name.json", whole(digits)),
    "half of the metrics": Row("train/metrics.jsonl", lines(lambda all_: all_[:1]), NOT_LEFT, red=("training",)),
    "no line of metrics": Row("train/metrics.jsonl", whole(lambda raw: b""), NOT_LEFT, red=("training",)),
    "no metrics": Row("train/metrics.jsonl", gone, "is gone, and the training cannot", red=("training",)),
    "weights cut": Row(f"{FINAL}/model.safetensors", whole(lambda raw: raw[:-2]), "the policy is made again", 0, 1),
    "no weights": Row(f"{FINAL}/model.safetensors", gone, "is not as training left it, and is now .final-", 0, 1),
    "no policy": Row(FINAL, gone, "train/final: is gone; the policy is made again", 0, 1),
    "another configuration": Row(f"{FINAL}/config.json", value(layers=2), "the policy is made again", 0, 1),
    "a deep configuration": Row(f"{FINAL}/config.json", whole(deep), "the policy is made again", 0, 1),
    "steps of the training": Row("train/summary.json", value(steps=3), "was changed after it was written", 0, 1),
    "steps without a digest": Row("train/summary.json", without_digest(steps=3), "was changed after it was", 0, 1),
    "a training's summary in a folder's place": Row("train/summary.json", directory, "cannot be read (Is a dir", 0, 1),
    "a training's type": Row("train/summary.json", value(steps="2"), "steps: input should be a valid", 0, 1),
}


QUICK = (
    *("50 flipped grades", "a completion", "a foreign id", "status null", "sample as text", "a dropped line"),
    *("a doubled line", "bare newlines", "UTF-16", "a torn end after a kill", "another stage's records", "an interval"),
    *("a summary's type", "no key", "no identity", "a list for the environment", "deep verdicts"),
    *("half of the metrics", "no line of metrics", "weights cut", "no policy", "steps of the training"),
)
GATES = ("-k", "training or accuracy or improvement")


def slug(name: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in name)


@dataclass
class Campaign:
    """What two sessions said, and by recipe the answers and trainings of the second."""

    project: MadeUp
    first: Session
    again: Session
    asked: Counter[str]
    trained: Counter[str]


def finished(folder: Path, names: Iterable[str]) -> tuple[MadeUp, Session]:
    """A project and its first session; no recipe finds an answer of another, for all policies are others."""
    project = MadeUp(folder)
    for n, name in enumerate(names):
        project.model(f"base-{name}", f"n % 2 == 0 or {n} < 0")
        project.recipe(name, model=f"base-{name}", gate="min_accuracy = 0.8")
        project.policies[name] = f"n % 20 > 0 or {n} < 0"
    session = project.pytest(*GATES)
    assert session.ret == 0, session.text
    project.forget()
    return project, session


def changed(folder: Path, names: Iterable[str]) -> Campaign:
    project, first = finished(folder, map(slug, names))
    for name in names:
        ROWS[name].change(project.run(slug(name)) / ROWS[name].file)
    again = project.pytest(*GATES, "--rl-pr-comment=comment.md")
    asked = Counter(Path(line.split()[0]).parents[1].name for line in project.lines("answers.txt"))
    trained = Counter(line.removesuffix("-0") for line in project.lines("trainings.txt"))
    return Campaign(project, first, again, asked, trained)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return changed(tmp_path_factory.mktemp("quick"), QUICK)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return changed(tmp_path_factory.mktemp("others"), ROWS.keys() - {*QUICK})


@pytest.mark.parametrize("name", QUICK)
def test_what_was_changed_is_made_good_or_refused(quick: Campaign, name: str) -> None:
    check(quick, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ROWS if name not in QUICK])
def test_so_is_everything_else(others: Campaign, name: str) -> None:
    check(others, name)


def check(campaign: Campaign, name: str) -> None:
    row, own = ROWS[name], slug(name)
    before = campaign.first.words(own)
    assert campaign.again.words(own) == {gate: said for gate, said in before.items() if gate not in row.red}
    said = [line for line in campaign.again.text.splitlines() if f"{campaign.project.run(own)}/" in line]
    assert any(row.said in line for line in said) if row.said else not said, said
    live = [line for line in said if line.startswith((f"  after {own}: ", f"  GRPO {own}: "))]
    assert len(live) == bool(row.said and not row.red), live
    assert (campaign.asked[own], campaign.trained[own]) == (row.asked, row.trained)
    comment = (campaign.project.path / "comment.md").read_text()
    assert f"| ✅ | {own} | 50.0 % → 95.0 % | improvement | IMPROVED" in comment


# Anything else that may happen to any file.
ANY: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda raw, chance: b"",
    "half": lambda raw, chance: raw[: len(raw) // 2],
    "a list": lambda raw, chance: b"[1]\n",
    "deep": lambda raw, chance: deep(raw),
    "deep objects": lambda raw, chance: b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"\n",
    "digits": lambda raw, chance: digits(raw),
    "NaN": lambda raw, chance: re.sub(rb": [0-9.]+", b": NaN", raw, count=1),
    "no UTF-8": lambda raw, chance: raw.replace(b'"', b'"\xff', 1),
    "lists for values": lambda raw, chance: re.sub(rb': ("[^"]*"|[0-9.]+)', rb": [\1]", raw),
    "zeros": lambda raw, chance: b"\0" * len(raw),
    "a digit": lambda raw, chance: re.sub(rb"[0-9]", lambda found: b"%d" % (9 - int(found[0])), raw, count=1),
    "a byte": lambda raw, chance: flipped(raw, chance),
    "a byte elsewhere": lambda raw, chance: flipped(raw, chance),
    "a cut": lambda raw, chance: raw[: chance.randrange(len(raw))],
    "a hole": lambda raw, chance: raw[: (at := chance.randrange(len(raw)))] + raw[at + 9 :],
}


def flipped(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(0, len(ANY), 2))
def test_no_change_of_any_file_makes_a_verdict(part: int, tmp_path: Path) -> None:
    """Of every file in two ways: the numbers stay what they were or a test says which file is why, no session ends in a
    traceback, and pages are written."""
    project, first = finished(tmp_path, ["whole"])
    files = [path.relative_to(project.run("whole")) for path in sorted(project.run("whole").rglob("*.*"))]
    files = [path for path in files if path.suffix in (".json", ".jsonl", ".toml", ".safetensors")]
    cases = {
        f"{how.replace(' ', '-')}-{slug(str(path))}": (how, path) for how in [*ANY][part : part + 2] for path in files
    }
    project, first = finished(tmp_path / "all", cases)
    for n, (name, (how, path)) in enumerate(cases.items()):
        file = project.run(name) / path
        file.write_bytes(ANY[how](file.read_bytes(), random.Random(f"{name} {n}")))
    runs = [project.run(name) for name in cases]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        render_session(runs, tmp_path / "report")
    again = project.pytest(*GATES, "--rl-pr-comment=comment.md")
    assert again.ret in (0, 1)
    comment = (project.path / "comment.md").read_text()
    for name, run in zip(cases, runs, strict=True):
        before, now = first.words(name), again.words(name)
        assert now.items() <= before.items(), name
        if now != before:
            assert f"{run}/" in again.text, name
        assert f"| {name} |" in comment
        assert (tmp_path / "report" / f"{run.name}.html").is_file()
    print(f"{len(cases)} changes: {sum(again.words(name) == first.words(name) for name in cases)} made good")
