"""A control of countdown: only the first attempt is paid. See `labkit.verifiers.controls` for what a control is.

If answers grow longer because search pays, they must not grow where search does not pay.
"""

from __future__ import annotations

from typing import Any

from labkit.verifiers.score import Score, quote
from labkit.worlds.countdown import verifier as countdown
from labkit.worlds.countdown.parse import read_start, read_thought

__all__ = ["first_try"]


def first_try(completion: str, reference: Any) -> Score:
    r"""Countdown in which only the first attempt counts: what comes after it can neither earn nor cost anything.

    The first attempt is the chain with which the thought begins, `1+6=7*5=35`, as far as it is written (the prompt may
    have opened the thought). A completion without such a chain commits itself with its answer. The attempt is scored as
    `countdown` scores an answer, with the same `reference` and `parts`, except that a chain that states a false result
    is wrong.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> first_try("<think>6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle).reward
    1.0
    >>> first_try("<think>5+6=11+1=12 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle).reason
    'the first attempt makes 12, not 30'
    >>> first_try("<answer>6*5*1</answer>", puzzle).reward
    1.0
    """
    honest = countdown.verify(completion, reference)
    first = read_start(read_thought(completion).text)
    if first is None:
        return honest
    expression = first.start
    for operator, operand, result in first.equations:
        expression = f"({expression}{operator}{operand})"
        # The verifier of answers evaluates the chain so far: its limits and its reading of numbers hold here too.
        stated = countdown.verify(
            f"<answer>{expression}</answer>", {"numbers": list(reference["numbers"]), "target": result}
        )
        if not stated.parts["value"]:
            return Score(0.0, f"the first attempt is false: {quote(first.text)}", honest.extracted, stated.parts)
    tried = countdown.verify(f"<answer>{expression}</answer>", reference)
    return Score(tried.reward, f"the first attempt {tried.reason}", honest.extracted, tried.parts)
