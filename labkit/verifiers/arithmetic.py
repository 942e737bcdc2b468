r"""Exact arithmetic on text that a model wrote, without ever running it.

The text is checked character by character, then for length and depth, then parsed with `ast.parse`, then
walked with a whitelist: whole numbers, `+ - * /`, unary minus and brackets. Values are exact `Fraction`s.
`eval` on such text runs arbitrary code, and hangs for ever on `99**88**77`.

Decisions:
- `× · ⋅ ∗ \times \cdot` mean `*`; `÷ ∕ \div` mean `/`; `−` and `–` mean `-`.
- Unary minus is allowed. It gives no new power when the target is positive (`-(2-5)*3` is `(5-2)*3`), and
  refusing it would call right solutions wrong. Unary plus is refused.
- Digits are ASCII and plain: no `1_000`, `0x1F`, `1e3`, `1.0`, `٣`, no leading zeros. `2(3)` is refused.
"""

from __future__ import annotations

import ast
import re
from fractions import Fraction

from labkit.verifiers.score import quote

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "ExpressionError", "canonical_integer", "evaluate_expression"]

MAX_LENGTH = 200
"""Characters of an expression. With it, the value has at most about as many digits."""
MAX_DEPTH = 32
"""Brackets inside brackets."""

_SAME_OPERATOR = {"\\times": "*", "\\cdot": "*", "\\div": "/"}
_SAME_CHARACTER = str.maketrans("×·⋅∗÷∕−–", "****//--")
_FOREIGN = re.compile(r"[^0-9+\-*/() ]")
_LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]")
_INTEGER = re.compile(r"([+-]?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)")


class ExpressionError(ValueError):
    """Why a text is no expression, as a predicate: "uses **", "divides by zero"."""


def evaluate_expression(text: str) -> tuple[Fraction, list[int]]:
    """Evaluate an arithmetic expression exactly: (value, the numbers used, in order of appearance).

    Raises `ExpressionError`, and nothing else, on every text that is not such an expression.

    >>> evaluate_expression("(1 + 6) * 5 / 2")
    (Fraction(35, 2), [1, 6, 5, 2])
    >>> evaluate_expression("6 × 5 − 1")
    (Fraction(29, 1), [6, 5, 1])
    >>> evaluate_expression("99**88**77")
    Traceback (most recent call last):
    ...
    labkit.verifiers.arithmetic.ExpressionError: uses **, which is not one of + - * /
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"is longer than {MAX_LENGTH} characters")
    source = _normalise(text)
    _check_characters(source)
    _check_brackets(source)
    try:
        tree = ast.parse(source, mode="eval").body
        numbers: list[int] = []
        return _value(tree, numbers), numbers
    except ExpressionError:
        raise
    except (SyntaxError, ValueError):
        raise ExpressionError("is not a complete expression") from None
    except (RecursionError, MemoryError):
        raise ExpressionError("is nested too deeply") from None


def canonical_integer(text: str) -> str | None:
    """The decimal digits of a whole number, or None when the text is not one.

    ASCII digits; a sign, leading zeros and well-placed thousands commas are allowed and dropped (`−` counts
    as a minus); decimals, spaces inside and other digits are not. A string, because a number of a million
    digits compares as one in linear time, and as an int does not.

    >>> [canonical_integer(text) for text in ("405", " +1,234 ", "-007", "-0", "4 05", "40,5", "405.0")]
    ['405', '1234', '-7', '0', None, None, None]
    """
    match = _INTEGER.fullmatch(text.strip().replace("−", "-"))
    if match is None:
        return None
    digits = match[2].replace(",", "").lstrip("0") or "0"
    return f"-{digits}" if match[1] == "-" and digits != "0" else digits


def _normalise(text: str) -> str:
    for name, operator in _SAME_OPERATOR.items():
        text = text.replace(name, operator)
    return " ".join(text.translate(_SAME_CHARACTER).split())


def _check_characters(source: str) -> None:
    # Nothing but digits and operators reaches the parser: no names, strings, NUL or literals that warn.
    if not source:
        raise ExpressionError("is empty")
    foreign = _FOREIGN.search(source)
    if foreign:
        raise ExpressionError(f"has {quote(foreign.group())}, which is no digit, bracket or + - * /")
    for operator in ("**", "//"):
        if operator in source:
            raise ExpressionError(f"uses {operator}, which is not one of + - * /")
    if _LEADING_ZERO.search(source):
        raise ExpressionError("has a number with a leading zero")


def _check_brackets(source: str) -> None:
    depth = 0
    for character in source:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            raise ExpressionError("closes a bracket that was never opened")
        if depth > MAX_DEPTH:
            raise ExpressionError(f"has more than {MAX_DEPTH} brackets inside each other")
    if depth:
        raise ExpressionError("leaves a bracket open")


def _value(node: ast.expr, numbers: list[int]) -> Fraction:
    match node:
        case ast.Constant(value=int(number)):
            numbers.append(number)
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, numbers)
        case ast.BinOp(left=left, op=operator, right=right):
            return _apply(operator, _value(left, numbers), _value(right, numbers))
        case ast.UnaryOp():
            raise ExpressionError("has a + with nothing before it")
        case ast.Call():
            raise ExpressionError("has a bracket with no operator before it")
        case _:
            raise ExpressionError("has brackets with nothing inside")


def _apply(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            if right == 0:
                raise ExpressionError("divides by zero")
            return left / right
        case _:
            raise ExpressionError("uses an operator that is not one of + - * /")
