"""Charts as inline SVG: no script, no file beside the page, colours from the page's own style sheet.

A curve's `tone` is the name of a CSS class that sets its stroke; the page defines it for light and dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 900, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 40
# More raw points than this are drawn as the least and the greatest of each of half as many stretches.
MOST_POINTS = 1200


@dataclass(frozen=True)
class Curve:
    """Values at `steps` (ascending); raw points are drawn faint and their moving mean strong, or only `dots`."""

    name: str
    tone: str
    steps: Sequence[float]
    values: Sequence[float]
    dots: bool = False


def moving_mean(values: Sequence[float]) -> np.ndarray:
    """Moving mean over a twentieth of the values (5 at least), centred; at the ends over what there is of it."""
    series = np.asarray(values, dtype=np.float64)
    half = max(2, len(series) // 40)
    sums = np.concatenate([[0.0], np.cumsum(series)])
    index = np.arange(len(series))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(series))
    return (sums[last] - sums[first]) / (last - first)


def line_chart(curves: Sequence[Curve], x_name: str, y_name: str) -> str:
    """An SVG of the curves over their steps, with 0 on its axis; values that are not finite are left away.

    Without a single finite value it is an empty string.
    """
    known = [curve for curve in (_drop_non_finite(curve) for curve in curves) if curve.values]
    if not known:
        return ""
    x_low, x_high = min(c.steps[0] for c in known), max(c.steps[-1] for c in known)
    frame = _Frame(x_low, x_high if x_high > x_low else x_low + 1, *_y_limits(known))
    title = html.escape(f"{', '.join(curve.name for curve in known)} over {x_name}")
    drawn = [_open_svg(title), frame.axes(x_name, y_name)]
    drawn.append(
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath><g clip-path="url(#plot)">'
    )
    lines = [curve for curve in known if not curve.dots]
    for curve in lines:
        drawn.append(f'<polyline class="raw {curve.tone}" points="{frame.points(*_thin_out(curve))}"/>')
    for curve in lines:
        mean = Curve(curve.name, curve.tone, curve.steps, moving_mean(curve.values).tolist())
        drawn.append(f'<polyline class="smooth {curve.tone}" points="{frame.points(*_thin_out(mean))}"/>')
    drawn.append("</g>")
    # Behind the cut, which would halve those on the chart's edges.
    drawn.extend(
        f'<circle class="dot {curve.tone}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="4"/>'
        for curve in known
        if curve.dots
        for x, y in zip(curve.steps, curve.values, strict=True)
    )
    return "".join(drawn) + "</svg>"


def histogram(values: Sequence[float], x_name: str, bins: int = 20) -> str:
    """An SVG of how many of the values, all in [0, 1], fall into each of `bins` equal stretches."""
    counts, _ = np.histogram(np.asarray(values, dtype=np.float64), bins=bins, range=(0.0, 1.0))
    frame = _Frame(0.0, 1.0, 0.0, float(max(1, counts.max())))
    title = html.escape(f"how many photographs have which {x_name}")
    drawn = [_open_svg(title), frame.axes(x_name, "photographs", percent=True, whole=True)]
    for index, count in enumerate(counts.tolist()):
        left, right, top = frame.x(index / bins), frame.x((index + 1) / bins), frame.y(count)
        label = html.escape(f"{index / bins:.0%} to {(index + 1) / bins:.0%}: {count}")
        drawn.append(
            f'<rect class="bar" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
            f'height="{frame.y(0) - top:.1f}"><title>{label}</title></rect>'
        )
    return "".join(drawn) + "</svg>"


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the chart: x from x_low to x_high, y from y_low to y_high."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)

    def points(self, steps: Sequence[float], values: Sequence[float]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(steps, values, strict=True))

    def axes(self, x_name: str, y_name: str, percent: bool = False, whole: bool = False) -> str:
        lines: list[str] = []
        for tick in _ticks(self.y_low, self.y_high, whole):
            y = self.y(tick)
            lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        for tick in _ticks(self.x_low, self.x_high, whole=not percent):
            text = f"{tick:.0%}" if percent else f"{tick:g}" if tick < 1e5 else f"{tick:,.0f}"
            lines.append(f'<text x="{self.x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{text}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        lines.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{html.escape(x_name)}</text>')
        lines.append(
            f'<text x="14" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
            f'transform="rotate(-90 14 {(TOP + HEIGHT - BOTTOM) / 2})">{html.escape(y_name)}</text>'
        )
        return "".join(lines)


def _open_svg(title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
    )


def _drop_non_finite(curve: Curve) -> Curve:
    pairs = [(x, float(y)) for x, y in zip(curve.steps, curve.values, strict=True) if math.isfinite(y)]
    return Curve(curve.name, curve.tone, [x for x, _ in pairs], [y for _, y in pairs], curve.dots)


def _y_limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """From below every mean and dot, 0 at most, to above every one and 98 of 100 raw points, so that one spike hides
    nothing."""
    means = [np.asarray(curve.values) if curve.dots else moving_mean(curve.values) for curve in curves]
    raw = [np.quantile(curve.values, 0.98) for curve in curves if not curve.dots]
    low = min(0.0, *(float(mean.min()) for mean in means)) * 1.08
    high = float(max([*raw, *(mean.max() for mean in means)])) * 1.08
    return low, high if high > low else low + 1.0


def _thin_out(curve: Curve) -> tuple[Sequence[float], Sequence[float]]:
    if len(curve.values) <= MOST_POINTS:
        return curve.steps, curve.values
    steps: list[float] = []
    values: list[float] = []
    for stretch in np.array_split(np.arange(len(curve.values)), MOST_POINTS // 2):
        part = [curve.values[i] for i in stretch]
        for place in sorted({int(np.argmin(part)), int(np.argmax(part))}):
            steps.append(curve.steps[int(stretch[place])])
            values.append(part[place])
    return steps, values


def _ticks(low: float, high: float, whole: bool) -> list[float]:
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]
