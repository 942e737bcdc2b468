"""Learning curves of one or of several runs on one time axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float

from labkit.errors import UserError
from labkit.evaluation.intervals import t_quantile
from labkit.plots.metrics import metric
from labkit.plots.style import look, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIELDS = ("pass_rate", "response_length", "entropy")


class RunLike(Protocol):
    """What a plot needs of a run."""

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One dict per step."""
        ...

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe."""
        ...


def learning_curves(
    runs: RunLike | Sequence[RunLike] | Mapping[str, RunLike | Sequence[RunLike]],
    fields: Sequence[str] = FIELDS,
    labels: Sequence[str] | None = None,
    smooth: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draws one panel per field over the steps of one or several runs; runs with the same label count as its seeds.

    Labels are the keys of a mapping, or `labels` (one per run), or the names of the recipes. Of one run the values are
    drawn thin, their running mean over `smooth` steps thick (None: a fifteenth of the run). Of several seeds each is
    drawn thin, their mean thick, with a band from three seeds on: the 95 % t interval of the mean over seeds at that
    step.

    Raises UserError where no run has logged a step, where no run has logged a field, and for labels that do not fit.
    """
    groups = _by_label(runs, labels)
    if not fields:
        raise UserError("learning_curves needs at least one field to draw, such as pass_rate")
    known = {key for members in groups.values() for lines in members for line in lines for key in line}
    missing = [field for field in fields if field not in known]
    if missing:
        raise UserError(f"no run has logged {', '.join(missing)}; there is: {', '.join(sorted(known - {'step'}))}")
    with panels(len(fields), columns=2 if len(fields) in (2, 4) else 3) as (figure, axes):
        for axis, field in zip(axes, fields, strict=True):
            for number, (label, members) in enumerate(groups.items()):
                _draw(axis, field, label, members, smooth, number)
            _finish(axis, field)
        figure.suptitle(title or "Learning curves: " + ", ".join(groups), fontweight="bold", x=0.01, ha="left")
        _legend(figure, axes)
    return figure


def running_mean(values: Float[np.ndarray, " steps"], window: int) -> Float[np.ndarray, " steps"]:
    """The mean over a window centred on each step, narrower at both ends; NaN is left out.

    >>> running_mean(np.array([0.0, 3.0, 6.0, 9.0]), 3).tolist()
    [1.5, 3.0, 6.0, 7.5]
    """
    half = max(window, 1) // 2
    means = np.full(len(values), np.nan)
    for i in range(len(values)):
        near = values[max(0, i - half) : i + half + 1]
        near = near[~np.isnan(near)]
        if len(near):
            means[i] = near.mean()
    return means


def interval_of_mean(
    values: Float[np.ndarray, "seeds steps"],
) -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """The 95 % t interval of the mean over seeds at each step; seeds are independent draws.

    >>> low, high = interval_of_mean(np.array([[1.0], [2.0], [3.0]]))
    >>> round(low[0], 2), round(high[0], 2)
    (np.float64(-0.48), np.float64(4.48))
    """
    seeds = len(values)
    if seeds < 2:
        raise ValueError("an interval over seeds needs at least two of them")
    quantile = t_quantile(seeds - 1)
    half = quantile * values.std(axis=0, ddof=1) / math.sqrt(seeds)
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def _by_label(runs: Any, labels: Sequence[str] | None) -> dict[str, list[list[dict[str, Any]]]]:
    """The metric lines of the runs, read once, by label."""
    if isinstance(runs, Mapping):
        if labels is not None:
            raise UserError("give labels as keys of the mapping of runs or as labels=, not both")
        pairs = [(k, run) for k, v in runs.items() for run in (v if isinstance(v, Sequence) else [v])]
    else:
        listed = list(runs) if isinstance(runs, Sequence) else [runs]
        if labels is not None and len(labels) != len(listed):
            raise UserError(f"{len(listed)} runs need as many labels, not {len(labels)}")
        names = labels or [str(run.recipe.get("name", "run")) for run in listed]
        pairs = list(zip(names, listed, strict=True))
    groups: dict[str, list[list[dict[str, Any]]]] = {}
    for label, run in pairs:
        lines = run.metrics
        if not lines:
            raise UserError(f"the run {label} has no steps to draw yet: its metrics.jsonl is empty")
        groups.setdefault(label, []).append(lines)
    if not groups:
        raise UserError("learning_curves needs at least one run")
    return groups


def _series(lines: list[dict[str, Any]], field: str) -> tuple[Any, Any]:
    """Steps and values; a value that was not finite, or not logged, is NaN."""
    steps = np.array([line["step"] for line in lines], dtype=float)
    raw = [line.get(field) for line in lines]
    return steps, np.array([np.nan if value is None else value for value in raw], dtype=float)


def _draw(
    axis: Axes, field: str, label: str, members: list[list[dict[str, Any]]], smooth: int | None, number: int
) -> None:
    style = look(number)
    curves = [_series(lines, field) for lines in members]
    for steps, values in curves:
        axis.plot(steps, values, color=style["color"], linewidth=0.8, alpha=0.4)
    window = smooth if smooth is not None else max(1, max(len(steps) for steps, _ in curves) // 15)
    if len(curves) == 1:
        steps, values = curves[0]
        axis.plot(steps, running_mean(values, window), linewidth=2, label=label, **style)
        return
    # Seeds that stopped early would bend the mean: it ends where the first of them ends.
    common = sorted(set.intersection(*[set(steps.tolist()) for steps, _ in curves]))
    if not common:
        raise UserError(f"the runs of {label} have no step in common, so they have no mean: give them other labels")
    at = [values[np.isin(steps, common)] for steps, values in curves]
    table = np.stack([running_mean(values, window) for values in at])
    axis.plot(common, table.mean(axis=0), linewidth=2, label=f"{label}, mean of {len(curves)} seeds", **style)
    if len(curves) >= 3:
        low, high = interval_of_mean(table)
        if metric(field).share:
            low, high = low.clip(0, 1), high.clip(0, 1)
        axis.fill_between(common, low, high, color=style["color"], alpha=0.18, linewidth=0, label="95 % interval")


def _finish(axis: Axes, field: str) -> None:
    from matplotlib.ticker import MaxNLocator

    entry = metric(field)
    axis.set_title(entry.title)
    axis.set_xlabel("step")
    axis.set_ylabel(entry.unit or entry.title.lower())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if entry.share:
        low, high = axis.get_ylim()
        axis.set_ylim(-0.02 if low < 0.35 else low, 1.02 if high > 0.65 else high)


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, below them."""
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=min(4, len(names)))
