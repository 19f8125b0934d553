"""A page that shows what its run directory holds is not drawn again, and one that does not is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_runs import MadeUp, write_run

from harness.report import files, tables
from harness.report import training as training_module
from harness.report.render import render_session
from harness.store.run_files import ENVIRONMENT


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, Callable[[], list[str]]]:
    """A run, and what draws its session and says which files are other than before."""
    run = write_run(tmp_path / "runs", MadeUp(questions=120))

    def draw() -> list[str]:
        folder = tmp_path / "report"
        before = {path: path.stat().st_ino for path in folder.rglob("*.html")}
        render_session([run], folder)
        return sorted(path.name for path in folder.rglob("*.html") if before.get(path) != path.stat().st_ino)

    assert len(draw()) == 2
    return run, draw


def test_what_did_not_change_is_left(
    drawn: tuple[Path, Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, draw = drawn
    for module, name in ((training_module, "draw"), (tables, "distributions_of")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("drawn again"))
    assert draw() == ["index.html"]


CHANGES = ("verdicts.json", "before/summary.json", "after/records.jsonl", "train/metrics.jsonl", "recipe.toml")


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_is_drawn(name: str, drawn: tuple[Path, Callable[[], list[str]]]) -> None:
    run, draw = drawn
    with (run / name).open("a") as file:
        file.write("\n")
    assert len(draw()) == 2
    assert draw() == ["index.html"]


def test_a_new_file_or_a_lost_page_is_drawn(drawn: tuple[Path, Callable[[], list[str]]], tmp_path: Path) -> None:
    run, draw = drawn
    (run / "baseline.json").write_text(json.dumps({"path": "x.toml"}))
    assert len(draw()) == 2
    (page,) = (path for path in (tmp_path / "report").glob("*.html") if path.name != "index.html")
    page.write_text(page.read_text()[:-30])
    assert len(draw()) == 2


def test_another_version_of_what_draws_is_another_page(
    drawn: tuple[Path, Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, draw = drawn
    monkeypatch.setattr(files, "_drawn_by", lambda: "another jinja")
    assert len(draw()) == 2


def test_the_page_of_all_runs_is_the_same_either_way(
    drawn: tuple[Path, Callable[[], list[str]]], tmp_path: Path
) -> None:
    _, draw = drawn
    first = (tmp_path / "report" / "index.html").read_bytes()
    draw()
    assert (tmp_path / "report" / "index.html").read_bytes() == first


def test_a_green_run_before_it_is_another_page(drawn: tuple[Path, Callable[[], list[str]]], tmp_path: Path) -> None:
    run, draw = drawn
    green = tmp_path / "runs" / f"{run.name[:-12]}{'a' * 12}"
    shutil.copytree(run, green)
    ENVIRONMENT.write(green, replace(ENVIRONMENT.read(run), created="2001-01-01T00:00:00+00:00"))
    assert len(draw()) == 2
    recipe = green / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 1e-4", "learning_rate = 3e-4"))
    assert len(draw()) == 2
    assert draw() == ["index.html"]
