"""The check: run a function on the cases, and say in words what is probably wrong with it.

A function that agrees with the reference on every case passes. Of one that does not, the outputs are compared
with those of each mistake that the exercise lists: where they agree on ALL cases, errors raised included, the
mistake has a name. Otherwise the smallest literal case that fails is shown.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from labkit.exercises.comparing import difference, show, show_both
from labkit.exercises.display import CheckResult
from labkit.exercises.exercise import Case, Exercise, Misconception
from labkit.exercises.running import Outcome, call, run_cases

__all__ = ["check_exercise", "recognise"]

TIME_LIMIT = 10.0


def check_exercise(exercise: Exercise, fn: Any, timeout: float | None = TIME_LIMIT) -> CheckResult:
    """Check a function; every fault of the function becomes a result, none an exception.

    `timeout`: seconds for all cases together; None runs the function in the calling thread, for a debugger.
    """

    def wrong(message: str, misconception: str | None = None) -> CheckResult:
        return CheckResult(exercise.name, False, True, message, misconception)

    if fn is None or fn is ...:
        return _not_attempted(exercise)
    if not callable(fn):
        return wrong(f"This is {show(fn)}, not a function: give the function itself, without calling it.")
    cases = exercise.cases
    if not _accepts(fn, cases[0]):
        names = ", ".join(exercise.arguments)
        return wrong(f"The function cannot be called with the {len(exercise.arguments)} arguments ({names}).")
    fn, reference = exercise.with_verdict(fn), exercise.with_verdict(exercise.reference)
    # The reference goes first: what it imports must not count as the student's time.
    expected = [call(reference, case) for case in cases]
    first = run_cases(fn, cases[:1], timeout)
    if _unattempted(first[0]):
        return _not_attempted(exercise)
    outcomes = first if first[0].timed_out else first + run_cases(fn, cases[1:], timeout)
    if outcomes[-1].timed_out:
        return wrong(_timeout_message(exercise, cases[len(outcomes) - 1], timeout))
    failing = [i for i in range(len(cases)) if _trouble(exercise, expected[i], outcomes[i]) is not None]
    if not failing:
        literal = len(exercise.literal)
        message = f"Right on {literal} small cases and {len(cases) - literal} random ones."
        return CheckResult(exercise.name, True, True, message)
    worst = min(failing, key=lambda i: _size(exercise, i, cases[i]))
    evidence = _evidence(exercise, cases[worst], expected[worst], outcomes[worst])
    mistake = recognise(exercise, cases, outcomes)
    if mistake:
        return wrong(f"{mistake.message}\n{evidence}", mistake.name)
    return wrong(f"{evidence}\nStuck? lk.hint({exercise.name!r}) gives a hint.")


def recognise(exercise: Exercise, cases: list[Case], outcomes: list[Outcome]) -> Misconception | None:
    """The listed mistake whose outcomes are the given ones on all cases, or None."""
    for mistake in exercise.misconceptions:
        for implementation in mistake.implementations:
            pairs = zip(cases, outcomes, strict=True)
            if all(same(call(exercise.with_verdict(implementation), case), outcome) for case, outcome in pairs):
                return mistake
    return None


def same(expected: Outcome, got: Outcome) -> bool:
    """Whether two calls did the same: raised the same kind of error, or gave equal values and gradients."""
    if expected.error is not None or got.error is not None:
        return type(expected.error) is type(got.error)
    if difference(expected.value, got.value) is not None or expected.differentiable != got.differentiable:
        return False
    if expected.gradient is None or got.gradient is None:
        return expected.gradient is got.gradient
    return difference(expected.gradient, got.gradient) is None


def _not_attempted(exercise: Exercise) -> CheckResult:
    message = f"Write `{exercise.signature}`, then run the cell again. lk.hint({exercise.name!r}) helps."
    return CheckResult(exercise.name, False, False, message)


def _unattempted(outcome: Outcome) -> bool:
    if isinstance(outcome.error, NotImplementedError):
        return True
    nothing = outcome.value is None or outcome.value is ...
    return nothing and outcome.error is None and not outcome.timed_out


def _accepts(fn: Callable[..., Any], case: Case) -> bool:
    try:
        inspect.signature(fn).bind(*case.args)
    except TypeError:
        return False
    except ValueError:  # some functions written in C have no signature to ask: the call will tell
        return True
    return True


def _timeout_message(exercise: Exercise, case: Case, timeout: float | None) -> str:
    return (
        f"Still running after {timeout:g} s: is there a loop that never ends? "
        f"The input: {_inputs(exercise, case)}\n"
        "It was told to stop; if the machine stays busy, restart the kernel."
    )


def _size(exercise: Exercise, index: int, case: Case) -> tuple[int, int]:
    """Literal cases first, in their order; then the shortest of the random ones."""
    if index < len(exercise.literal):
        return 0, index
    return 1, len(_inputs(exercise, case, limit=10**6))


def _inputs(exercise: Exercise, case: Case, limit: int = 240) -> str:
    pairs = zip(exercise.arguments, case.args, strict=False)
    return ", ".join(f"{name}={show(value, limit=limit)}" for name, value in pairs)


def _trouble(exercise: Exercise, expected: Outcome, got: Outcome) -> str | None:
    """None when a call did what it should; else a sentence about its kind, or "" for a wrong value."""
    if got.error is not None:
        text = " ".join(_text(got.error).split())
        return f"It raised {type(got.error).__name__}{f': {text[:200]}' if text else ''}."
    kind = difference(expected.value, got.value)
    if kind is not None:
        return kind and f"It returned {kind}."
    if expected.differentiable and not got.differentiable:
        return (
            "The value is right, but the gradient is lost: the result does not require grad. "
            "(`.detach()`, `.item()`, `torch.tensor(...)` and `torch.no_grad()` cut it.)"
        )
    if got.differentiable and not expected.differentiable:
        return "The value is right, but it requires grad, and nothing is to be learned through it: detach it."
    if not same(expected, got):
        return _gradient_trouble(expected, got)
    if got.mutated is not None:
        name = exercise.arguments[got.mutated]
        return f"The value is right, but the call changed its input `{name}`: work on a copy (`.clone()`)."
    return None


def _text(error: BaseException) -> str:
    # A student's own exception class may have a __str__ that raises.
    try:
        return str(error)
    except Exception:
        return ""


def _gradient_trouble(expected: Outcome, got: Outcome) -> str:
    if got.gradient is None:
        return "The value is right, but no gradient arrives at the input that has one."
    right, wrong = show_both(expected.gradient, got.gradient)
    return f"The value is right, but its gradient is {wrong}, where {right} is expected."


def _evidence(exercise: Exercise, case: Case, expected: Outcome, got: Outcome) -> str:
    """The case that failed and how, in lines; an error in one line."""
    inputs, words = _inputs(exercise, case), _trouble(exercise, expected, got)
    if got.error is not None:
        return f"{words} The input: {inputs}"
    lines = [words] if words else []
    lines.append(f"input:    {inputs}")
    if words == "":
        right, wrong = show_both(expected.value, got.value)
        lines += [f"expected: {right}", f"got:      {wrong}"]
    if case.note:
        lines.append(f"the case: {case.note}")
    return "\n".join(lines)
