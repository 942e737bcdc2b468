"""Rows to learn from, by name: the lab's own, a file, or a set of the hub, brought to the field's column names."""

from labkit.data.sources import load_preferences

__all__ = ["load_preferences"]
