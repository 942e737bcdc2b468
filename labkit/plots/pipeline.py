"""The stages of a pipeline side by side: the skills of each model, and the cost to get there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from labkit.plots.style import MARKERS, PALETTE, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "pass_at_1": "pass@1 (share of samples)",
    "pass_at_k": "pass@k (share of problems)",
    "format": "well formed (share of samples)",
    "readability": "clean lines (share)",
    "length": "length (tokens)",
    "gold": "gold score of replies",
}


class Reported(Protocol):
    """A report as `labkit.pipeline.run.report` makes it."""

    rows: list[dict[str, Any]]
    caption: str


def pipeline_stages(report: Reported, metrics: list[str] | None = None) -> Figure:
    """One panel per metric, one row per stage: mean, 95 % interval, and a small mark for each seed.

    Filled marks are the pipeline's own stages, in their order; hollow marks are what one method alone gets.
    """
    names = metrics or ["pass_at_1", "readability", "format", "gold"]
    names = [name for name in names if all(name in row["metrics"] for row in report.rows)]
    heights = list(range(len(report.rows)))[::-1]
    with panels(len(names), columns=2, size=(5.2, 0.42 * len(heights) + 1.0)) as (figure, axes):
        for panel, (axis, name) in enumerate(zip(axes, names, strict=True)):
            for y, row in zip(heights, report.rows, strict=True):
                summary = row["metrics"][name]
                colour = PALETTE[1] if row["alone"] else PALETTE[0]
                axis.plot(summary["interval"], [y, y], color=colour, linewidth=2)
                face = "white" if row["alone"] else colour
                axis.plot(summary["mean"], y, "s" if row["alone"] else "o", color=colour, markerfacecolor=face)
                if len(summary["seeds"]) > 1:
                    axis.plot(summary["seeds"], [y - 0.22] * len(summary["seeds"]), "|", color="#555555", markersize=6)
            axis.set(xlabel=LABELS[name], ylim=(-0.6, len(heights) - 0.4))
            axis.set_yticks(heights, [row["title"] for row in report.rows] if panel % 2 == 0 else [])
        figure.suptitle(report.caption, fontsize=11, x=0.01, ha="left")
    return figure


def pipeline_costs(report: Reported, metric: str = "pass_at_1") -> Figure:
    """A metric against the cost to get to each model, in millions of token passes."""
    with panels(1, size=(6.4, 3.6)) as (figure, (axis,)):
        for i, row in enumerate(report.rows):
            summary, x = row["metrics"][metric], row["cost"] / 1e6
            colour = PALETTE[1] if row["alone"] else PALETTE[0]
            axis.plot([x, x], summary["interval"], color=colour, linewidth=1.5)
            face = "white" if row["alone"] else colour
            marker = MARKERS[i % len(MARKERS)]
            axis.plot(x, summary["mean"], marker, color=colour, markerfacecolor=face, label=row["title"], linestyle="")
        chain = [row for row in report.rows if not row["alone"]]
        steps = [row["cost"] / 1e6 for row in chain], [row["metrics"][metric]["mean"] for row in chain]
        axis.plot(*steps, color=PALETTE[0], linewidth=0.8, alpha=0.5)
        axis.set(xlabel="cost so far (million token passes)", ylabel=LABELS[metric])
        axis.set_title(report.caption)
        axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure
