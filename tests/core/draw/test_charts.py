from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from maskloss.core.draw.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    histogram,
    line_chart,
    moving_mean,
)


def _points(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline of one kind."""
    found = re.findall(rf'<polyline class="{kind} [a-z]+" points="([^"]*)"', svg)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())] for line in found]


def _texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_moving_mean_keeps_a_constant_and_averages_noise() -> None:
    np.testing.assert_allclose(moving_mean([2.0] * 7), [2.0] * 7)
    # Two on each side; at the ends what there is of them.
    np.testing.assert_allclose(moving_mean([0, 0, 5, 0, 0]), [5 / 3, 5 / 4, 1, 5 / 4, 5 / 3])
    assert len(moving_mean([])) == 0


def test_points_lie_where_their_values_are() -> None:
    svg = line_chart([Curve("inside", "inside", [1, 2, 3], [0.0, 1.0, 1.0])], "step", "loss")
    (raw,) = _points(svg, "raw")
    assert [x for x, _ in raw] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    assert raw[0][1] == HEIGHT - BOTTOM
    # The chart ends 8 % above the greatest value.
    assert raw[1][1] == pytest.approx(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) / 1.08, abs=0.06)
    assert len(_points(svg, "smooth")) == 1
    assert {"step", "loss"} <= set(_texts(svg))


def test_every_curve_has_its_tone_and_validation_is_dots() -> None:
    curves = [
        Curve("inside", "inside", [1, 2], [1.0, 0.5]),
        Curve("outside", "outside", [1, 2], [1.0, 1.0]),
        Curve("validation", "validation", [2], [0.7], dots=True),
    ]
    svg = line_chart(curves, "step", "loss")
    assert len(_points(svg, "raw")) == len(_points(svg, "smooth")) == 2
    assert svg.count('<circle class="dot validation"') == 1
    ElementTree.fromstring(svg)


def test_dots_below_zero_are_on_the_chart_and_none_is_cut() -> None:
    """Of a LoRA that copies less than its training photographs resemble each other, the copy risk is negative."""
    svg = line_chart([Curve("copy risk", "outside", [0, 4], [-0.2, 0.3], dots=True)], "step", "score")
    centres = [float(y) for y in re.findall(r'<circle[^>]* cy="([^"]*)"', svg)]
    assert HEIGHT - BOTTOM > centres[0] > centres[1] > TOP
    assert {"0", "-0.2"} <= set(_texts(svg))
    assert svg.index("</g>") < svg.index("<circle")


def test_values_that_are_not_finite_are_left_away() -> None:
    svg = line_chart([Curve("loss", "total", [1, 2, 3, 4], [1.0, math.nan, math.inf, 0.5])], "step", "loss")
    assert len(_points(svg, "raw")[0]) == 2
    assert "nan" not in svg
    assert line_chart([Curve("loss", "total", [1], [math.nan])], "step", "loss") == ""
    assert line_chart([], "step", "loss") == ""


def test_a_single_step_and_a_loss_of_zero_can_be_drawn() -> None:
    ElementTree.fromstring(line_chart([Curve("loss", "total", [1], [0.0])], "step", "loss"))


def test_one_spike_does_not_flatten_the_rest() -> None:
    values = [1.0] * 199 + [1000.0]
    svg = line_chart([Curve("loss", "total", range(1, 201), values)], "step", "loss")
    top = max(
        float(text) for text in _texts(svg) if re.fullmatch(r"[\d.]+", text) and float(text) not in range(40, 201, 40)
    )
    assert top < 200


def test_long_runs_are_thinned_and_keep_their_extremes() -> None:
    values = [1.0] * 20000
    values[12345] = 1.5
    svg = line_chart([Curve("loss", "total", range(1, 20001), values)], "step", "loss")
    (raw,) = _points(svg, "raw")
    assert len(raw) <= MOST_POINTS
    assert min(y for _, y in raw) < raw[0][1] - 50


def test_names_are_escaped() -> None:
    svg = line_chart([Curve("<b>", "total", [1, 2], [1.0, 2.0])], "a & b", "loss")
    assert "<b>" not in svg
    assert "a & b" in _texts(svg)


def test_histogram_counts_every_value_once_in_its_stretch() -> None:
    svg = histogram([0.0, 0.04, 0.05, 1.0], "coverage")
    titles = re.findall(r"<title>(\d+)% to (\d+)%: (\d+)</title>", svg)
    assert len(titles) == 20
    assert {(low, high): int(count) for low, high, count in titles if count != "0"} == {
        ("0", "5"): 2,
        ("5", "10"): 1,
        ("95", "100"): 1,
    }
    assert "100%" in _texts(svg)
