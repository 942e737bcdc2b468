"""One look for all figures: colours that colour-blind readers can tell apart, lines that differ in grey too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), "Color universal design". Yellow is left out: too light for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 120,
}


def look(index: int) -> dict[str, Any]:
    """Colour and line style number `index`; both change, so that lines differ in a grey print too."""
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": LINES[index % len(LINES)]}


@contextmanager
def panels(
    count: int, *, columns: int = 3, size: tuple[float, float] = (3.7, 2.9)
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of `count` panels in the lab's style, `size` inches each; not shown, and not kept by pyplot."""
    # pyplot, not a bare Figure: a notebook can display figures once pyplot is imported.
    import matplotlib.pyplot as plt

    from labkit.plots.figure import LabFigure, show_as_html

    show_as_html()
    columns = min(count, columns)
    rows = -(-count // columns)
    width = max(size[0] * columns, 5.5)
    with plt.rc_context(_STYLE):
        options: dict[str, Any] = {"squeeze": False, "layout": "constrained", "FigureClass": LabFigure}
        figure, grid = plt.subplots(rows, columns, figsize=(width, size[1] * rows), **options)
        axes = list(grid.flat)
        for spare in axes[count:]:
            spare.set_visible(False)
        try:
            yield figure, axes[:count]
        finally:
            # The notebook would show an open figure a second time at the end of the cell.
            plt.close(figure)
