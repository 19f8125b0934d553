"""``rl-harness chat``: before beside after, for questions that are given or typed."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest

import harness
from harness import cli
from harness.cli.chat import side_by_side
from harness.store.words import drawable
from tests.notebook.test_result import SMALL

QUESTION = "Ben has 3 apples and finds 4 more. How many apples does Ben have now?"
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("chat"))
        yield folder


@pytest.fixture(scope="module")
def run(folder):
    # A step so large that the policy says something else.
    return harness.run(**{**SMALL, "train": {**SMALL["train"], "learning_rate": 1e-2}}, name="asked")


@pytest.fixture
def asked(run, capsys, monkeypatch):
    """``asked(question)``: the two columns that the command prints, each as one text."""
    monkeypatch.setenv("COLUMNS", "203")

    def ask(*arguments: str) -> list[tuple[str, str]]:
        capsys.readouterr()
        assert cli.main(["chat", "asked", *arguments]) == 0
        rows = [line.partition(" │ ") for line in capsys.readouterr().out.splitlines()]
        return [(left.strip(), right.strip()) for left, _, right in rows]

    return ask


def test_the_answers_are_those_of_the_evaluations(run, asked):
    """The same turns stand before a question, and it is answered by the same decoding."""
    question = run.questions.test[0]
    heads, _, first, *_ = asked("--question", question.text)
    assert heads == ("before", "after")
    kept = [side.records[0].completion for side in (run.before(), run.after())]
    assert kept[0] != kept[1]
    for told, text in zip(first, kept, strict=True):
        assert re.sub(r"\W", "", text.split("\n")[0][:30]) in re.sub(r"\W", "", told)


def test_typed_questions_are_answered_to_the_end_of_the_input(asked, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n\nWhat is 2 + 3?"))
    assert asked().count(("before", "after")) == 2


def test_a_training_that_was_found_elsewhere_is_asked_too(run, asked):
    """Its job lies with the run that trained."""
    other = {**SMALL["task"], "test_questions": 12}
    found = harness.run(**{**SMALL, "task": other, "train": dict(run.recipe.train.arguments)}, name="found")
    assert found.trained().summary.source == run.directory.name
    assert cli.main(["chat", "found", "--question", QUESTION]) == 0


def test_the_run_that_trained_may_be_gone(folder, asked, capsys, monkeypatch):
    """Then its recipe names the model, if that is still the one that was trained."""
    told = asked("--question", QUESTION)
    shutil.copytree(folder / "rl-runs/asked", made := folder / "rl-runs/orphan")
    (made / "train/job.json").unlink()
    monkeypatch.chdir(folder)
    assert cli.main(["chat", str(made), "--question", QUESTION]) == 0
    assert [line.partition(" │ ")[0].strip() for line in capsys.readouterr().out.splitlines()] == [
        before for before, _ in told
    ]
    changed = re.sub(r'(?m)^name = "tiny"', 'name = "nowhere/none.gguf"', (made / "recipe.toml").read_text())
    (made / "recipe.toml").write_text(changed)
    assert cli.main(["chat", str(made), "--question", QUESTION]) == 2
    err = capsys.readouterr().err
    assert "job.json is gone, and nowhere/none.gguf: no such file" in err
    assert "run its recipe with --rl-fresh" in err
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("", "recipe.toml: model: missing"),
        ('[model]\nname = "tiny"\n[evaluate]\nmax_new_tokens = "a"\n', "[evaluate] max_new_tokens: must be a whole"),
        (f"deep = {'[' * 3000}", "recipe.toml: cannot be read (lists or tables lie too deep"),
    ],
)
def test_a_recipe_that_was_damaged_is_told(run, capsys, recipe, says):
    path = run.directory / "recipe.toml"
    kept = path.read_text()
    try:
        path.write_text(recipe)
        assert cli.main(["chat", str(run.directory), "--question", QUESTION]) == 2
    finally:
        path.write_text(kept)
    err = capsys.readouterr().err
    assert says in err.replace("recipe.toml:1:", "recipe.toml:")
    assert "Traceback" not in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_the_line_between_is_what_the_terminal_has(encoding):
    assert drawable("a │ b", encoding) == ("a │ b" if encoding == "utf-8" else "a | b")


def test_a_run_without_a_trained_model_is_told(folder, capsys):
    made = harness.evaluate("tiny", SMALL["task"], evaluate=SMALL["evaluate"])
    assert cli.main(["chat", str(made.directory.parent)]) == 2
    assert "has no trained model (train/final); run its recipe to the end" in capsys.readouterr().err


def test_columns_are_broken_between_words_and_keep_their_places():
    lines = list(side_by_side(("before", "one two three\nfour"), ("after", "abcdefghijkl\x1b"), 8))
    assert lines == [
        "before   │ after",
        "──────── │ ────────",
        "one two  │ abcdefgh",
        "three    │ ijkl␛",
        "four     │",
    ]


def test_characters_of_two_places():
    assert list(side_by_side(("前", "苹果有三个"), ("b", "x"), 4))[2:] == ["苹果 │ x", "有三 │", "个   │"]


def test_what_the_docs_load_elsewhere_answers_as_here(run, folder):
    """docs/notebook.md's lines of transformers, with this run's path."""
    docs = (Path(harness.__file__).parents[1] / "docs/notebook.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- elsewhere -->\n```python\n(.*?)```", docs, re.DOTALL)
    names: dict = {}
    exec(code.replace("rl-runs/tiny-arithmetic", str(run.directory)), names)
    record = run.after().records[0]
    (answer,) = names["ask"]([dict(turn) for turn in record.prompt], max_new_tokens=24, do_sample=False)
    assert answer["generated_text"][-1]["content"].strip() == record.completion.strip()
