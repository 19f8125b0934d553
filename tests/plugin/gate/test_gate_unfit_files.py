"""A file of a run directory that does not fit its type: one sentence for its run, and the other run is judged."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def judged(shared_made_up):
    project = shared_made_up
    for name in ("good", "unfit"):
        project.recipe(name)
    assert project.pytest("-k", "improvement").ret == 0
    return project


def unfit_summary(run):
    path = run / "after/summary.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "accuracy": "most"}))
    return path, f"{path}:1: accuracy: input should be a valid number, not text; delete the file, and what it holds"


def unfit_record(run):
    path = run / "before/records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1].replace('"status"', '"state"'), *lines[2:]]))
    return path, f"{path}:2: status: is missing; delete the line, and what it holds"


def deep_verdicts(run):
    path = run / "verdicts.json"
    path.write_text("[" * 1000)
    return path, f"{path}:1: is no JSON (recursion limit exceeded"


@pytest.mark.parametrize(("broken", "again"), [(unfit_summary, 1), (unfit_record, 0), (deep_verdicts, 0)])
def test_it_is_said_in_one_sentence(judged, broken, again):
    kept = {path: path.read_bytes() for path in judged.run("unfit").rglob("*") if path.is_file()}
    path, said = broken(judged.run("unfit"))
    session = judged.pytest("-k", "improvement", "--rl-pr-comment=comment.md")
    path.unlink()
    for each, content in kept.items():
        each.write_bytes(content)
    assert session.ret == 1
    assert session.text.partition("= rl-harness =")[0].count(said) == 1, session.text
    assert session.section.partition("= short test summary")[0].count(said) == again, session.text
    assert session.words("good")["improvement"][0] == "IMPROVED"
    assert "| ✅ | good | 50.0 % → 100.0 % |" in (judged.path / "comment.md").read_text()
    assert judged.pytest("-k", "improvement").ret == 0, "what is whole again is read again"
