"""Tables as plain text and as HTML."""

import html
from collections.abc import Sequence
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """A number to so many digits; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(value: float | None, interval: list[float] | None, sign: str = "") -> str:
    """`0.500 [0.400, 0.600]`; `sign="+"` also marks what is positive."""
    if value is None:
        return "-"
    shown = f"{value:{sign}.3f}"
    return shown if interval is None else f"{shown} [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def joined(values: Sequence[Any]) -> str:
    """The different values in their order, with commas."""
    return ", ".join(dict.fromkeys(map(str, values)))


def text_table(header: list[str], rows: list[list[str]]) -> str:
    r"""Aligned columns under a ruled header.

    >>> print(text_table(["name", "n"], [["a", "10"]]))
    name  n
    ----  --
    a     10
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    cells = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in cells)


def html_table(header: list[str], rows: list[list[str]]) -> str:
    """The same table as HTML, escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
