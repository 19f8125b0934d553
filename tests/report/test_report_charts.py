"""Charts: which keys draw what, and SVG that a strict page can hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_runs import MadeUp, write_run

from harness.report.charts import EXPECTED, Chart, Line, Mark, chart_of, charts_of
from harness.report.read import read_run
from harness.report.svg import draw, nice, spark, thin, trailing_mean
from harness.store.run_files import Finding, HeldOut
from tests import run_files


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
        (steps_of(loss=[2.0, 1.0], mean_token_accuracy=[0.1, 0.5]), ["Loss", "Token accuracy"], ["training"]),
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
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "path", "text"}
    assert "untrusted" not in svg
    assert "#" not in svg
    assert 'class="s0 ' in svg
    assert 'class="s1 ' in svg
    assert draw(Chart("Reward", "", (line, line))) == svg


def test_trailing_mean_keeps_gaps() -> None:
    assert trailing_mean([1.0, None, 3.0, 5.0], window=3) == (1.0, None, 2.0, 4.0)


def finding(key: str, step: int, level: str = "warning") -> Finding:
    return run_files.finding(key=key, step=step, level=level)


def test_held_out_accuracy_stands_on_the_reward_chart() -> None:
    # Every new best is marked as one when it is made; the last of them is the best of all.
    held_out = [HeldOut(5, 0.25, (0.1, 0.4), 20, True), HeldOut(10, 0.5, (0.3, 0.7), 20, True)]
    chart = charts_of(steps_of(reward=[0.1, 0.2]), held_out=held_out)[0]
    accuracy = chart.lines[-1]
    assert (accuracy.name, accuracy.values, accuracy.best) == ("held-out accuracy", (0.25, 0.5), 10)
    assert accuracy.low == (0.1, 0.3)
    titles = [chart.title for chart in charts_of(steps_of(reward=[0.1, 200.0]), held_out=held_out)]
    assert titles == ["Reward", "Held-out accuracy"]
    without = replace(chart, lines=(chart.lines[0], replace(accuracy, best=None)))
    assert draw(chart).count(" star") == 1
    assert " star" not in draw(without)


def test_expected_share_is_averaged_between_logged_steps() -> None:
    steps = steps_of(frac_reward_zero_std=[0.5, 0.25, 0.25])  # logged at 5, 10, 15
    chart = charts_of(steps, {1: 0.2, 5: 0.4, 8: 0.1, 40: 0.9})[0]
    assert [line.name for line in chart.lines] == ["groups without signal", EXPECTED]
    assert chart.lines[1].steps == (5, 10)
    assert chart.lines[1].values == pytest.approx((0.3, 0.1))


def test_findings_mark_the_chart_of_their_metric() -> None:
    steps = steps_of(reward=[0.1, 0.2], grad_norm=[1.0, math.nan], reward_std=[0.5, 0.0])
    findings = [finding("grad_norm", 10, "fatal"), finding("reward", 5), finding("reward_std", 10), finding("none", 5)]
    charts = charts_of(steps, findings=findings)
    assert [chart.title for chart in charts] == ["Reward", "Gradient norm", "reward_std"]
    assert [chart_of(one, charts) for one in findings] == [2, 1, 3, None]
    norm = charts[1]
    assert (norm.marks, norm.gaps) == ((Mark(10, None, "fatal"),), (10,))
    assert charts[0].marks == (Mark(5, 0.1, "warning"),)
    shapes = [draw(chart) for chart in charts]
    assert "mark fatal" in shapes[1]
    assert "mark warning" not in shapes[1]
    assert "mark warning" in shapes[0]


def test_lengths_have_a_band_where_both_ends_are_known() -> None:
    steps = steps_of(
        completions__mean_length=[5, 6, 7], completions__min_length=[1, 2], completions__max_length=[9, 9, 9]
    )
    chart = charts_of([*steps, {"step": 15}])[0]
    assert (chart.lines[0].low, chart.lines[0].high) == ((1, 2, None), (9, 9, 9))
    assert 'class="band"' in draw(chart)
    assert 'class="band"' not in draw(charts_of(steps_of(completions__mean_length=[5, 6]))[0])


@pytest.mark.parametrize(
    ("method", "first", "others"),
    [
        ("grpo", "Reward", {"Groups without signal", "Truncated"}),
        ("sft", "Loss", {"Token accuracy"}),
        ("dpo", "Loss", {"Preferred pairs", "Implicit reward", "Reward margin", "Log-probabilities"}),
    ],
)
def test_each_method_has_its_charts(tmp_path: Path, method: str, first: str, others: set[str]) -> None:
    run = read_run(write_run(tmp_path, MadeUp(method=method, steps=3)))
    assert run.training is not None
    titles = [chart.title for chart in charts_of(run.training.steps)]
    assert titles[0] == first
    assert others < set(titles)
    assert titles.count("Loss") == 1
    assert method != "grpo" or titles[-1] == "Loss"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_are_few_and_within(low: float, width: float, most: int) -> None:
    ticks = nice(low, low + width, most)
    assert len(ticks) <= most + 1
    assert ticks == sorted(ticks)
    assert all(low - 1e-3 * width <= tick <= low + 1.001 * width for tick in ticks)


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=3000))
def test_a_thinned_line_keeps_its_ends_and_its_extremes(values: list[float]) -> None:
    xs, ys = thin(range(len(values)), values, 100)
    assert len(xs) <= 102 or len(values) <= 100
    assert (xs[0], xs[-1]) == (0, len(values) - 1)
    assert (min(ys), max(ys)) == (min(values), max(values))
    assert xs == sorted(xs)


def test_what_the_pointer_tells_is_what_was_logged() -> None:
    (chart, *_) = charts_of(steps_of(reward=[0.1, None, 0.12345]))
    assert json.loads(chart.hover()) == {"lines": [["total reward", [5, 15], [0.1, 0.1235]]], "share": False}


@pytest.mark.parametrize(("values", "drawn"), [([], False), ([1.0], False), ([None, None], False), ([0.0, 0.0], True)])
def test_a_sparkline_needs_two_values(values: list[float | None], drawn: bool) -> None:
    assert bool(spark(values, 0.0, 2.0)) is drawn
