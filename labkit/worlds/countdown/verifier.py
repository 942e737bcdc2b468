"""The countdown game: reach a target with the given numbers, each used exactly once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.arithmetic import ExpressionError, canonical_integer, evaluate_expression
from labkit.verifiers.extract import extract_answer
from labkit.verifiers.score import Score, quote

__all__ = ["verify"]

_MAX_COMPLAINTS = 4
_MAX_BITS = 1024


def verify(completion: str, reference: Any) -> Score:
    """Score a countdown answer: reward 1.0 when right, else 0.0.

    A right answer is an expression of `+ - * /` and brackets (see `labkit.verifiers.arithmetic`) that uses each given
    number exactly as often as it is given, uses no other number, and has exactly the target as its value. A trailing
    `= n` is accepted only when n is the target itself.

    `reference` is `{"numbers": [whole numbers of 0 or more], "target": whole number}`; a malformed one raises
    `UserError`, since no completion could satisfy it. `parts`: `parsed`, `numbers` and `value`, each 0 or 1, checked
    independently, so that a curve shows which skill is missing.

    >>> verify("<answer>6*5*1</answer>", {"numbers": [5, 6, 1], "target": 30}).reward
    1.0
    >>> verify("<answer>6*6-1</answer>", {"numbers": [5, 6, 1], "target": 30}).reason
    'uses 6 twice; 5 is not used; makes 35, not 30'
    >>> verify("I give up", {"numbers": [5, 6, 1], "target": 30}).reason
    'no answer found'
    """
    given, target = _read_reference(reference)
    answer = extract_answer(completion)
    if answer is None:
        return Score(0.0, "no answer found", None, _parts(False, False, False))
    try:
        value, used = evaluate_expression(_left_of_target(answer, target))
    except ExpressionError as error:
        return Score(0.0, f"{quote(answer)} {error}", answer, _parts(False, False, False))
    complaints = _number_complaints(Counter(given), Counter(used))
    parts = _parts(True, not complaints, value == target)
    if value != target:
        complaints.append(f"makes {_shorten(str(value))}, not {_shorten(str(target))}")
    if complaints:
        return Score(0.0, "; ".join(complaints), answer, parts)
    return Score(1.0, f"makes {_shorten(str(target))} with each number once", answer, parts)


def _read_reference(reference: Any) -> tuple[list[int], int]:
    try:
        given, target = list(reference["numbers"]), reference["target"]
    except (KeyError, TypeError, IndexError):
        given, target = [], None
    whole = all(
        isinstance(number, int) and not isinstance(number, bool) and number.bit_length() <= _MAX_BITS
        for number in [*given, target]
    )
    if not whole or not given or min(given) < 0:
        raise UserError(
            'a countdown reference is {"numbers": [5, 6, 1], "target": 30}, with whole numbers of 0 or more '
            f"and a whole target; got {_describe(reference)}"
        )
    return given, target


def _describe(reference: Any) -> str:
    # The repr of a user's object may raise (that of an int beyond Python's limit of digits does).
    try:
        return _shorten(ascii(reference), 120)
    except Exception:
        return f"a {type(reference).__name__} that cannot be shown"


def _left_of_target(answer: str, target: int) -> str:
    expression, equals, right = answer.partition("=")
    if equals and "=" in right:
        raise ExpressionError("has more than one =")
    if equals and canonical_integer(right) != str(target):
        raise ExpressionError(f"has {quote(right.strip())} after =, where only {target} may stand")
    return expression


def _number_complaints(given: Counter[int], used: Counter[int]) -> list[str]:
    complaints = []
    for number, count in used.items():
        name = _shorten(str(number))
        if number not in given:
            complaints.append(f"uses {name}, which is not given")
        elif count > given[number]:
            more = "" if given[number] == 1 else f", but it is given {_times(given[number])}"
            complaints.append(f"uses {name} {_times(count)}{more}")
    for number, count in given.items():
        name = _shorten(str(number))
        if used[number] == 0:
            complaints.append(f"{name} is not used")
        elif used[number] < count:
            complaints.append(f"uses {name} {_times(used[number])}, but it is given {_times(count)}")
    if len(complaints) > _MAX_COMPLAINTS:
        left_out = len(complaints) - _MAX_COMPLAINTS
        complaints[_MAX_COMPLAINTS:] = [f"and {left_out} more such"]
    return complaints


def _times(count: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(count, f"{count} times")


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[:limit] + "..."


def _parts(parsed: bool, numbers: bool, value: bool) -> dict[str, float]:
    return {"parsed": float(parsed), "numbers": float(numbers), "value": float(value)}
