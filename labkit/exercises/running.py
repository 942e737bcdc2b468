"""Calling a student's function on cases: on copies of the inputs, with a time limit, never raising."""

from __future__ import annotations

import contextlib
import copy
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from labkit.exercises.comparing import difference
from labkit.exercises.exercise import Case
from labkit.system import Stopped, stop_thread

__all__ = ["Outcome", "call", "run_cases"]


@dataclass(frozen=True)
class Outcome:
    """What one call did.

    Attributes:
        value: what it returned; a tensor is detached.
        differentiable: whether the tensor that it returned required grad.
        gradient: of the (weighted) sum of the returned tensor by the first argument that requires grad; None
            where there is no such argument or nothing flows to it.
        error: what it raised.
        mutated: the position of an argument that it changed, or None.
        timed_out: whether it had not returned at the time limit.
    """

    value: Any = None
    differentiable: bool = False
    gradient: Tensor | None = None
    error: BaseException | None = None
    mutated: int | None = None
    timed_out: bool = False


def call(fn: Callable[..., Any], case: Case) -> Outcome:
    """Call `fn` on copies of the case's arguments; what it raises becomes part of the outcome."""
    args = copy.deepcopy(case.args)
    try:
        with torch.enable_grad():
            value = fn(*args)
            differentiable = isinstance(value, Tensor) and value.requires_grad
            gradient = _gradient(value, args) if differentiable else None
    except Stopped:
        raise
    except (Exception, SystemExit) as error:
        return Outcome(error=error)
    pairs = enumerate(zip(case.args, args, strict=True))
    changed = [i for i, (given, now) in pairs if difference(given, now) is not None]
    if isinstance(value, Tensor):
        value = value.detach().clone()
    return Outcome(value, differentiable, gradient, mutated=changed[0] if changed else None)


def _gradient(value: Tensor, args: tuple[Any, ...]) -> Tensor | None:
    leaves = [arg for arg in args if isinstance(arg, Tensor) and arg.requires_grad]
    if not leaves:
        return None
    # Unequal weights, so that a gradient that goes to the wrong element shows.
    weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype, device=value.device)
    return torch.autograd.grad(value, leaves[0], weights.reshape(value.shape), allow_unused=True)[0]


def run_cases(fn: Callable[..., Any], cases: list[Case], timeout: float | None) -> list[Outcome]:
    """Call `fn` on every case; with a time limit (seconds, for all cases together) in a thread of its own.

    At the time limit the list ends with an outcome that is `timed_out`, and the thread is stopped (`stop_thread`
    says what that can and cannot end). It is a daemon thread, so it does not keep Python from ending.
    """
    if timeout is None:
        return [call(fn, case) for case in cases]
    results: queue.Queue[Outcome] = queue.Queue()

    def work() -> None:
        with contextlib.suppress(Stopped):
            for case in cases:
                results.put(call(fn, case))

    thread = threading.Thread(target=work, daemon=True, name="labkit-check")
    thread.start()
    deadline = time.monotonic() + timeout
    outcomes: list[Outcome] = []
    while len(outcomes) < len(cases):
        try:
            outcomes.append(results.get(timeout=max(deadline - time.monotonic(), 0.001)))
        except queue.Empty:
            stop_thread(thread)
            return [*outcomes, Outcome(timed_out=True)]
        except KeyboardInterrupt:
            stop_thread(thread)
            raise
    return outcomes
