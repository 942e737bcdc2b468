r"""Controls: verifiers that pay for something on which an explanation of RL's effect can be tried. For experiments.

If a curve rises because the reward says what is right, it must not rise under a reward that says nothing (`coin`). If
answers grow because search pays, they must not grow where it does not (`first_try`). Both are as total, as cheap and as
deterministic as the verifiers that they stand in for, are reached by name (`labkit.verifiers.get("coin")`, a recipe's
`verifier: coin`), and are not in the list of verifiers.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from labkit.errors import UserError
from labkit.verifiers import countdown
from labkit.verifiers.extract import split_thinking
from labkit.verifiers.score import Score, Verifier, quote

__all__ = ["CONTROLS", "coin", "first_try"]

_FIRST = re.compile(r"([0-9]{1,6})((?:[-+*/][0-9]{1,6}=[0-9]{1,6})+)", re.ASCII)
_STEP = re.compile(r"([-+*/][0-9]+)=([0-9]+)", re.ASCII)


def coin(completion: str, reference: Any) -> Score:
    """Heads or tails, 1.0 or 0.0: a hash of text and reference, so that the same answer is always paid the same.

    `reference` is plain data (what JSON can hold) and is hashed, not looked at; anything else raises `UserError`.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> [coin(f"<answer>{text}</answer>", puzzle).reason for text in ("6*5*1", "5*6*1", "?", "6*5*1")]
    ['heads', 'heads', 'tails', 'heads']
    """
    try:
        known = json.dumps(reference, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise UserError("a coin's reference is plain data, such as numbers, strings, lists and dicts") from None
    text = f"{completion}\n{known}".encode("utf-8", "surrogatepass")
    heads = hashlib.blake2b(text, digest_size=1).digest()[0] % 2
    return Score(float(heads), "heads" if heads else "tails", None, {"heads": float(heads)})


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


CONTROLS: dict[str, Verifier] = {"coin": coin, "first_try": first_try}
"""The controls by name."""
