"""A control of countdown: only the first attempt is paid. See `labkit.verifiers.controls` for what a control is.

If answers grow longer because search pays, they must not grow where search does not pay.
"""

from __future__ import annotations

import re
from typing import Any

from labkit.verifiers.extract import split_thinking
from labkit.verifiers.score import Score, quote
from labkit.worlds.countdown import verifier as countdown

__all__ = ["first_try"]

_FIRST = re.compile(r"([0-9]{1,6})((?:[-+*/][0-9]{1,6}=[0-9]{1,6})+)", re.ASCII)
_STEP = re.compile(r"([-+*/][0-9]+)=([0-9]+)", re.ASCII)


def first_try(completion: str, reference: Any) -> Score:
    r"""Countdown in which only the first attempt counts: what comes after it can neither earn nor cost anything.

    The first attempt is the chain that the thought begins with, `1+6=7*5=35`, as far as it is written (the prompt may
    have opened the thought); a completion without one commits itself with its answer. Judged as `countdown` judges an
    answer, with the same `reference` and `parts`, but for one thing: a chain whose own results are false is wrong.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> first_try("<think>6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle).reward
    1.0
    >>> first_try("<think>5+6=11+1=12 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle).reason
    'the first attempt makes 12, not 30'
    >>> first_try("<answer>6*5*1</answer>", puzzle).reward
    1.0
    """
    honest = countdown.verify(completion, reference)
    tagged = "<think>" in completion or "</think>" in completion
    thought = split_thinking(completion)[0] if tagged else completion.partition("<answer>")[0]
    first = _FIRST.match(thought)
    if first is None:
        return honest
    expression = first[1]
    for step, stated in _STEP.findall(first[2]):
        expression = f"({expression}{step})"
        inner = countdown.verify(
            f"<answer>{expression}</answer>", {"numbers": list(reference["numbers"]), "target": int(stated)}
        )
        if not inner.parts["value"]:
            return Score(0.0, f"the first attempt is false: {quote(first[0])}", honest.extracted, inner.parts)
    tried = countdown.verify(f"<answer>{expression}</answer>", reference)
    return Score(tried.reward, f"the first attempt {tried.reason}", honest.extracted, tried.parts)
