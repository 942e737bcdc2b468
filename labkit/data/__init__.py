"""Rows to learn from, by name: the lab's own, a file, or a data set of the hub, with the column names of the field."""

from labkit.data.sources import load_preferences

__all__ = ["load_preferences"]
