"""Small line charts as SVG text: light enough to be drawn anew every second."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from labkit.plots.metrics import metric
from labkit.plots.style import PALETTE

_WIDTH, _HEIGHT = 330, 215
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 45, 36
_INK = "var(--jp-ui-font-color1, #222)"
_FAINT = "var(--jp-border-color2, #ddd)"
# More points than pixels cost time and show nothing.
_MOST_POINTS = 300


class Scale(NamedTuple):
    """A range of an axis with its ticks."""

    low: float
    high: float
    ticks: list[float]

    def pixel(self, value: float, start: float, end: float) -> float:
        """Where a value lies between two pixel positions."""
        return start + (value - self.low) / (self.high - self.low) * (end - start)


def chart(steps: Sequence[int], values: Sequence[float | None], field: str, total: int, index: int = 0) -> str:
    """One metric over the steps as an `<svg>`: title, unit, axes with ticks, the line, its newest value.

    `total` is the number of steps at which the x axis ends; `index` chooses the colour. Values that are None
    or not finite are gaps.
    """
    entry = metric(field)
    points = [(s, float(v)) for s, v in zip(steps, values, strict=True) if v is not None and math.isfinite(v)]
    newest = f"{points[-1][1]:.3g}" if points else "no value yet"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'style="display:block;width:100%;max-width:{_WIDTH * 1.35:.0f}px;font-family:sans-serif" '
        f'aria-label="{escape(entry.label)} over steps, now {newest}">',
        _text(4, 17, entry.title, size=13, bold=True),
        _text(4, 32, entry.unit),
        _text(_WIDTH - _RIGHT, 17, newest, size=13, bold=True, anchor="end"),
    ]
    across = axis(0, max(total, 2) - 1, whole=True)
    across = Scale(0, max(total, 2) - 1, [tick for tick in across.ticks if tick <= max(total, 2) - 1])
    up = axis(0, 1) if entry.share else axis(*_range([value for _, value in points]))
    parts += _grid(across, up)
    if points:
        parts += _line(_thin(points), across, up, PALETTE[index % len(PALETTE)])
    return "".join(parts) + "</svg>"


def axis(low: float, high: float, count: int = 4, whole: bool = False) -> Scale:
    """A range that holds low and high, with about `count` ticks at round numbers.

    >>> axis(0, 1)
    Scale(low=0.0, high=1.0, ticks=[0.0, 0.25, 0.5, 0.75, 1.0])
    >>> axis(43, 139).ticks
    [25.0, 50.0, 75.0, 100.0, 125.0, 150.0]
    """
    if high <= low:
        high = low + 1
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.99)
    if whole:
        step = max(1.0, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, [i * step for i in range(first, last + 1)])


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the smallest to the largest value, from 0 where that is near."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if 0 < low < 0.6 * high:
        low = 0.0
    if high == low:
        return low - abs(low) * 0.1, high + (abs(high) * 0.1 or 1.0)
    return low, high


def _x(scale: Scale, value: float) -> float:
    return scale.pixel(value, _LEFT, _WIDTH - _RIGHT)


def _y(scale: Scale, value: float) -> float:
    return scale.pixel(value, _HEIGHT - _BOTTOM, _TOP)


def _grid(across: Scale, up: Scale) -> list[str]:
    parts = []
    for tick in up.ticks:
        y = _y(up, tick)
        ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line {ends} stroke="{_FAINT}"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:.4g}", anchor="end"))
    for tick in across.ticks:
        parts.append(_text(_x(across, tick), _HEIGHT - _BOTTOM + 15, f"{tick:.4g}", anchor="middle"))
    return [*parts, _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, "step", anchor="middle")]


def _text(x: float, y: float, text: str, size: int = 11, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} font-size="{size}"{weight} fill="{_INK}">{escape(text)}</text>'


def _line(points: Sequence[tuple[int, float]], across: Scale, up: Scale, colour: str) -> list[str]:
    path = " ".join(f"{_x(across, step):.1f},{_y(up, value):.1f}" for step, value in points)
    step, value = points[-1]
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>',
        f'<circle cx="{_x(across, step):.1f}" cy="{_y(up, value):.1f}" r="3.5" fill="{colour}"/>',
    ]


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = -(-len(points) // _MOST_POINTS)
    kept = points[::stride]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
