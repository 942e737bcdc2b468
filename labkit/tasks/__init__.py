"""Tasks: where prompts come from, and how completions are scored."""

import difflib
import functools
import importlib.util
from collections.abc import Callable
from typing import Any

from labkit.errors import UserError
from labkit.registry import Registry
from labkit.tasks import gsm8k, math_problems
from labkit.tasks.base import SPLITS, Problem, Task
from labkit.tasks.own import is_file_name, task_from_file, task_from_function
from labkit.tasks.procedural import PREFIX, maker

TASKS: Registry[Callable[..., Task]] = Registry(worlds=True)
"""Tasks by name: functions that make one, with its options as keywords."""

TASKS.add("code", "labkit.tasks.code:make_code")
TASKS.add("gsm8k", gsm8k.make_gsm8k)
TASKS.add("instructions", "labkit.tasks.instruction_prompts:make_instructions")
TASKS.add("math", math_problems.make_math)
TASKS.add("word_problems", "labkit.tasks.word_problems:make_word_problems")

STORED = {data.name: data for data in (gsm8k.DATA, math_problems.DATA)}
"""Tasks whose problems are in a folder or on the hub."""


def load_task(name: str | Task, **options: Any) -> Task:
    """A task by name, with its options: `load_task("countdown", numbers=4)`.

    Names are those of `TASKS`, `reasoning_gym:chain_sum` (any data set of that library), and a file of JSON lines:
    `file:PATH` or a path that ends in `.jsonl` (see `task_from_file` for its columns and options).

    Raises UserError for an unknown name or option.
    """
    if isinstance(name, Task):
        return name
    if is_file_name(name):
        make: Callable[..., Task] = functools.partial(task_from_file, name)
    elif name.startswith(PREFIX):
        make = maker(name)
    elif name in TASKS:
        make = TASKS[name]
    else:
        close = difflib.get_close_matches(name, TASKS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"no task {name!r}{hint}; there are {', '.join(TASKS)}, {PREFIX}NAME and file:PATH")
    try:
        return make(**options)
    except TypeError as error:
        raise UserError(f"task {name!r} does not take these options: {error}") from None


def availability() -> list[dict[str, Any]]:
    """For `labkit tasks`: the name of each task, whether it loads without a network, and where it comes from."""
    rows = [{"name": name, "at_hand": True, "where": "labkit"} for name in TASKS]
    for row in rows:
        stored = STORED.get(row["name"])
        if stored is not None:
            row |= {"at_hand": stored.at_hand(), "where": stored.where()}
    installed = importlib.util.find_spec("reasoning_gym") is not None
    where = "the package reasoning-gym" + ("" if installed else ", not installed: pip install reasoning-gym")
    rows.append({"name": f"{PREFIX}NAME", "at_hand": installed, "where": where})
    return [*rows, {"name": "file:PATH", "at_hand": True, "where": "JSON lines of your own"}]


__all__ = ["SPLITS", "TASKS", "Problem", "Task", "availability", "load_task", "task_from_file", "task_from_function"]
