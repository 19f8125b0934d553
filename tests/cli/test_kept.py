"""``rl-harness runs``, ``runs --diff`` and ``methods`` on runs of which something was torn."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.store import run_files
from harness.store.question import Question
from harness.store.records import RECORDS, SUMMARY
from harness.store.run_files import ENVIRONMENT, IDENTITY, NAME, TRAINED, Name
from tests.run_files import environment, identity, record, summary, trained


def made(root: Path, name: str) -> Path:
    """A finished run of two questions."""
    run = root / name
    IDENTITY.write(run, identity(name))
    ENVIRONMENT.write(run, environment(recipe=name))
    NAME.write(run, Name(name, name))
    run_files.QUESTIONS.write(run, [Question(each, "", "2", "test") for each in "ab"])
    (run / "recipe.toml").write_text(f"[train]\nmethod = '{name}'\n")
    for stage in ("before", "after"):
        RECORDS.write(run / stage, [record(question_id=each) for each in "ab"])
        SUMMARY.write(run / stage, summary(questions=2, planned_questions=2))
    TRAINED.write(run / "train", trained())
    return run


def cut(path: Path, share: float) -> None:
    text = path.read_bytes()
    path.write_bytes(text[: int(share * len(text))])


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """``said("runs")``: the exit code of a command, and what it wrote."""
    monkeypatch.chdir(tmp_path)
    for name in ("grpo", "sft"):
        made(tmp_path / "rl-runs", name)

    def call(*arguments: str) -> tuple[int, str]:
        code = cli.main([*arguments])
        return code, "".join(capsys.readouterr())

    return call


def test_whole_runs_are_listed(said):
    code, text = said("runs")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == ["run", "grpo", "sft"]
    assert "torn" not in text
    assert "cannot be read" not in text
    assert said("methods", "grpo", "sft")[0] == 0


def test_a_torn_recipe_is_not_an_empty_one(said):
    cut(Path("rl-runs/sft/recipe.toml"), 0.7)
    code, text = said("runs")
    assert code == 0
    (line,) = [line for line in text.splitlines() if line.startswith("sft")]
    assert line.startswith("sft   rl-runs/sft/recipe.toml: cannot be read (")
    assert line.endswith("; run again, which writes it anew")
    for command in (("runs", "--diff", "grpo", "sft"), ("methods", "grpo", "sft")):
        code, text = said(*command)
        assert code == 2
        assert text.startswith("rl-harness: rl-runs/sft/recipe.toml: cannot be read (")


@pytest.mark.parametrize(("share", "there"), [(0.7, 1), (0.0, 0)])
def test_answers_that_were_cut_off_are_told(said, share, there):
    cut(Path("rl-runs/sft/after/records.jsonl"), share)
    if share:
        (line,) = [line for line in said("runs")[1].splitlines() if line.startswith("sft")]
        assert line == "sft   rl-runs/sft/after/records.jsonl: is torn; run again, which asks for what is missing"
    code, text = said("methods", "grpo", "sft")
    assert code == 2
    assert text == (
        f"rl-harness: rl-runs/sft/after/records.jsonl: {there} of 2 answers are there; "
        "run again with the same command, which asks for the others\n"
    )
