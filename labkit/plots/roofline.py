"""Figures of speed: a roofline with measured points on it, the rungs of a ladder, and where a step's seconds go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import UserError
from labkit.plots.style import LINES, MARKERS, PALETTE, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++", "oo")


def roofline(
    series: Mapping[str, Point | Sequence[Point]],
    bytes_per_second: float,
    flops_per_second: float,
    *,
    notes: Mapping[str, Sequence[str]] | None = None,
    title: str = "Roofline",
    size: tuple[float, float] = (8, 5.4),
) -> Figure:
    """Points (operations per byte, operations per second) under the roof of a device.

    A name with one point is drawn as a marker, a name with several points as a line with markers. `notes`: words for
    each point of a series. Memory is the limit in the shaded part. Raises UserError for values that a logarithmic axis
    can't show.
    """
    points = {name: _points(name, value) for name, value in series.items()}
    if not points:
        raise UserError("roofline needs at least one point")
    if not (bytes_per_second > 0 and flops_per_second > 0):
        raise UserError("roofline needs a bandwidth and a rate above 0")
    corner = flops_per_second / bytes_per_second
    every = np.concatenate(list(points.values()))
    low, high = min(every[:, 0].min(), corner) / 3, max(every[:, 0].max() * 2, corner * 12)
    with panels(1, size=size) as (figure, (axis,)):
        x = np.geomspace(low, high, 200)
        roof = np.minimum(flops_per_second, x * bytes_per_second)
        axis.loglog(x, roof, color="black", linewidth=2, label="roof: what the device allows")
        axis.axvspan(low, corner, color="#999999", alpha=0.12, linewidth=0)
        axis.axvline(corner, color="#555555", linestyle=":", linewidth=1)
        axis.annotate(
            f"ridge: {corner:.3g} operations per byte\n← memory is the limit   arithmetic is →",
            (corner, flops_per_second),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            fontsize=8,
        )
        for number, (name, values) in enumerate(points.items()):
            _draw_series(axis, number, name, values, (notes or {}).get(name, ()))
        axis.set(xlim=(low, high), xlabel="intensity: operations for each byte moved", ylabel="operations per second")
        axis.set_ylim(every[:, 1].min() / 3, flops_per_second * 4)
        axis.set_title(title, pad=14)
        figure.legend(loc="outside lower left", ncols=3)
    return figure


def _points(name: str, value: Any) -> np.ndarray:
    array = np.atleast_2d(np.array(value, dtype=float))
    if array.shape[-1] != 2 or not len(array) or not (np.isfinite(array).all() and (array > 0).all()):
        raise UserError(f"{name}: a point is two positive numbers, operations per byte and operations per second")
    return array


def _draw_series(axis: Axes, number: int, name: str, values: np.ndarray, notes: Sequence[str]) -> None:
    alone = len(values) == 1
    line = "none" if alone else LINES[number % len(LINES)]
    axis.loglog(
        *values.T,
        linestyle=line,
        marker=MARKERS[number % len(MARKERS)],
        color=PALETTE[number % (len(PALETTE) - 1)],  # the roof is black
        markersize=max(14 - number, 7) if alone else 5,  # a point below a later point stays visible around it
        markeredgecolor="white",
        label=name,
    )
    for (x, y), text in zip(values, notes, strict=False):
        axis.annotate(text, (x, y), textcoords="offset points", xytext=(5, -11), fontsize=8)


def throughput_ladder(
    rates: Mapping[str, float],
    limits: Mapping[str, float] | None = None,
    ceiling: float | None = None,
    *,
    title: str = "The ladder",
    unit: str = "tokens per second",
) -> Figure:
    """A bar for each rung, from the bottom up, on a logarithmic axis.

    `limits`: the limit of each rung, drawn as a black mark; `ceiling`: the limit of the task, a dashed line. Next to
    each bar: its rate, and how many times the rate of the rung below that is.
    """
    names, values = list(rates), [float(v) for v in rates.values()]
    marks = dict(limits or {})
    stray = sorted(set(marks) - set(names))
    if not names or stray:
        raise UserError(f"throughput_ladder needs rungs; no rung is called {', '.join(stray)}" if stray else "no rungs")
    every = [*values, *marks.values(), *([ceiling] if ceiling is not None else [])]
    if not all(math.isfinite(v) and v > 0 for v in every):
        raise UserError("throughput_ladder needs rates above 0")
    with panels(1, size=(8, 0.8 + 0.5 * len(names))) as (figure, (axis,)):
        axis.barh(range(len(names)), values, color=PALETTE[4], edgecolor="white", height=0.65)
        for row, value in enumerate(values):
            factor = f"  ×{value / values[row - 1]:.1f}" if row else ""
            axis.text(value * 0.93, row, f"{value:,.0f}{factor}", va="center", ha="right", fontsize=9)
        rows = [names.index(name) for name in marks]
        if rows:
            what = "limit of this rung's own operations and bytes"
            axis.scatter(list(marks.values()), rows, marker="|", s=320, linewidth=3, color="black", label=what)
        if ceiling is not None:
            axis.axvline(ceiling, color=PALETTE[1], linestyle="--", label=f"ceiling of the task: {ceiling:,.0f}")
        axis.set_xscale("log")
        axis.set_xlim(min(every) / 12, max(every) * 1.6)
        axis.set_yticks(range(len(names)), names)
        axis.grid(False, axis="y")
        axis.set(title=title, xlabel=unit)
        if rows or ceiling is not None:
            figure.legend(loc="outside lower left", ncols=2)
    return figure


STEP_PARTS = {
    "time_prefill": "prefill",
    "time_decode": "decode",
    "time_verify": "verify",
    "time_logprobs": "log-probs",
    "time_backward": "forward and backward",
    "time_optimizer": "optimiser",
}
"""The parts of a step in `metrics.jsonl`, in their order."""


def step_breakdown(runs: Mapping[str, Any], *, title: str = "Where the seconds of a step go") -> Figure:
    """A stacked bar for each run: the mean over its steps of the seconds of each part; the rest is what no part counts.

    The first step, which warms up, is left out where there are others.
    """
    if not runs:
        raise UserError("step_breakdown needs at least one run")
    means = {name: _mean_parts(name, run) for name, run in runs.items()}
    with panels(1, size=(8, 1.3 + 0.5 * len(means))) as (figure, (axis,)):
        left = np.zeros(len(means))
        for number, part in enumerate([*STEP_PARTS.values(), "rest"]):
            widths = np.array([parts[part] for parts in means.values()])
            paint = PALETTE[number % (len(PALETTE) - 1)] if part != "rest" else "#bbbbbb"
            look = {"color": paint, "hatch": HATCHES[number], "edgecolor": "white", "height": 0.6}
            axis.barh(range(len(means)), widths, left=left, label=part, **look)
            left += widths
        axis.set_yticks(range(len(means)), list(means))
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.set(title=title, xlabel="seconds per step")
        figure.legend(loc="outside lower left", ncols=4)
    return figure


def _mean_parts(name: str, run: Any) -> dict[str, float]:
    lines = run.metrics[1:] or run.metrics
    if not lines or any(field not in line for line in lines for field in (*STEP_PARTS, "seconds")):
        raise UserError(f"{name} has no steps with the fields {', '.join(STEP_PARTS)} and seconds")
    means = {part: float(np.mean([line[field] or 0.0 for line in lines])) for field, part in STEP_PARTS.items()}
    whole = float(np.mean([line["seconds"] for line in lines]))
    return means | {"rest": max(whole - sum(means.values()), 0.0)}
