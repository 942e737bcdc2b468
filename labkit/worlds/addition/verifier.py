"""Addition, or any task whose answer is one whole number."""

from __future__ import annotations

from typing import Any

from labkit.errors import UserError
from labkit.verifiers.arithmetic import canonical_integer
from labkit.verifiers.extract import extract_answer
from labkit.verifiers.score import Score, quote

__all__ = ["verify"]

_MAX_DIGITS = 1000
_MAX_BITS = 3320  # what a thousand digits take


def verify(completion: str, reference: Any) -> Score:
    """Score a whole number: reward 1.0 when the answer is exactly the reference, else 0.0.

    The answer may have a sign, leading zeros and correct thousands commas (`1,234`), and nothing else: digits are
    ASCII, and `405.0`, `4 05` and `347+58` are not whole numbers. `reference` is an int or its string; anything else
    raises `UserError`. `parts`: `parsed` and `value`, each 0 or 1.

    >>> verify("<think>7+8=15</think><answer>405</answer>", 405).reward
    1.0
    >>> verify("<answer>415</answer>", "405").reason
    'the answer is 415, not 405'
    >>> verify("<answer>405.0</answer>", 405).reason
    "'405.0' is not a whole number"
    """
    target = _read_reference(reference)
    answer = extract_answer(completion)
    if answer is None:
        return Score(0.0, "no answer found", None, {"parsed": 0.0, "value": 0.0})
    number = canonical_integer(answer)
    if number is None:
        return Score(0.0, f"{quote(answer)} is not a whole number", answer, {"parsed": 0.0, "value": 0.0})
    if number == target:
        return Score(1.0, f"the answer is {_shorten(target)}", answer, {"parsed": 1.0, "value": 1.0})
    reason = f"the answer is {_shorten(number)}, not {_shorten(target)}"
    return Score(0.0, reason, answer, {"parsed": 1.0, "value": 0.0})


def _read_reference(reference: Any) -> str:
    number = None
    if isinstance(reference, str) and len(reference) <= _MAX_DIGITS:
        number = canonical_integer(reference)
    # An int beyond Python's own limit of digits cannot be written out. bool is an int, but no number is meant by it.
    elif type(reference) is not bool and isinstance(reference, int) and reference.bit_length() <= _MAX_BITS:
        number = str(int(reference))
    if number is not None:
        return number
    raise UserError(
        "an addition reference is a whole number, or its string, of at most "
        f"{_MAX_DIGITS} digits, such as 405; got a {type(reference).__name__}"
        + (f": {quote(reference)}" if isinstance(reference, str) else "")
    )


def _shorten(digits: str, limit: int = 40) -> str:
    return digits if len(digits) <= limit else digits[:limit] + "..."
