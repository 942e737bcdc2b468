"""A preference world whose truth is known: a gold reward, annotators who see it through noise, and their data."""

from labkit.tasks import TASKS
from labkit.worlds.assistant.annotators import agreement, annotate, rate, unlabelled, utility
from labkit.worlds.assistant.gold import courtesies, gold_parts, gold_score

__all__ = [
    "agreement",
    "annotate",
    "courtesies",
    "gold_parts",
    "gold_score",
    "rate",
    "unlabelled",
    "utility",
]

TASKS.add("assistant", "labkit.worlds.assistant.task:make_assistant")
