"""Evaluations side by side, and histograms of rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import UserError
from labkit.plots.style import LINES, MARKERS, PALETTE, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def before_after(reports: Mapping[str, Any], title: str | None = None) -> Figure:
    """Draws pass@k of several evaluations, such as before and after, as curves over k (as bars for k = 1).

    `reports` maps labels to reports of `labkit.evaluate`, or to the same as plain data (`labkit eval --json`); entries
    of a run's result that are no evaluations are skipped. Error bars are the 95 % bootstrap intervals over problems,
    from the reports. Raises UserError where no entry is an evaluation.

    >>> report = {"pass_at_k": {"1": 0.5}, "interval": {"pass_at_1": [0.4, 0.6]}}
    >>> before_after({"before": report, "seed": 0}).axes[0].get_ylabel()
    'pass@1 (share of problems)'
    """
    plain = {label: _plain(report) for label, report in reports.items()}
    evaluations = {label: report for label, report in plain.items() if report and "pass_at_k" in report}
    if not evaluations:
        raise UserError('no evaluation to draw: before_after needs reports such as {"before": ..., "after": ...}')
    only_one = all(set(report["pass_at_k"]) == {"1"} for report in evaluations.values())
    with panels(1, size=(5.5, 3.4)) as (figure, (axis,)):
        (_bars if only_one else _pass_curves)(axis, evaluations)
        axis.set_ylim(0, 1.08)
        axis.set_title(title or _title(evaluations))
    return figure


def length_histogram(rollouts: Sequence[Mapping[str, Any]], bins: int = 24) -> Figure:
    """Draws the lengths of answers, in tokens: right and wrong ones apart, the number of truncated ones in the title.

    `rollouts` are lines of `rollouts.jsonl`. Raises UserError where there is none.
    """
    _some(rollouts)
    lengths = np.array([len(r["tokens"]) for r in rollouts])
    right = np.array([r["reward"] >= 1 for r in rollouts])
    cut = sum(bool(r.get("truncated")) for r in rollouts)
    title = f"Length of {len(rollouts)} answers" + (f", {cut} of them truncated" if cut else "")
    with panels(1, size=(5.5, 3.2)) as (figure, (axis,)):
        edges = np.histogram_bin_edges(lengths, bins=bins)
        axis.hist(lengths[right], edges, color=PALETTE[0], alpha=0.85, label=f"right ({right.sum()})")
        wrong = {"histtype": "step", "linewidth": 2, "linestyle": "--", "color": PALETTE[1]}
        axis.hist(lengths[~right], edges, label=f"wrong ({(~right).sum()})", **wrong)
        _label(axis, title, "response length (tokens)")
    return figure


def advantage_histogram(rollouts: Sequence[Mapping[str, Any]], bins: int = 24) -> Figure:
    """Draws the advantages of answers: above zero they are pushed up, below zero pushed down, at zero left alone.

    `rollouts` are lines of `rollouts.jsonl`. Raises UserError where there is none.
    """
    _some(rollouts)
    values = np.concatenate([np.atleast_1d(np.asarray(r["advantage"], dtype=float)) for r in rollouts])
    zero = int((values == 0).sum())
    with panels(1, size=(5.5, 3.2)) as (figure, (axis,)):
        limit = max(float(np.abs(values).max()), 1e-3)
        edges = np.linspace(-limit, limit, bins + 1)
        axis.hist(values[values > 0], edges, color=PALETTE[0], label=f"pushed up ({(values > 0).sum()})")
        axis.hist(
            values[values < 0],
            edges,
            color=PALETTE[1],
            hatch="//",
            label=f"pushed down ({(values < 0).sum()})",
        )
        if zero:
            axis.hist(values[values == 0], edges, color="#999999", hatch="..", label=f"no signal ({zero})")
        _label(axis, f"Advantages of {len(rollouts)} answers", "advantage")
    return figure


def _plain(report: Any) -> dict[str, Any] | None:
    if hasattr(report, "to_dict"):
        return report.to_dict()
    return dict(report) if isinstance(report, Mapping) else None


def _title(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    tasks = sorted({str(report["task"]) for report in evaluations.values() if report.get("task")})
    return "Held-out problems" + (f": {', '.join(tasks)}" if tasks else "")


def _interval(report: Mapping[str, Any], k: int) -> tuple[float, float]:
    """Distances of the ends of the interval from the estimate; zero where there is no interval for this k."""
    value = report["pass_at_k"][str(k)]
    low, high = (report.get("interval") or {}).get(f"pass_at_{k}") or (value, value)
    return max(value - low, 0.0), max(high - value, 0.0)


def _pass_curves(axis: Axes, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    every = sorted({int(k) for report in evaluations.values() for k in report["pass_at_k"]})
    for number, (label, report) in enumerate(evaluations.items()):
        ks = sorted(int(k) for k in report["pass_at_k"])
        values = [report["pass_at_k"][str(k)] for k in ks]
        # A little apart, or the error bars of two reports would hide each other.
        x = np.array(ks, dtype=float) * 2 ** (0.05 * (number - (len(evaluations) - 1) / 2))
        kind = number % len(PALETTE)
        axis.errorbar(
            x,
            values,
            yerr=np.array([_interval(report, k) for k in ks]).T,
            color=PALETTE[kind],
            linestyle=LINES[kind],
            marker=MARKERS[kind],
            capsize=3,
            linewidth=1.8,
            label=f"{label}: pass@{ks[0]} {values[0]:.2f}",
        )
    axis.set_xscale("log", base=2)
    axis.set_xticks(every, [str(k) for k in every])
    axis.minorticks_off()
    axis.set_xlabel("k (samples per problem)")
    axis.set_ylabel("pass@k (share of problems)")
    axis.legend(loc="lower right", title="95 % interval over problems")


def _bars(axis: Axes, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    for number, (label, report) in enumerate(evaluations.items()):
        value = report["pass_at_k"]["1"]
        low, high = _interval(report, 1)
        axis.bar(
            [label],
            [value],
            yerr=[[low], [high]],
            capsize=5,
            width=0.6,
            color=PALETTE[number % len(PALETTE)],
            hatch=("", "//", "..", "xx")[number % 4],
            edgecolor="white",
            label=f"{label}: {value:.2f}",
        )
    axis.set_xlabel("evaluation, with its 95 % interval over problems")
    axis.set_ylabel("pass@1 (share of problems)")
    axis.legend(loc="upper left")


def _label(axis: Axes, title: str, xlabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(title)
    axis.set_xlabel(xlabel)
    axis.set_ylabel("answers")
    axis.legend()


def _some(rollouts: Sequence[Mapping[str, Any]]) -> None:
    if not rollouts:
        raise UserError("there are no rollouts to draw: this step logged none")
