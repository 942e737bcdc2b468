"""The approximate value of an expression, for what needs an order: ends of intervals, rounded decimals."""

from __future__ import annotations

import math
from collections.abc import Callable

from labkit.verifiers.math.expressions import Tree

__all__ = ["value"]

LARGEST = 1e100
"""A larger number, or the logarithm of a larger power, has no value here."""
_CONSTANTS = {"pi": math.pi, "e": math.e, "∞": math.inf}
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    **{name: getattr(math, name) for name in "sin cos tan sinh cosh tanh exp log sqrt floor".split()},
    **{f"arc{name}": getattr(math, f"a{name}") for name in ("sin", "cos", "tan")},
    "abs": abs,
    "ceiling": math.ceil,
    "cot": lambda x: 1 / math.tan(x),
    "sec": lambda x: 1 / math.cos(x),
    "csc": lambda x: 1 / math.sin(x),
}


def value(tree: Tree | None) -> float | None:
    r"""The value as a float; None where there is none, with symbols in it, say, or far too large.

    >>> from labkit.verifiers.math.expressions import read_expression
    >>> value(read_expression(r"\frac{\pi}{2}")), value(read_expression("x")), value(read_expression("9^{9^9}"))
    (1.5707963267948966, None, None)
    """
    if tree is None:
        return None
    try:
        found = _value(tree)
    except (ArithmeticError, ValueError, RecursionError):
        return None
    return found if isinstance(found, float | int) and found == found else None


def _value(tree: Tree) -> float:
    match tree:
        case ("num", number):
            return float(number)
        case ("sym", name):
            if name in _CONSTANTS:
                return _CONSTANTS[name]
        case ("+", *parts):
            return math.fsum(map(_value, parts))
        case ("*", *parts):
            return math.prod(map(_value, parts))
        case ("/", a, b):
            return _value(a) / _value(b)
        case ("^", a, b):
            base, power = _value(a), _value(b)
            if base and abs(power * math.log(abs(base))) < math.log(LARGEST):
                return float(base**power) if base > 0 or power == int(power) else math.nan
        case ("fn", name, argument) if name in _FUNCTIONS:
            return float(_FUNCTIONS[name](_value(argument)))
        case ("fn", "factorial", argument):
            number = _value(argument)
            if number == int(number) and 0 <= number < 60:
                return float(math.factorial(int(number)))
    raise ValueError("no value")
