"""The figures of the lab: sharp in a notebook, and described in words."""

from __future__ import annotations

import base64
import html
import io
import sys
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SHARPNESS = 2  # pixels of the picture per pixel of its place in the page


class LabFigure(Figure):
    """A matplotlib figure that a notebook shows at twice the resolution, with its description as alternative text."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        page = io.BytesIO()
        self.savefig(page, format="png", dpi=SHARPNESS * self.dpi, bbox_inches="tight", facecolor="white")
        picture, words = page.getvalue(), describe(self)
        # A PNG begins with its signature and the header's length and name: width and height stand behind them.
        width, height = (int.from_bytes(picture[at : at + 4], "big") // SHARPNESS for at in (16, 20))
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        # HTML, and not image/png: only so JupyterLab reads a description.
        place = f'width="{width}" height="{height}" style="max-width:100%;height:auto"'
        return {"text/html": f'<img alt="{html.escape(words)}" {place} src="{source}">', "text/plain": words}


def show_as_html() -> None:
    """Tells a notebook that these figures come with HTML: by itself it would store a second picture of each."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is not None and shell.display_formatter is not None:
        for kind in ("image/png", "image/jpeg", "image/svg+xml", "application/pdf"):
            shell.display_formatter.formatters[kind].for_type(LabFigure, _nothing)


def _nothing(figure: LabFigure) -> None:
    """No picture of this kind."""


def describe(figure: Figure) -> str:
    """What a figure shows, for readers who do not see it: its title and, for each panel, axes and curves."""
    title = figure.get_suptitle()
    panels = [words for axis in figure.axes if axis.get_visible() and (words := _panel(axis))]
    return " ".join([f"Figure: {title}." if title else "Figure.", *panels])


def _panel(axis: Axes) -> str:
    """A panel: its title, its axes, its named curves with their first and last value."""
    title = axis.get_title("left") or axis.get_title()
    names = [name for name in (axis.get_ylabel(), axis.get_xlabel()) if name]
    head = ": ".join(part for part in (title, " over ".join(names)) if part)
    curves = []
    for line in axis.get_lines():
        values, name = np.asarray(line.get_ydata()), str(line.get_label())
        if not name.startswith("_") and len(values):
            curves.append(f"{name} from {float(values[0]):.3g} to {float(values[-1]):.3g}")
    bars = [name for box in axis.containers if not (name := str(box.get_label())).startswith("_")]
    shown = "; ".join([*curves, *(f"bars: {name}" for name in bars)])
    return f"{head}{': ' if head and shown else ''}{shown}." if head or shown else ""
