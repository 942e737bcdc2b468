"""What an exercise is: a specification, cases, labkit's own answer, and the mistakes that it can name."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Case", "Exercise", "Misconception"]

RANDOM_CASES = 24


@dataclass(frozen=True)
class Case:
    """One call: positional arguments, and for a literal case what is special about it, in words."""

    args: tuple[Any, ...]
    note: str = ""


@dataclass(frozen=True)
class Misconception:
    """A plausible mistake, as code that makes it, and the words that name it.

    Attributes:
        name: short, unique within the exercise.
        wrong: an implementation with this mistake.
        message: what is said to whoever makes it; what is wrong and why, without the finished code.
        variants: other implementations of the same mistake, whose outputs differ from those of `wrong`.
    """

    name: str
    wrong: Callable[..., Any]
    message: str
    variants: tuple[Callable[..., Any], ...] = ()

    @property
    def implementations(self) -> tuple[Callable[..., Any], ...]:
        return (self.wrong, *self.variants)


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    Attributes:
        name: what `labkit.check` is called with.
        title: a few words.
        notebook: file name of the notebook, without its ending.
        spec: the task in markdown, with shapes.
        stub: code with the signature, that raises NotImplementedError.
        reference: labkit's own function, or a short adapter to it, that can be pasted into a notebook as it
            stands; it is what `labkit.solution` shows.
        literal: cases small enough to be shown, smallest first. The first decides whether an exercise was
            attempted.
        random: makes one more case from a generator; RANDOM_CASES of them are drawn with a fixed seed.
        misconceptions: the mistakes that can be named, the more special one first.
        hints: from a nudge to almost the answer.
        verdict: for an exercise with many right answers: `verdict(value, *args)` says in a few words what a returned
            value is worth, and these words are compared instead of the value.
        sources: functions of labkit, "module:name", whose source `labkit.solution` shows below the reference.
    """

    name: str
    title: str
    notebook: str
    spec: str
    stub: str
    reference: Callable[..., Any]
    literal: tuple[Case, ...]
    random: Callable[[random.Random], Case]
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, ...]
    sources: tuple[str, ...] = ()
    verdict: Callable[..., str] | None = None

    def with_verdict(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is compared: it returns its value or, where there is a `verdict`, the verdict on it."""
        verdict = self.verdict
        if verdict is None:
            return fn

        @functools.wraps(fn)
        def compared(*args: Any) -> Any:
            value = fn(*args)
            return value if value is None or value is ... else verdict(value, *args)

        return compared

    @property
    def signature(self) -> str:
        """The def line of the stub, without "def" and the colon."""
        return self.stub.partition("def ")[2].partition(":\n")[0]

    @property
    def arguments(self) -> list[str]:
        """The names of the arguments, in order."""
        return list(inspect.signature(self.reference).parameters)

    @property
    def cases(self) -> list[Case]:
        """The literal cases, then the random ones: the same at every call."""
        generator = random.Random(0)
        return [*self.literal, *(self.random(generator) for _ in range(RANDOM_CASES))]
