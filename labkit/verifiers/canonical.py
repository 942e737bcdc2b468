"""When two answers are the same vote: what maj@k counts, in `labkit eval` and in `labkit.inference` alike."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from typing import Any

from labkit.verifiers.arithmetic import ExpressionError, evaluate_expression
from labkit.verifiers.math.votes import vote
from labkit.verifiers.numerals import UnreadableError, read_number

__all__ = ["canonical", "expression_form"]

_SUMS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-"}
_PRODUCTS: dict[type[ast.operator], str] = {ast.Mult: "*", ast.Div: "/"}
_OPPOSITE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def canonical(verifier: str | Callable[..., Any], answer: str | None) -> str | None:
    r"""The text that an answer votes with: the same for answers that say the same, None for what has no vote.

    `verifier` is the one that judges the answers, or its name; it decides what is the same:

    - `number`, `addition`: the value. Units and words have no vote; a per cent stays one (`50%` is neither 50 nor 1/2,
      since it may be right where one of them is wrong).
    - `math`: the value or normal form; what takes algebra to be seen (`\sin 2x`) is not merged.
    - `countdown`: the expression with its terms in one order; what is no expression has no vote.
    - a verifier of yours: what its attribute `canonical` makes of the answer, where it has one.
    - all others (`code`, `instructions`): the text without the white space around it.

    Total, and bounded in time by the length of the answer.

    >>> [canonical("number", text) for text in ("72", "72.0", "$72", "72 clips", "36 or 72")]
    ['72', '72', '72', '72', '36 or 72']
    >>> canonical("math", r"\frac{1}{2}") == canonical("math", "x = 0.5"), canonical("math", "50%")
    (True, '50%')
    >>> canonical("countdown", "6*5*1") == canonical("countdown", "1*5*6"), canonical("countdown", "?")
    (True, None)
    """
    if answer is None:
        return None
    own = getattr(verifier, "canonical", None)
    form = own or next((_FORMS[word] for word in _words(verifier) if word in _FORMS), str.strip)
    return form(answer)


def _words(verifier: str | Callable[..., Any]) -> list[str]:
    """The words of a verifier's name; those of a function of labkit's are in its module and its name."""
    while isinstance(verifier, functools.partial):
        verifier = verifier.func
    if not isinstance(verifier, str):
        home = str(getattr(verifier, "__module__", ""))
        verifier = f"{home}.{getattr(verifier, '__name__', '')}" if home.startswith("labkit.") else ""
    return re.split("[._]", verifier)


def _number(answer: str) -> str:
    try:
        numeral = read_number(answer.strip())
    except UnreadableError:
        return answer.strip()
    return f"{numeral.value}{'%' if numeral.percent else ''}"


# ------------------------------------------------------------------------------------------- expressions


def expression_form(answer: str | None) -> str | None:
    """An expression with the terms of each sum and the factors of each product in one order; None for what is none.

    So `1*5*6` and `6*5*1` are one vote. Different ways to the same value stay different votes: they are different
    answers to "how", and a vote cannot know that they are all right.

    >>> expression_form("6*5*1") == expression_form("(1*5)*6"), expression_form("8-(5-11)") == expression_form("11+8-5")
    (True, True)
    >>> expression_form("6*5*1") == expression_form("6*5/1"), expression_form("?")
    (False, None)
    """
    if answer is None:
        return None
    try:
        evaluate_expression(answer)
        return _form(ast.parse(answer.strip(), mode="eval").body)
    except (ExpressionError, SyntaxError):  # SyntaxError: signs that evaluate_expression reads and Python does not
        return None


def _form(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    is_product = isinstance(node, ast.BinOp) and type(node.op) in _PRODUCTS
    parts = _parts(node, _PRODUCTS, "*") if is_product else _parts(node, _SUMS, "+")
    return f"({''.join(sorted(parts))})"


def _parts(node: ast.expr, signs: dict[type[ast.operator], str], sign: str) -> list[str]:
    """The signed terms of a sum, or factors of a product, brackets of the same kind dissolved."""
    if isinstance(node, ast.BinOp) and type(node.op) in signs:
        right = sign if signs[type(node.op)] in "+*" else _OPPOSITE[sign]
        return _parts(node.left, signs, sign) + _parts(node.right, signs, right)
    if isinstance(node, ast.UnaryOp) and signs is _SUMS:
        return _parts(node.operand, signs, _OPPOSITE[sign])
    return [sign + _form(node)]


_FORMS: dict[str, Callable[[str], str | None]] = {
    "addition": _number,
    "countdown": expression_form,
    "math": vote,
    "number": _number,
}
