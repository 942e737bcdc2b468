"""Tasks: where prompts come from, and how completions are scored."""

import functools
from collections.abc import Callable
from typing import Any

from labkit.errors import UserError
from labkit.tasks.addition import make_addition
from labkit.tasks.assistant import make_assistant
from labkit.tasks.base import SPLITS, Problem, Task
from labkit.tasks.code import make_code
from labkit.tasks.countdown import make_countdown

TASKS: dict[str, Callable[..., Task]] = {
    "countdown": make_countdown,
    "countdown-4": functools.partial(make_countdown, numbers=4),
    "addition": make_addition,
    "assistant": make_assistant,
    "code": make_code,
}


def load_task(name: str | Task, **options: Any) -> Task:
    """A task by name, with its options: `load_task("countdown", numbers=4)`.

    Raises UserError for an unknown name or option.
    """
    if isinstance(name, Task):
        return name
    if name not in TASKS:
        raise UserError(f"no task {name!r}; there are {', '.join(TASKS)}")
    try:
        return TASKS[name](**options)
    except TypeError as error:
        raise UserError(f"task {name!r} does not take these options: {error}") from None


__all__ = ["SPLITS", "TASKS", "Problem", "Task", "load_task"]
