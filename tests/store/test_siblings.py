"""Runs beside one another: what tells them apart, which one a word means, and what changed between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.store.changes import changes
from harness.store.errors import HarnessError
from harness.store.question import Question
from harness.store.run_files import ENVIRONMENT, IDENTITY, NAME, QUESTIONS, Name
from harness.store.siblings import differences, distinct_names, find_run, worded
from tests.run_files import environment, identity


def made(root: Path, folder: str, recipe: str = "", *, name: str = "units", asked: int = 3, **changed: Any) -> Path:
    """A run directory; ``changed`` is of its environment, and ``generation`` of its identity."""
    run = root / folder
    IDENTITY.write(run, identity(**changed.pop("generation", {})))
    ENVIRONMENT.write(run, environment(recipe="units", **changed))
    NAME.write(run, Name(name, name))
    QUESTIONS.write(run, [Question(f"q{n}", f"{n} + 1?", str(n + 1), "test", None) for n in range(asked)])
    (run / "recipe.toml").write_text(recipe)
    return run


RATES = "[train]\nlearning_rate = {}\n[gate]\nmargin = 0.05\n"


def told(*runs: Path) -> list[str]:
    return [", ".join(map(str, each)) for each in differences(runs)]


def test_what_differs_is_said_and_what_is_the_same_is_not(tmp_path):
    one, two, three = (made(tmp_path, f"r{n}", RATES.format(rate)) for n, rate in enumerate((1e-6, 2e-6, 2e-6)))
    assert told(one, two) == ["lr=1e-6", "lr=2e-6"]
    (three / "recipe.toml").write_text(RATES.format(2e-6) + "alpha = 0.1\n")
    assert told(one, two, three) == ["lr=1e-6", "", "alpha=0.1"], "what most share is not said"
    other = made(tmp_path, "other", RATES.format(3e-6))
    ENVIRONMENT.write(other, environment(recipe="others"))
    assert told(one, other) == ["", ""], "only runs of one recipe are siblings"


def test_what_the_name_says_is_not_said_again(tmp_path):
    one = made(tmp_path, "one", RATES.format(1e-6))
    two = made(tmp_path, "two", RATES.format(2e-6) + "alpha = 0.1\n", name="units lr=2e-6")
    assert told(one, two) == ["lr=1e-6, alpha=not set", "alpha=0.1"]
    whole = differences([one, two], beyond_names=False)
    assert [", ".join(map(str, each)) for each in whole] == ["lr=1e-6, alpha=not set", "lr=2e-6, alpha=0.1"]


def test_where_recipes_say_the_same_what_decided_beside_them_is_told(tmp_path):
    runs = [
        made(tmp_path, version, generation={"engine": {"name": "transformers", "transformers": version}})
        for version in ("5.23", "5.24")
    ]
    assert told(*runs) == ["transformers=5.23", "transformers=5.24"]


NAMES = [
    ({"units": "units", "units-lr-2e-6": "units lr=2e-6"}, ["units", "units lr=2e-6"]),
    ({"units": "units", "units-0123456789ab": "units"}, ["units (units)", "units (units-0123456789ab)"]),
    ({"units-0123456789ab": "units"}, ["units"]),  # the other one was removed
    ({"units": "my try", "try": "try"}, ["my try (units)", "try"]),  # named after it was made
]


@pytest.mark.parametrize(("names", "said"), NAMES)
def test_a_name_that_does_not_say_the_folder_has_it_behind(tmp_path, names, said):
    assert distinct_names([made(tmp_path, folder, name=name) for folder, name in names.items()]) == said


WORDS = [
    (2e-6, "2e-6"),
    (1e20, "1e20"),
    (0.3, "0.3"),
    (1, "1"),
    (True, "true"),
    (None, "not set"),
    ([0, 1e-05], "[0, 1e-5]"),
    ("a" * 64, "aaaaaaaa"),
]


@pytest.mark.parametrize(("value", "text"), WORDS)
def test_values_are_worded_as_one_writes_them(value, text):
    assert worded(value) == text


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    names = {"units": "units", "units-lr-2e-6": "units lr=2e-6", "fast": "my try", "units-0123": "units beta=0.1"}
    for place, name in names.items():
        made(folder, place, name=name)
    return folder


FOUND = {
    "units": "units",
    "units lr=2e-6": "units-lr-2e-6",
    "units lr": "units-lr-2e-6",
    "units-l": "units-lr-2e-6",
    "my": "fast",
    "fast": "fast",
}


@pytest.mark.parametrize("word", FOUND)
def test_a_word_finds_its_run(runs, word):
    assert find_run(word, runs) == runs / FOUND[word]


def test_the_name_of_a_folder_is_enough(runs):
    """Of two runs of one name, one has its folder's."""
    made(runs, "units-4567", name="units")
    assert find_run("units", runs) == runs / "units"


def test_a_path_is_a_run_wherever_it_lies(runs, tmp_path):
    assert find_run(str(runs / "units"), tmp_path / "elsewhere") == runs / "units"


MISTAKES = {
    "unit": r"unit may be any of (?=.*units-lr-2e-6).*; write more of the one that is meant",
    "unitz lr=2e-6": r"no such run directory, and no run in .*runs has that name; did you mean 'units lr=2e-6'\?",
    ".": r"not a run directory \(it has no environment.json\)",
}


@pytest.mark.parametrize("word", MISTAKES)
def test_a_word_that_finds_none_or_several(runs, word, monkeypatch):
    monkeypatch.chdir(runs)
    with pytest.raises(HarnessError, match=MISTAKES[word]):
        find_run(word, runs)


def test_what_changed_between_two_runs(tmp_path):
    one = made(tmp_path, "one", 'description = "x"\n' + RATES.format(1e-6))
    two = made(
        tmp_path,
        "two",
        RATES.format(2e-6),
        asked=4,
        packages={"torch": "0.0.2", "trl": "0.0.2"},
        git={"commit": "f" * 40, "dirty": False},
        device="cuda",
        generation={"model": {"weights": "b" * 16}},
    )
    assert [(each.part, each.key, each.first, each.second) for each in changes(one, two)] == [
        ("recipe", "train.learning_rate", "1e-6", "2e-6"),
        ("model", "weights", "aaaaaaaa", "bbbbbbbb"),
        ("data", "test questions", "3, 0 not there", "4, 1 not there"),
        ("versions", "torch", "0.0.1", "0.0.2"),
        ("commit", "commit", "0123456789 with uncommitted changes", "ffffffffff"),
    ]
    assert changes(one, one) == ()
