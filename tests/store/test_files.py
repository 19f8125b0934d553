"""Each file of a run directory by its type: what is written is read back, and what does not fit is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.rewards.audit import audit_rewards
from harness.store import audit, methods, records, run_files
from harness.store.files import JsonFile, JsonLines, RecordError
from harness.store.question import Question
from harness.store.records import Doubt, FaultReason, FunctionFaults, Generation, Grade, Key, RewardFaults
from harness.store.run_files import Changed, Failed, HeldAgainst, Name, Overrides, Progress, Selected, Verdicts
from tests import run_files as made

HELD = HeldAgainst("a.toml", "made-up", 0, "c0", "2001-02-03", "tiny", None, {"q": 1}, 1, {"torch": None}, "")
FAULTS = RewardFaults({"my:f": FunctionFaults(8, 1, "so", (FaultReason("no", 1, "q"),), 2, "raised")})
SELECTED = Selected(2, 4, 0.5, (0.25, 0.75), 8, 2, "so")
PAIR = methods.Pair("a", "b", "questions", 0.5, (0.25, 0.75), 0.05, "OK", None, "so")
# A value of every file; together all of their optional fields are there.
FILES: list[tuple[JsonFile[Any] | JsonLines[Any], Any]] = [
    (records.KEY, Key("a", "b", "c", "d", {"run": 3}, 1.5)),
    (records.RECORDS, made.record(error="HTTP 503", grades={"g": Grade(None, None)}, rewards={"r": None, "s": 0.5})),
    (records.SUMMARY, made.summary(unanswered=Doubt(1, 8, "so", {"HTTP 503": 1}), seconds=1.0, reused={"run": 2})),
    (records.FAULTS, FAULTS),
    (run_files.QUESTIONS, Question("q", "1 + 1?", "2", "test", None, made.TURNS)),
    (run_files.IDENTITY, made.identity(chat_template_kwargs={"enable_thinking": False})),
    (run_files.ENVIRONMENT, made.environment(git=None, served_created=3)),
    (run_files.OVERRIDES, Overrides("a.toml", ".", (Changed("train.beta", None, 0.5), Changed("seeds", [0], [0, 1])))),
    (run_files.NAME, Name("made-up lr=2e-6 seed 1", "made-up lr=2e-6", given=True)),
    (run_files.HELD_AGAINST, HELD),
    (run_files.SIGNAL, made.signal(advice=("ask easier questions",), concentration=0.5)),
    (run_files.VERDICTS, Verdicts("made-up", 0, {"margin": 0.05}, (made.verdict(numbers={"n": [1, None]}),))),
    (run_files.TRAINED, made.trained(stopped=made.finding(), selected=SELECTED, sampling_seconds=None, source="run")),
    (run_files.FAILED, Failed("one", "no", no_signal=True)),
    (run_files.PROGRESS, Progress(2, 0, 4, 1.5, 0.25, "evaluating", 3, 8)),
    (run_files.DATA, {"question_id": "q", "prompt": [*made.TURNS], "completion": [*made.TURNS]}),
    (run_files.METRICS, {"step": 1, "time": 2.5, "loss": None, "rewards/a/mean": 0.5, "odd": [1]}),
    (run_files.COMPLETIONS, made.completion(reward=None, advantage=None)),
    (run_files.HEALTH, made.finding()),
    (run_files.EVALUATIONS, made.held_out()),
    (methods.METHODS, methods.Comparison((), (PAIR,), 0.05, ("sampled tokens",))),
    (audit.AUDIT, audit_rewards({"boxed_numeric": 1.0})),
]
IDS = [f"{type(value).__name__} {file.name}" for file, value in FILES]


def written(file: Any, value: Any, folder: Path) -> bytes:
    file.write(folder, [value] if isinstance(file, JsonLines) else value)
    raw: bytes = file.path(folder).read_bytes()
    return raw


def read(file: Any, folder: Path, **how: bool) -> Any:
    found = file.read(folder, **how)
    return list(found) if isinstance(file, JsonLines) else found


def test_every_file_is_in_the_table() -> None:
    modules = (records, run_files, audit, methods)
    named = [(name, each) for module in modules for name, each in vars(module).items() if not name.startswith("_")]
    known = {id(each) for _, each in named if isinstance(each, JsonFile | JsonLines)}
    assert known == {id(file) for file, _ in FILES}


@pytest.mark.parametrize(("file", "value"), FILES, ids=IDS)
def test_what_is_written_is_read_back(file: Any, value: Any, tmp_path: Path) -> None:
    assert read(file, tmp_path) == ([] if isinstance(file, JsonLines) else None), "nothing is there yet"
    written(file, value, tmp_path)
    whole = [value] if isinstance(file, JsonLines) else value
    assert read(file, tmp_path) == read(file, tmp_path, hide=True) == whole


texts = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
plain = st.none() | st.booleans() | numbers | texts | st.lists(numbers, max_size=2)
PLACES = {str: texts, float: st.floats(allow_nan=False, allow_infinity=False), bool: st.booleans()}


@pytest.mark.parametrize(("file", "value"), [each for each in FILES if each[0] is not audit.AUDIT], ids=IDS[:-1])
@given(data=st.data())
@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_value_comes_back(file: Any, value: Any, data: st.DataObject, tmp_path: Path) -> None:
    """Every text, number and truth value of a file in turn another one of its kind."""

    def other(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: other(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [other(inner, key) for inner in value]
        fixed = key in ("status", "finish_reason", "level", "verdict", "interval_kind", "accuracy", "unit", "doing")
        return value if fixed or type(value) not in PLACES else data.draw(PLACES[type(value)])

    row = other(json.loads(written(file, value, tmp_path)))
    row.pop("digest", None)
    file.path(tmp_path).write_text(json.dumps(row) + "\n")
    first = read(file, tmp_path)
    file.write(tmp_path, first)
    assert read(file, tmp_path) == first


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def broken(raw: bytes) -> bytes:
        row = json.loads(raw)
        change(row)
        return json.dumps(row).encode() + b"\n"

    return broken


def missing(row: dict[str, Any]) -> None:
    row.pop("step" if "time" in row else "prompt" if "completion" in row else next(iter(row)))


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a missing field": (changed(missing), "is missing"),
    "another type": (changed(lambda row: row.update({key: {"a": [{}]} for key in row})), "input should be"),
    "a foreign key": (changed(lambda row: row.update(foreign=1)), "foreign: is no field of this file"),
    "a number for an object": (lambda raw: b"3\n", "input should be"),
    "no JSON": (lambda raw: raw[:-3] + b"\n", "is no JSON"),
    "a thousand levels": (lambda raw: b"[" * 1000 + b"]" * 1000 + b"\n", "is no JSON"),
    "a thousand levels of objects": (lambda raw: b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"\n", "is no JSON"),
    "6,000 digits": (lambda raw: b"9" * 6000 + b"\n", "is no JSON"),
    "a byte order mark": (lambda raw: b"\xef\xbb\xbf" + raw, "is no JSON"),
    "UTF-16": (lambda raw: raw.decode().encode("utf-16"), "is no JSON"),
    "no UTF-8": (lambda raw: raw.replace(b'"', b'"\xff', 1), "is no JSON"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize(("file", "value"), FILES, ids=IDS)
def test_what_does_not_fit_is_one_sentence(file: Any, value: Any, how: str, tmp_path: Path) -> None:
    breaks, said = BROKEN[how]
    raw = written(file, value, tmp_path)
    file.path(tmp_path).write_bytes(breaks(raw))
    if (file, how) in ((run_files.METRICS, "a foreign key"), (run_files.PROGRESS, "a missing field")):
        assert read(file, tmp_path), "TRL logs what it likes, and progress has no field that must be there"
        return
    if (file, how) == (records.RECORDS, "a byte order mark"):
        assert read(file, tmp_path) == [value], "it has no say in a digest"
        return
    if said == "is no JSON" and isinstance(file, JsonFile) and file.derived:
        assert read(file, tmp_path) is None, "it is made again"
        return
    for hide in (False, True):
        with pytest.raises(RecordError) as error:
            read(file, tmp_path, hide=hide)
        text = str(error.value)
        assert text.startswith(f"{file.path(tmp_path)}:1"), text
        assert said in text
        assert (
            "run the recipe again, and what it held is made again" if file.remade else "run again with --rl-fresh"
        ) in text
        assert len(text.splitlines()) == 1
        assert len(text) < 400


SEALED = [(records.RECORDS, "completion", "x"), (records.SUMMARY, "accuracy", 0.25), (run_files.TRAINED, "steps", 9)]


@pytest.mark.parametrize(("file", "key", "other"), SEALED)
def test_what_is_sealed_is_read_as_it_was_written_or_not_at_all(
    file: Any, key: str, other: Any, tmp_path: Path
) -> None:
    (value,) = [value for known, value in FILES if known is file]
    row = json.loads(written(file, value, tmp_path))
    path = file.path(tmp_path)
    for layout in ({}, {"ensure_ascii": False}, {"separators": (",", ":")}):
        path.write_text(json.dumps(row, **layout) + "\n")
        found = read(file, tmp_path)
        assert found == ([value] if isinstance(file, JsonLines) else value), "its layout has no say"
    path.write_text(json.dumps(row | {key: other}) + "\n")
    for hide in (False, True):
        with pytest.raises(RecordError, match=r"(:1)?: was changed after it was written .*; run the recipe again"):
            read(file, tmp_path, hide=hide)


def test_a_record_says_whether_its_answer_or_its_grades_were_changed(tmp_path: Path) -> None:
    row, answer = json.loads(written(records.RECORDS, made.record(), tmp_path)), made.record()
    path = records.RECORDS.path(tmp_path)

    def found(**changes: Any) -> Any:
        path.write_text(json.dumps(row | changes) + "\n")
        (line,) = records.checked_lines(tmp_path)
        return line.found

    assert found() == answer
    grades: tuple[dict[str, Any], ...] = ({"status": "wrong"}, {"status": None}, {"rewards": {"a": 1.0}}, {"more": 1})
    for changes in grades:
        kept = found(**changes)
        assert type(kept) is Generation
        assert all(getattr(kept, name) == getattr(answer, name) for name in Generation.__dataclass_fields__)
    for changes in (
        {"sample": 1},
        {"sample": "0"},
        {"prompt": []},
        {"digest": "0" * 32},
        {"digest": 3},
    ):
        assert found(**changes) is None


@pytest.mark.parametrize(("file", "value"), FILES, ids=IDS)
def test_a_directory_in_its_place_is_said(file: Any, value: Any, tmp_path: Path) -> None:
    file.path(tmp_path).mkdir()
    with pytest.raises(RecordError, match=r"cannot be read \(Is a directory\); run (the recipe )?again"):
        read(file, tmp_path)


@pytest.mark.parametrize("cut", [1, 10, -1])
def test_a_last_line_without_its_end_is_none(cut: int, tmp_path: Path) -> None:
    raw = written(run_files.EVALUATIONS, made.held_out(), tmp_path)
    path = run_files.EVALUATIONS.path(tmp_path)
    path.write_bytes(raw + raw[:cut])
    assert read(run_files.EVALUATIONS, tmp_path) == [made.held_out()]
    with run_files.EVALUATIONS.writer(tmp_path) as writer:
        writer.append(made.held_out(2))
    assert read(run_files.EVALUATIONS, tmp_path) == [made.held_out(), made.held_out(2)]
    path.write_bytes(raw + b"{torn\n" + raw)
    with pytest.raises(RecordError, match=r"evaluations\.jsonl:2: is no JSON"):
        read(run_files.EVALUATIONS, tmp_path)


def test_who_reads_on_counts_on(tmp_path: Path) -> None:
    raw = written(run_files.EVALUATIONS, made.held_out(), tmp_path)
    run_files.EVALUATIONS.path(tmp_path).write_bytes(3 * raw)
    (first, *others) = run_files.EVALUATIONS.lines(tmp_path)
    assert list(run_files.EVALUATIONS.lines(tmp_path, first[0] + 1, len(raw))) == others
    assert [number for number, _, _ in others] == [2, 3]


def test_the_line_of_a_field_is_named(tmp_path: Path) -> None:
    written(records.SUMMARY, made.summary(), tmp_path)
    path = records.SUMMARY.path(tmp_path)
    path.write_text(path.read_text().replace('"wrong": 0', '"wrong": "none"'))
    line = 1 + path.read_text().splitlines().index('    "wrong": "none",')
    with pytest.raises(RecordError, match=rf"summary\.json:{line}: counts\.wrong: input should be .*, not text; run"):
        records.SUMMARY.read(tmp_path)


def test_half_a_surrogate_pair_is_no_character(tmp_path: Path) -> None:
    written(records.RECORDS, made.record(completion="a \ud83d b \\\\ud83d"), tmp_path)
    (found,) = records.RECORDS.read(tmp_path)
    assert found.completion == "a \ufffd b \\\\ud83d"
    written(records.SUMMARY, made.summary(model="Gr\udcc3e"), tmp_path)
    found = records.SUMMARY.read(tmp_path)
    assert found is not None, "a name that its locale cannot write is no torn file"
    assert found.model == "Gr\ufffde"


def test_secrets_of_others_are_hidden_where_it_is_asked_for(tmp_path: Path) -> None:
    secret = "hf_" + "a1" * 17
    path = records.RECORDS.path(tmp_path)
    path.write_text(json.dumps(made.record(completion=f"it is {secret}", question_id=secret).to_json()) + "\n")
    (shown,), (kept,) = records.RECORDS.read(tmp_path, hide=True), records.RECORDS.read(tmp_path)
    assert (shown.completion, shown.question_id) == ("it is [redacted]", secret)
    assert secret in kept.completion


def test_nobody_else_parses_them() -> None:
    """What reads JSON beside the store reads other things: tables, models, answers, replies, TRL's checkpoints."""
    others = {"worker.py", "job.py", "launching.py", "symbolic.py", "math_process.py", "audit.py", "json_answers.py"}
    others |= {"files.py", "pack.py", "chat_server.py", "source.py", "make.py", "summary.py", "workers.py"}
    root = Path(records.__file__).parents[1]
    found = {
        path.name
        for path in root.rglob("*.py")
        if path.parent.name != "store" and {"json.loads(", "read_json("} & set(map(str, _calls(path)))
    }
    assert found <= others, found - others


def _calls(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [call for call in ("json.loads(", "read_json(") if call in text]
