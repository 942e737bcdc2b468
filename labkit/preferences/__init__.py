"""A preference world whose truth is known: a gold reward, annotators who see it through noise, and their data."""

from labkit.preferences.annotators import agreement, annotate, rate, unlabelled, utility
from labkit.preferences.gold import courtesies, gold_parts, gold_score
from labkit.preferences.load import load_preferences

__all__ = [
    "agreement",
    "annotate",
    "courtesies",
    "gold_parts",
    "gold_score",
    "load_preferences",
    "rate",
    "unlabelled",
    "utility",
]
