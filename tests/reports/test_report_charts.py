"""Charts: which keys draw what, and SVG that a strict page can hold."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from reports.charts import Chart, Line, charts_of
from reports.draw import draw, trailing_mean


def steps_of(**values: list[float | None]) -> list[dict[str, Any]]:
    longest = max(map(len, values.values()))
    return [
        {"step": 5 * i + 5} | {key.replace("__", "/"): row[i] for key, row in values.items() if i < len(row)}
        for i in range(longest)
    ]


@pytest.mark.parametrize(
    ("steps", "titles", "lines"),
    [
        ([], [], []),
        (steps_of(reward=[0.1, 0.2]), ["Reward"], ["total reward"]),
        (steps_of(reward=[0.1], rewards__a__mean=[0.1]), ["Reward"], ["a"]),
        (
            steps_of(reward=[0.3], rewards__b__mean=[0.1], rewards__a__mean=[0.2]),
            ["Reward"],
            ["total reward", "a", "b"],
        ),
        (steps_of(reward=[None, math.nan], kl=[0.1, 0.2]), ["KL divergence"], ["KL"]),
        (steps_of(loss=[2.0, 1.0], mean_token_accuracy=[0.1, 0.5]), ["Loss", "Token accuracy"], ["loss"]),
        (steps_of(reward=[1e300], entropy=[math.inf]), [], []),
    ],
)
def test_keys_decide_the_charts(steps: list[dict[str, Any]], titles: list[str], lines: list[str]) -> None:
    charts = charts_of(steps)
    assert [chart.title for chart in charts] == titles
    assert not charts or [line.name for line in charts[0].lines] == lines


@pytest.mark.parametrize(
    "values",
    [
        (0.5,),
        (0.0, 0.0),
        (None, 0.5, None, 0.25, 0.5, None),
        (-1e29, 1e29),
        (1e-9, 3e-9),
        tuple(map(float, range(500))),
    ],
)
def test_svg_is_fit_for_a_strict_page(values: tuple[float | None, ...]) -> None:
    line = Line("<b>untrusted $_{", tuple(float(step) for step in range(len(values))), values)
    svg = draw(Chart("Reward", "", (line, line)))
    root = ElementTree.fromstring(svg)
    assert not {name for element in root.iter() for name in element.attrib} & {"style", "id", "clip-path"}
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "g", "path", "text"}
    assert "untrusted" not in svg
    assert "#" not in svg
    assert "s0-stroke" in svg
    assert "s1-stroke" in svg
    assert draw(Chart("Reward", "", (line, line))) == svg


def test_trailing_mean_keeps_gaps() -> None:
    assert trailing_mean([1.0, None, 3.0, 5.0], window=3) == (1.0, None, 2.0, 4.0)
