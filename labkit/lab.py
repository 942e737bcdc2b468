"""`lk.train`: training as a notebook wants it."""

from pathlib import Path
from typing import Any

from labkit.recipes import Recipe
from labkit.runs import Run
from labkit.training import train as _train
from labkit.widgets import Dashboard, front_end


def train(recipe: str | Path | Recipe | None = None, **options: Any) -> Run:
    """Trains as `labkit.training.train` does, with a live dashboard in Jupyter and a progress bar elsewhere.

    `lk.train("r1-zero-tiny", steps=20, seed=1)`; see `labkit.training.train` for all options.
    """
    if "observer" not in options and front_end() == "widgets":
        options["observer"] = lambda settings: Dashboard(settings.steps, settings.name)
        options.setdefault("progress", False)
    return _train(recipe, **options)
