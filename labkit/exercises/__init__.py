"""Exercises that answer at once: `check`, `hint`, `solution`, `spec`.

A check says that a function is right, that it is not written yet, or what is probably wrong with it. It
raises nothing for a function that fails: a notebook runs to its end whether or not its exercises are done.

The exercises themselves are content and stand in the package `labkit_exercises`, one module for each; every module
also holds the wrong solutions that its check recognises.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import itertools
import pkgutil
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.errors import UserError
from labkit.exercises.checking import TIME_LIMIT, check_exercise
from labkit.exercises.display import Card, CheckResult
from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = [
    "EXERCISES",
    "Card",
    "Case",
    "CheckResult",
    "Exercise",
    "Misconception",
    "check",
    "get",
    "hint",
    "solution",
    "solution_source",
    "spec",
]

if TYPE_CHECKING:
    EXERCISES: dict[str, Exercise]

_TENSOR_IMPORTS = "import torch\nfrom jaxtyping import Bool, Float, Int\nfrom torch import Tensor\n\n\n"

_hints_given: dict[str, int] = {}


@functools.cache
def _exercises() -> dict[str, Exercise]:
    """Every exercise by its name, in the order of the notebooks."""
    content = importlib.import_module("labkit_exercises")
    modules = [importlib.import_module(f"{content.__name__}.{m.name}") for m in pkgutil.iter_modules(content.__path__)]
    ordered = sorted((module.EXERCISE for module in modules), key=lambda exercise: (exercise.notebook, exercise.name))
    return {exercise.name: exercise for exercise in ordered}


def __getattr__(name: str) -> Any:
    """`EXERCISES`, on demand: the modules of the exercises import this package in their turn."""
    if name == "EXERCISES":
        return _exercises()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get(name: str) -> Exercise:
    """Return the exercise of that name; `UserError` with the closest names where there is none.

    >>> get("pas-at-k")
    Traceback (most recent call last):
    ...
    labkit.errors.UserError: unknown exercise 'pas-at-k'; did you mean 'pass-at-k'?
    """
    if isinstance(name, str) and name in _exercises():
        return _exercises()[name]
    close = difflib.get_close_matches(str(name).lower().replace("_", "-").replace(" ", "-"), _exercises(), n=2)
    if close:
        raise UserError(f"unknown exercise {name!r}; did you mean {' or '.join(map(repr, close))}?")
    raise UserError(f"unknown exercise {name!r}; choose one of: {', '.join(_exercises())}")


def check(name: str, fn: Any, timeout: float | None = TIME_LIMIT) -> CheckResult:
    """Check a function for an exercise: passed, not attempted yet, or what is wrong, in words.

    The function runs in a thread of its own and is given up after `timeout` seconds; a loop in Python is then
    stopped, a call that waits inside C goes on in the background. timeout=None runs it in the calling thread,
    as a debugger needs it. A function that raises, or is none, gives a result as well; an unknown name raises
    `UserError`.

    >>> def pass_at_k(n, c, k):
    ...     return 1 - (1 - c / n) ** k
    >>> check("pass-at-k", pass_at_k)
    ✗ pass-at-k: not right yet
      This is the chance when the k samples are drawn WITH replacement...
    """
    return check_exercise(get(name), fn, timeout)


def hint(name: str, n: int | None = None) -> Card:
    """The next hint of an exercise at each call, or the n-th (counted from 1).

    >>> hint("pass-at-k", 1)
    **Hint 1 of 3.** ...
    """
    hints = get(name).hints
    if n is None:
        n = min(_hints_given.get(name, 0) + 1, len(hints))
        _hints_given[name] = n
    if not 1 <= n <= len(hints):
        raise UserError(f"exercise {name!r} has hints 1 to {len(hints)}, not {n!r}")
    more = f"\n\nThat was the last one; `lk.solution({name!r})` shows labkit's own." if n == len(hints) else ""
    return Card(f"**Hint {n} of {len(hints)}.** {hints[n - 1]}{more}")


def solution(name: str) -> Card:
    """An exercise's answer: code that can be pasted, and the source of the functions of labkit behind it."""
    exercise = get(name)
    parts = [
        f"**{exercise.title}**: code that passes the check as it stands, and what does the same in labkit.",
        _fenced(solution_source(name)),
    ]
    for name, sources in itertools.groupby(exercise.sources, lambda source: source.partition(":")[0]):
        module = importlib.import_module(name)
        codes = [_source(getattr(module, source.partition(":")[2])) for source in sources]
        parts += [f"From `{name}`:", _fenced("\n\n\n".join(codes))]
    return Card("\n\n".join(parts))


def solution_source(name: str) -> str:
    """The code that `solution` shows first: imports and one function, ready to be pasted and checked."""
    code = _source(get(name).reference)
    return (_TENSOR_IMPORTS if "Tensor" in code else "") + code


def spec(name: str) -> Card:
    """What an exercise asks, with shapes, and the stub to fill in."""
    exercise = get(name)
    ask = f"Check it with `lk.check({name!r}, {exercise.signature.partition('(')[0]})`."
    return Card(f"### {exercise.title}\n\n{exercise.spec}\n\n{_fenced(exercise.stub)}\n\n{ask}")


def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(inspect.unwrap(function))).rstrip()


def _fenced(code: str) -> str:
    return f"```python\n{code.rstrip()}\n```"
