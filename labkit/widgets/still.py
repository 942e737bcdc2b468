"""Charts that stay when a run is over: sharp, in the colours of the reader's theme, without a kernel or a widget."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A notebook that the reader has not trusted, and GitHub, remove scripts, styles and SVG from HTML: then the picture
# inside is left, and is not hidden any more. The letters of the removed SVG would be left, too: so they have no size.
# (Sizes here are in px for that reason.)
_HIDE = "<style>.labkit-charts .labkit-chart+img{display:none}</style>"


def charts(drawn: Sequence[str], picture: "Figure", alt: str) -> str:
    """HTML of SVG charts side by side; `picture` shows the same where SVG is not shown."""
    page = io.BytesIO()
    picture.savefig(page, format="png")
    source = f"data:image/png;base64,{base64.b64encode(page.getvalue()).decode()}"
    cells = "".join(f'<div style="flex:1 1 230px;min-width:200px;max-width:430px">{svg}</div>' for svg in drawn)
    row = f'<div class="labkit-chart" style="display:flex;flex-wrap:wrap;font-size:0px">{cells}</div>'
    image = f'<img alt="{escape(alt)}" style="max-width:100%" src="{source}">'
    return f'{_HIDE}<div class="labkit-charts">{row}{image}</div>'


def described(lines: Sequence[Mapping[str, float | None]], names: Mapping[str, str]) -> str:
    """What curves show, in words, for readers who do not see them: where each began and where it ended.

    >>> described([{"loss": 2.0}, {"loss": 0.5}], {"loss": "Loss"})
    'Curves over 2 steps. Loss: from 2 to 0.5.'
    """
    parts = []
    for field, name in names.items():
        values = [line[field] for line in lines if line.get(field) is not None]
        if values:
            parts.append(f"{name}: from {values[0]:.3g} to {values[-1]:.3g}.")
    return f"Curves over {len(lines)} steps. " + " ".join(parts)
