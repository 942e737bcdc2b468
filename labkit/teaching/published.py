"""Published numbers: each stands once, in `data/published.yaml`, with its source, and notebooks take it from there."""

import functools
from typing import Any

import yaml

from labkit.errors import UserError
from labkit.paths import data_path
from labkit.tables import ShownTable, show_table

__all__ = ["published", "published_numbers"]

FIELDS = ("id", "what", "value", "source", "version", "where", "checked")
CHECKED = {"paper": "", "copy": " (read in a text that quotes it)", "no": " (not looked up in the paper yet)"}


@functools.cache
def published_numbers() -> dict[str, dict[str, Any]]:
    """All entries by their id; the fields are explained at the top of the file."""
    entries = yaml.safe_load(data_path("published.yaml").read_text("utf-8"))
    return {entry["id"]: entry for entry in entries}


def published(*names: str) -> ShownTable:
    """A table of published results with their sources, by id. Raises UserError for an unknown one.

    >>> published("s1").rows[0][1]
    '50 → 57 %'
    """
    entries = published_numbers()
    rows = []
    for name in names:
        if name not in entries:
            raise UserError(f"{name!r} is not in data/published.yaml; there are: {', '.join(entries)}")
        entry = entries[name]
        place = f"{entry['source']}, {entry['version']}: {entry['where']}{CHECKED[entry['checked']]}"
        rows.append([entry["what"], entry["value"], place])
    return show_table(["published", "result", "where"], rows)
