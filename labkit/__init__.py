"""RL Renaissance Lab: how language models are trained with reinforcement learning, by doing it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from labkit.behaviours import behaviours
from labkit.errors import UserError
from labkit.evaluation import Report, bootstrap_interval, evaluate, maj_at_k, pass_at_k
from labkit.models import Policy, load_policy, token_logprobs
from labkit.recipes import Recipe, list_recipes, load_recipe
from labkit.rollouts import Rollouts, score
from labkit.runs import Run, open_run
from labkit.sampling import sample
from labkit.tasks import TASKS, Problem, Task, load_task
from labkit.training import train as _train
from labkit.verifiers import Score

__version__ = "0.1.0"

# The upper floors are imported when they are first asked for, so that `import labkit` stays quick.
_LATER = {
    "check": "exercises",
    "hint": "exercises",
    "solution": "exercises",
    "spec": "exercises",
    "browse": "widgets",
    "compare": "comparison",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'labkit' has no attribute {name!r}")
    return getattr(import_module(f"labkit.{_LATER[name]}"), name)


def train(recipe: str | Path | Recipe | None = None, **options: Any) -> Run:
    """Trains as `labkit.training.train` does, with a live dashboard in Jupyter and a progress bar everywhere.

    `lk.train("r1-zero-tiny", steps=20, seed=1)`; see `labkit.training.train` for all options.
    """
    if "observer" not in options:
        settings = load_recipe(recipe) if recipe is not None else None
        options["observer"] = import_module("labkit.widgets").watch(settings)
    return _train(recipe, **options)


__all__ = [
    "TASKS",
    "Policy",
    "Problem",
    "Recipe",
    "Report",
    "Rollouts",
    "Run",
    "Score",
    "Task",
    "UserError",
    "behaviours",
    "bootstrap_interval",
    "browse",
    "check",
    "compare",
    "evaluate",
    "hint",
    "list_recipes",
    "load_policy",
    "load_recipe",
    "load_task",
    "maj_at_k",
    "open_run",
    "pass_at_k",
    "sample",
    "score",
    "solution",
    "spec",
    "token_logprobs",
    "train",
]
