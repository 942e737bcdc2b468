"""Tables as text and as HTML, and the numbers in their cells."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labkit.errors import UserError
from labkit.printable import printable

_NUMBER = re.compile(r"|-|[-+<>~]?\.?\d.*")
"""A cell that stands at the right of its column: empty, a dash, or something that begins with a number."""
_WIDEST = 100_000


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Aligned columns under a ruled header, numbers to the right: the same text in a terminal, a pipe and a file.

    No colours, and no cell is cut or wrapped: a line that is too long for a terminal is the terminal's to wrap.

    >>> print(table(["name", "n"], [["a", "10"], ["bc", "9"]]))
    name   n
    --------
    a     10
    bc     9
    """
    shown = Table(box=None, pad_edge=False, header_style="")
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        right = any(cells) and all(map(_NUMBER.fullmatch, cells))
        shown.add_column(Text(printable(column)), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(printable(cell.expandtabs(4))) for cell in row))
    page = StringIO()
    Console(file=page, width=_WIDEST, color_system=None, legacy_windows=False, force_jupyter=False).print(shown)
    header, *lines = (line.rstrip() for line in page.getvalue().splitlines())
    return "\n".join([header, "-" * cell_len(header), *lines])


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table as HTML, escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class ShownTable:
    """A table as the last line of a notebook's cell: its cells may hold Markdown; aligned text in a terminal."""

    columns: list[str]
    rows: list[list[str]]
    title: str = ""

    def __repr__(self) -> str:
        return "\n".join([*([self.title] if self.title else []), table(self.columns, self.rows)])

    def _repr_markdown_(self) -> str:
        right = [any(cells) and all(map(_NUMBER.fullmatch, cells)) for cells in zip(*self.rows, strict=True)]
        rule = ["---:" if at_right else "---" for at_right in right] if self.rows else ["---"] * len(self.columns)
        cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in (self.columns, *self.rows)]
        lines = [cells[0], rule, *cells[1:]]
        body = ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join([*([f"**{self.title}**", ""] if self.title else []), *body])


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> ShownTable:
    """A titled table for a notebook; every cell is made text. Raises UserError where a row is too short or too long.

    >>> show_table(["name", "n"], [["a", 10], ["bc", 9]], "Two letters")
    Two letters
    name   n
    --------
    a     10
    bc     9
    """
    head, body = [str(column) for column in columns], [[str(cell) for cell in row] for row in rows]
    for number, row in enumerate(body, 1):
        if len(row) != len(head):
            raise UserError(f"row {number} of the table has {len(row)} cells, but there are {len(head)} columns")
    return ShownTable(head, body, title)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table as Markdown, all columns but the first at the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """A number to so many digits; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(value: float | None, interval: list[float] | None, sign: str = "", digits: int = 3) -> str:
    """`0.500 [0.400, 0.600]`; `sign="+"` also marks what is positive. A dash for None."""
    if value is None:
        return "-"
    shown = f"{value:{sign}.{digits}f}"
    return shown if interval is None else f"{shown} [{interval[0]:{sign}.{digits}f}, {interval[1]:{sign}.{digits}f}]"


def joined(values: Sequence[Any]) -> str:
    """The different values in their order, with commas."""
    return ", ".join(dict.fromkeys(map(str, values)))
