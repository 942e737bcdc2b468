"""Accuracy against operations: methods side by side, each with its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.plots.style import MARKERS, look, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {"student": "operations of the student", "total": "operations of student and teacher"}


def accuracy_against_cost(
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], axes: Mapping[str, str] = AXES
) -> Figure:
    """Held-out accuracy against what was spent, one panel for each kind of bill.

    `curves`: by method, one `labkit.evaluation.cost.cost_curve` per seed (with the same steps in each). A thin line is
    a seed, the thick one the mean over seeds at the mean cost of a step. The dotted line is the untrained model (step
    0).
    """
    from matplotlib.ticker import LogLocator

    with panels(len(axes), columns=2, size=(5.0, 3.8)) as (figure, grid):
        for axis, (key, label) in zip(grid, axes.items(), strict=True):
            for i, (method, seeds) in enumerate(curves.items()):
                style = look(i)
                points = [[point for point in seed if point[key] > 0] for seed in seeds]
                cost = np.array([[p[key] / 1e9 for p in seed] for seed in points])
                accuracy = np.array([[p["pass_at_1"] for p in seed] for seed in points])
                for x, y in zip(cost, accuracy, strict=True):
                    axis.plot(x, y, linewidth=0.6, alpha=0.5, **style)
                mean = {**style, "marker": MARKERS[i % len(MARKERS)], "markersize": 5, "linewidth": 1.8}
                axis.plot(cost.mean(0), accuracy.mean(0), label=method, **mean)
            start = [seed[0]["pass_at_1"] for seeds in curves.values() for seed in seeds if seed[0]["student"] == 0]
            if start:
                axis.axhline(
                    float(np.mean(start)), color="#666666", linestyle=":", linewidth=1, label="before training"
                )
            axis.set(xscale="log", ylim=(0, 1), xlabel=f"{label} (GFLOP)")
            axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_ylabel("pass@1 (share of samples)")
            axis.set_title(f"Accuracy, {label}", fontsize=10)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    return figure
