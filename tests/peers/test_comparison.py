"""Tables of ratios: which way they count, and that the same figures stand in all three places."""

from __future__ import annotations

import json

import pytest
from comparison import Row, Table


def table(more_is_better: bool = True) -> Table:
    rows = [
        Row("ours", [4.0, 5.0, 6.0]),
        Row("theirs", [2.0, 2.5, 10.0], {"answers that differ": "1 of 64"}),
        Row("another", [0.5]),
    ]
    return Table("side by side", "both", "questions/s", rows, more_is_better, {"threads": "4"}, ["a note"])


@pytest.mark.parametrize(("more_is_better", "theirs", "another"), [(True, 2.0, 10.0), (False, 0.5, 0.1)])
def test_ratio_of_medians(more_is_better, theirs, another):
    found = table(more_is_better)
    assert found.ratio("theirs") == theirs
    assert found.ratio("another") == pytest.approx(another)


def test_ratio_of_rounds_side_by_side():
    rows = [Row("ours", [1.0, 2.0, 9.0]), Row("theirs", [2.0, 2.0, 27.0])]
    found = Table("in turns", "turns", "seconds", rows, False, {}, in_turns=True)
    assert found.ratio("theirs") == 2.0


def test_written_in_three_ways(tmp_path):
    markdown, data = table().write(tmp_path / "new")
    lines = markdown.read_text().splitlines()
    assert "| theirs | 2.5 | 2 to 10 in 3 | 2.00 times | 1 of 64 |" in lines
    assert "| ours | 5 | 4 to 6 in 3 |  |  |" in lines
    assert {"a note", "- threads: 4"} <= set(lines)
    kept = json.loads(data.read_text())
    assert kept["ratios"] == {"theirs": 2.0, "another": 10.0}
    assert kept["rows"][1]["rounds"] == [2.0, 2.5, 10.0]
    terminal = table().lines()
    assert terminal[1].split()[:2] == ["ours", "5"]
    assert terminal[-1] == "with threads 4"
