"""Majority vote (self-consistency; Wang et al. 2023), and when two answers are the same vote."""

import ast
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

from labkit.verifiers.arithmetic import ExpressionError, evaluate_expression

Answer = TypeVar("Answer", bound=Hashable)

_SUMS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-"}
_PRODUCTS: dict[type[ast.operator], str] = {ast.Mult: "*", ast.Div: "/"}
_OPPOSITE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def majority(answers: Sequence[Answer | None]) -> Answer | None:
    """The commonest answer; None does not vote, ties go to the answer that came first, without a vote: None.

    >>> majority(["7", "9", "9", None, "7"])
    '7'
    >>> majority([None, None]) is None
    True
    """
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None


def normal_form(answer: str | None) -> str | None:
    """An expression with the terms of each sum and the factors of each product in one order; None for what is none.

    So `1*5*6` and `6*5*1` are one vote. Different ways to the same value stay different votes: they are different
    answers to "how", and a vote cannot know that they are all right.

    >>> normal_form("6*5*1") == normal_form("(1*5)*6"), normal_form("8-(5-11)") == normal_form("11+8-5")
    (True, True)
    >>> normal_form("6*5*1") == normal_form("6*5/1"), normal_form("?")
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
