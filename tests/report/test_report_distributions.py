"""Distributions: every value in one bin, before beside after."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_runs import MadeUp, records_of, write_run
from report_pages import page_of, words_of

from harness.report.read import read_run
from harness.report.tables import BARS, Distribution, _counted, binned, distributions_of

if TYPE_CHECKING:
    from pathlib import Path

WORDS = {"before": "before", "after": "after"}


def found_in(run: Path) -> dict[str, Distribution]:
    return {one.title: one for one in distributions_of(read_run(run), WORDS)}


def test_counts_are_the_records(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=30, samples=4))
    found = found_in(run)
    assert list(found) == ["Rewards", "Lengths", "Success per question"]
    for panel, side in zip(found["Rewards"].panels, ("before", "after"), strict=True):
        rewards = [record["reward"] for record in records_of(run, side)]
        assert panel.name == side
        assert dict(zip(found["Rewards"].bins.names, panel.counts, strict=True)) == {
            "0": rewards.count(0.0),
            "1": rewards.count(1.0),
        }
    for panel, side in zip(found["Lengths"].panels, ("before", "after"), strict=True):
        records = records_of(run, side)
        assert sum(panel.counts) == len(records)
        assert sum(panel.cuts) == sum(record["finish_reason"] == "length" for record in records)
    for panel, side in zip(found["Success per question"].panels, ("before", "after"), strict=True):
        right: dict[str, int] = {}
        for record in records_of(run, side):
            right[record["question_id"]] = right.get(record["question_id"], 0) + (record["status"] == "correct")
        assert list(panel.counts) == [list(right.values()).count(number) for number in range(5)]


def test_one_greedy_answer_has_no_success_histogram(tmp_path: Path) -> None:
    assert list(found_in(write_run(tmp_path, MadeUp(train=False, after=False)))) == ["Rewards", "Lengths"]
    assert found_in(write_run(tmp_path, MadeUp(questions=0, seed=1))) == {}


def test_the_page_has_pictures_and_tables(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=30))
    page = page_of(run, output=tmp_path)
    section = page[page.index("What was answered, in numbers") :]
    assert section[: section.index("</section>")].count('class="plot"') == 4
    assert "hollow: cut off at the token limit" in words_of(section)
    assert section.count("<caption>") == 2


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.booleans())
def test_every_value_has_its_bin(values: list[float], whole: bool) -> None:
    values = [float(round(value)) for value in values] if whole else values
    edges, bins = binned(values, whole=whole)
    assert len(edges) == len(bins.names) == len(bins.ticks) <= 22
    assert edges == sorted(edges)
    assert sum(_counted(values, edges)) == len(values)
    assert min(values) >= edges[0] - 1e-5


@pytest.mark.parametrize("count", [1, 2, BARS, 40])
def test_bars_are_fit_for_a_strict_page(tmp_path: Path, count: int) -> None:
    run = write_run(tmp_path, MadeUp(questions=count, samples=3))
    for one in distributions_of(read_run(run), WORDS):
        for panel, svg in zip(one.panels, one.pictures, strict=True):
            root = ElementTree.fromstring(svg)
            assert not {name for element in root.iter() for name in element.attrib} & {"style", "id", "clip-path"}
            assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "path", "rect", "text"}
            filled = sum(whole > cut for whole, cut in zip(panel.counts, panel.cuts, strict=True))
            assert svg.count('class="bar"') == filled
            assert svg.count("bar hollow") == sum(cut > 0 for cut in panel.cuts)
