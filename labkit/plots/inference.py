"""Accuracy against the tokens that were generated for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.errors import UserError
from labkit.plots.style import MARKERS, look, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from labkit.inference import Point


def accuracy_against_tokens(
    methods: Mapping[str, Mapping[str, Sequence[Point]]], title: str = "Accuracy against generated tokens"
) -> Figure:
    """Draws curves of `labkit.inference`: a panel for each method, in it a line for each model, on the same axes.

    `methods` maps the name of a method to the curves of the models by name; a model has the same colour in all panels.
    Bands are the 95 % intervals of the points over problems. Raises UserError where there is no point to draw.
    """
    models = list(dict.fromkeys(model for curves in methods.values() for model in curves))
    points = [p for curves in methods.values() for curve in curves.values() for p in curve]
    if not points:
        raise UserError('no point to draw: accuracy_against_tokens needs {"majority": {"tiny": [points]}}')
    least, most = min(p.tokens for p in points), max(p.tokens for p in points)
    columns = 2 if len(methods) in (2, 4) else 3
    size = (5.5, 3.6) if len(methods) == 1 else (4.3, 3.1)
    with panels(len(methods), columns=columns, size=size) as (figure, axes):
        for axis, (method, curves) in zip(axes, methods.items(), strict=True):
            for model, curve in curves.items():
                _draw(axis, curve, models.index(model), model)
            axis.set(xscale="log", xlim=(0.8 * least, 1.25 * most), ylim=(0, 1.03))
            axis.set_title(method)
            axis.set_xlabel("generated tokens per problem (mean)")
            axis.set_ylabel("accuracy")
        handles = {line.get_label(): line for axis in axes for line in axis.get_lines()}
        figure.legend(
            [handles[model] for model in models if model in handles],
            [model for model in models if model in handles],
            title="band: 95 % interval over problems",
            loc="outside lower left",
            ncols=4,
        )
        figure.suptitle(title, fontweight="bold")
    return figure


def _draw(axis: Axes, curve: Sequence[Point], number: int, label: str) -> None:
    curve = sorted(curve, key=lambda p: p.tokens)
    tokens = [p.tokens for p in curve]
    low, high = np.array([p.interval for p in curve]).T
    style = look(number)
    axis.plot(tokens, [p.accuracy for p in curve], label=label, marker=MARKERS[number % len(MARKERS)], **style)
    axis.fill_between(tokens, low, high, color=style["color"], alpha=0.15, linewidth=0)
