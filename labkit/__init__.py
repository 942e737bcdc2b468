"""RL Renaissance Lab: how language models are trained with reinforcement learning, by doing it.

Each name below is imported when it is first asked for, so that `import labkit` takes no time and pulls in nothing that
is not used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from labkit import algorithms, plots, verifiers
    from labkit.errors import UserError
    from labkit.evaluation.intervals import bootstrap_interval, t_interval
    from labkit.evaluation.report import Report, evaluate, maj_at_k, pass_at_k
    from labkit.evaluation.selection import best_of_n, kl_of_best_of_n, rejection_sample
    from labkit.exercises import check, hint, solution, spec
    from labkit.lab import train
    from labkit.models import (
        Policy,
        RewardModel,
        concatenate_and_cut,
        load_policy,
        load_reward_model,
        token_logprobs,
        token_logprobs_and_entropy,
        tokens_and_mask,
    )
    from labkit.plots.comparison import compare
    from labkit.recipes import Recipe, list_recipes, load_recipe
    from labkit.rollouts import Rollouts, score
    from labkit.runs import Run, open_run
    from labkit.sampling import sample
    from labkit.tasks import TASKS, Problem, Task, load_task, task_from_file, task_from_function
    from labkit.verifiers import Score
    from labkit.widgets import browse

_ROOMS = {
    "errors": ("UserError",),
    "evaluation": ("Report", "evaluate", "maj_at_k", "pass_at_k"),
    "exercises": ("check", "hint", "solution", "spec"),
    "evaluation.intervals": ("bootstrap_interval", "t_interval"),
    "lab": ("train",),
    "models": (
        "Policy",
        "RewardModel",
        "concatenate_and_cut",
        "load_policy",
        "load_reward_model",
        "token_logprobs",
        "token_logprobs_and_entropy",
        "tokens_and_mask",
    ),
    "plots.comparison": ("compare",),
    "recipes": ("Recipe", "list_recipes", "load_recipe"),
    "rollouts": ("Rollouts", "score"),
    "runs": ("Run", "open_run"),
    "sampling": ("sample",),
    "evaluation.selection": ("best_of_n", "kl_of_best_of_n", "rejection_sample"),
    "tasks": ("TASKS", "Problem", "Task", "load_task", "task_from_file", "task_from_function"),
    "verifiers": ("Score",),
    "widgets": ("browse",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = ("algorithms", "plots", "verifiers")

__all__ = [
    "TASKS",
    "Policy",
    "Problem",
    "Recipe",
    "Report",
    "RewardModel",
    "Rollouts",
    "Run",
    "Score",
    "Task",
    "UserError",
    "algorithms",
    "best_of_n",
    "bootstrap_interval",
    "browse",
    "check",
    "compare",
    "concatenate_and_cut",
    "evaluate",
    "hint",
    "kl_of_best_of_n",
    "list_recipes",
    "load_policy",
    "load_recipe",
    "load_reward_model",
    "load_task",
    "maj_at_k",
    "open_run",
    "pass_at_k",
    "plots",
    "rejection_sample",
    "sample",
    "score",
    "solution",
    "spec",
    "t_interval",
    "task_from_file",
    "task_from_function",
    "token_logprobs",
    "token_logprobs_and_entropy",
    "tokens_and_mask",
    "train",
    "verifiers",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"labkit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'labkit' has no attribute {name!r}")
    return getattr(import_module(f"labkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
