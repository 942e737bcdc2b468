"""Figures of a few seeds: curves with a band, one mark per seed, and a measure against its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from labkit.evaluation.intervals import t_interval
from labkit.plots.style import MARKERS, PALETTE, look, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Shaped[np.ndarray, "seeds points"] | Sequence[Sequence[float]]
BELOW = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.23)}
"""Where a legend covers no data: below the panel."""


def seed_curves(
    groups: Mapping[str, Mapping[str, Values]],
    x: Sequence[float],
    *,
    xlabel: str = "step",
    ylabel: str = "",
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    lines: Mapping[str, float] | None = None,
    size: tuple[float, float] = (4.4, 3.3),
) -> Figure:
    """Draws the mean of each group over its seeds, with a band: the 95 % t interval over seeds.

    `groups` maps the title of a panel to its curves, and a curve's name to its values [seeds, points]. `x`: one number
    per point. `limits`: those of the y axis; bands are cut there. `lines`: dotted horizontal lines, by the name of the
    curve whose colour they take.

    Raises ValueError where a curve has not one value per point of x.
    """
    with panels(len(groups), columns=min(3, len(groups)), size=size) as (figure, axes):
        for axis, (panel, curves) in zip(axes, groups.items(), strict=True):
            for number, (name, given) in enumerate(curves.items()):
                values = np.asarray(given, dtype=float)
                if values.ndim != 2 or values.shape[1] != len(x):
                    raise ValueError(f"{name}: the shape {values.shape} is not (seeds, {len(x)})")
                marks = {"marker": MARKERS[number % len(MARKERS)]} if len(x) <= 12 else {}
                axis.plot(x, values.mean(0), label=name, **marks, **look(number))
                if len(values) > 1:
                    _band(axis, x, values, number, limits)
                if lines and name in lines:
                    axis.axhline(lines[name], color=PALETTE[number % len(PALETTE)], linewidth=1, linestyle=":")
            axis.set(title=panel, xlabel=xlabel, ylabel=ylabel)
            if limits is not None:
                reach = 0.03 * (limits[1] - limits[0])
                axis.set_ylim(limits[0] - reach, limits[1] + reach)
            seeds = max(len(np.asarray(values)) for values in curves.values())
            axis.legend(title=f"mean of {seeds} seeds; band: 95 %" if seeds > 1 else None, **BELOW)
        if title is not None:
            figure.suptitle(title, fontweight="bold", x=0.01, ha="left")
    return figure


def _band(axis: Axes, x: Sequence[float], values: np.ndarray, number: int, limits: tuple[float, float] | None) -> None:
    low, high = np.array([t_interval(list(column)) for column in values.T]).T
    if limits is not None:
        low, high = np.clip(low, *limits), np.clip(high, *limits)
    axis.fill_between(x, low, high, color=PALETTE[number % len(PALETTE)], alpha=0.15, linewidth=0)


def seed_marks(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    ylabel: str,
    title: str,
    line: float | None = None,
    size: tuple[float, float] = (6.4, 3.3),
) -> Figure:
    """Draws one mark per seed, and the mean as a short bar: a column per group, its kinds next to each other.

    `groups` maps a column to its kinds, and a kind to one value per seed. `line`: a dotted line across, the level with
    which all are compared.
    """
    kinds = list(dict.fromkeys(kind for columns in groups.values() for kind in columns))
    width = 0.5 / len(kinds)
    with panels(1, size=size) as (figure, (axis,)):
        for place, columns in enumerate(groups.values()):
            for kind, values in columns.items():
                number = kinds.index(kind)
                x = place + (number - (len(kinds) - 1) / 2) * width
                color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
                axis.plot([x] * len(values), list(values), marker, alpha=0.6, color=color)
                axis.hlines(float(np.mean(values)), x - width / 3, x + width / 3, linewidth=2.5, color=color)
        if line is not None:
            axis.axhline(line, color="#555555", linewidth=1, linestyle=":")
        axis.set_xticks(range(len(groups)), list(groups), rotation=20 if len(groups) > 5 else 0)
        axis.set(title=title, ylabel=ylabel)
        for number, kind in enumerate(kinds):
            color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
            axis.plot([], [], marker=marker, label=kind, color=color, linestyle="")
        told = "one mark per seed; bar: mean"
        axis.legend(
            title=told, ncols=len(kinds), loc="upper left", bbox_to_anchor=(0.0, -0.16 if len(groups) < 6 else -0.26)
        )
    return figure


def against_cost(
    arms: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    line: tuple[str, float] | None = None,
) -> Figure:
    """Draws the mean of each arm over its seeds against its cost, with the 95 % t interval over seeds.

    `arms` maps a name to (cost per seed, value per seed). `line`: name and height of a dotted line.
    """
    with panels(1, size=(6.6, 4.2)) as (figure, (axis,)):
        for number, (name, (cost, values)) in enumerate(arms.items()):
            middle, (low, high) = float(np.mean(values)), t_interval(list(values))
            style: dict[str, Any] = {"color": PALETTE[number % len(PALETTE)], "capsize": 3, "label": name}
            if number >= len(PALETTE):
                style["markerfacecolor"] = "white"
            reach = [[middle - low], [high - middle]]
            axis.errorbar(np.mean(cost), middle, reach, fmt=MARKERS[number % len(MARKERS)], **style)
        if line is not None:
            axis.axhline(line[1], color="#555555", linewidth=1, linestyle=":", label=line[0])
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axis.set_xlim(left=0)
        axis.legend(title="mean of the seeds; bars: 95 %", ncols=3, loc="upper left", bbox_to_anchor=(0.0, -0.16))
    return figure
