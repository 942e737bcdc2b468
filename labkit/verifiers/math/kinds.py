r"""The kinds of answers: an expression, words, several answers in brackets, a named value, an equation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from labkit.verifiers.math.expressions import Tree, negative
from labkit.verifiers.math.polynomials import Form, TooLarge, normal_form

__all__ = [
    "EMPTY",
    "INFINITY",
    "INTERVALS",
    "MINUS_INFINITY",
    "REALS",
    "Answer",
    "Assignment",
    "Equation",
    "Group",
    "Scalar",
    "Words",
    "of_tree",
    "spelling",
    "unread",
]


@dataclass(frozen=True)
class Scalar:
    r"""A number or expression. `tree` is None where it could not be read, `form` where it is too large or undefined.

    `source` is the text without spaces; `text` keeps them where there is no tree. `rounded` is the decimal that a chain
    such as `\frac13 \approx 0.33` ends in; `product` the reading of `5 m` as 5 times m.
    """

    source: str
    tree: Tree | None = None
    form: Form | None = None
    unit: str = ""
    problem: str = ""
    text: str = field(default="", compare=False)
    rounded: Scalar | None = field(default=None, compare=False)
    product: Scalar | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Words:
    """Text, in lower case."""

    text: str


@dataclass(frozen=True)
class Group:
    """Several answers. `kind`: the pair of brackets, `list` (commas alone), `{}` (a set), `matrix`, `∪`, `∩` or `∖`."""

    kind: str
    items: tuple[Answer, ...]
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """`name = value`, and `x in S`, which gives x the value S."""

    name: str
    value: Answer


@dataclass(frozen=True)
class Equation:
    """`left = 0` (or `left < 0`, `left ≤ 0`), for what does not give one symbol a value."""

    relation: str
    left: Scalar


Answer = Scalar | Words | Group | Assignment | Equation

INTERVALS = ("()", "[]", "(]", "[)")
"""The kinds of groups that may be intervals; `()` may be a pair as well."""
_INFINITE: Tree = ("sym", "∞")


def spelling(text: str) -> str:
    """The text without the spaces that say nothing: `2 3` stays apart from `23`.

    >>> spelling("x _{1} + 2 3")
    'x_1+2 3'
    """
    if "{" in text:
        text = re.sub(r"([_^]) ?\{ ?([0-9A-Za-z]) ?\}", r"\1\2", text)
    return re.sub(r"(?<![0-9.]) +| +(?![0-9.])", "", " ".join(text.split())) if " " in text else text


def unread(text: str, problem: str) -> Scalar:
    """An answer that equals only what is spelt like it."""
    return Scalar(spelling(text), problem=problem)


def of_tree(text: str, tree: Tree, unit: str = "") -> Scalar:
    """The scalar of a tree that was read from a text."""
    if _mentions_infinity(tree) and tree not in (_INFINITE, negative(_INFINITE)):
        return Scalar(spelling(text), unit=unit, problem="infinity inside an expression")
    try:
        return Scalar(spelling(text), tree, normal_form(tree), unit)
    except (TooLarge, ZeroDivisionError, RecursionError) as error:
        return Scalar(spelling(text), tree, None, unit, str(error))


def _mentions_infinity(tree: Tree) -> bool:
    return tree == _INFINITE or any(isinstance(part, tuple) and _mentions_infinity(part) for part in tree[1:])


EMPTY = Group("{}", ())
INFINITY, MINUS_INFINITY = of_tree("∞", _INFINITE), of_tree("-∞", negative(_INFINITE))
REALS = Group("()", (MINUS_INFINITY, INFINITY))
