r"""Equations, chains of equal values, and inequalities: from their sides to what they say.

- `x = 5` names a value; a chain (`x = 2 + 3 = 5`) does when all its sides are equal. A chain that is false
  (`x = 2 + 3 = 6`) says nothing.
- `\frac13 \approx 0.33` is 1/3, and 0.33 for a reference that is rounded; it must be right to the digits it shows.
- Linear inequalities in one symbol are solved, so `-x > -1`, `1 > x` and `x < 1` are one; so is `|x - 1| < 2`.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction

from labkit.verifiers.math.comparing import compare
from labkit.verifiers.math.expressions import Tree, negative
from labkit.verifiers.math.kinds import (
    EMPTY,
    INFINITY,
    INTERVALS,
    MINUS_INFINITY,
    REALS,
    Answer,
    Assignment,
    Equation,
    Group,
    Scalar,
    Words,
    of_tree,
    spelling,
)
from labkit.verifiers.math.polynomials import Form, tree_of
from labkit.verifiers.math.sets import combine
from labkit.verifiers.math.values import value

__all__ = ["difference", "equality", "inequality", "inequation", "joined", "name_of"]

_FUNCTION = re.compile(r"[A-Za-z]'*\([A-Za-z, ]{1,12}\)|[fghpqFGHPQ]'*\([-0-9./, ]{1,12}\)")
_MIRROR = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}
_CONSTANTS = frozenset(("pi", "e", "i", "∞"))
_DECIMAL = re.compile(r"-?[0-9]*(?:\.([0-9]+))?")


def name_of(piece: str, side: Answer) -> str | None:
    """What stands for a quantity: x, f(x), (x, y), a word, a sign that is no part of an expression."""
    if isinstance(side, Words):
        return side.text
    if isinstance(side, Group):
        return spelling(piece) if side.items and all(name_of("", item) for item in side.items) else None
    if isinstance(side, Scalar):
        if side.tree is None and not any(c.isdigit() for c in piece):
            return spelling(piece)
        if side.tree and side.tree[0] == "sym" and side.tree[1] not in ("pi", "e", "∞"):
            return side.tree[1]
        if _FUNCTION.fullmatch(piece):
            return spelling(piece)
    return None


# ----------------------------------------------------------------------------------------------- equations


def equality(pieces: list[str], signs: list[str], sides: list[Answer]) -> Answer | None:
    """A chain of equal sides: the value of a name, or one value where all sides are equal; else an equation."""
    names = [name_of(piece, side) for piece, side in zip(pieces, sides, strict=True)]
    if all(names):  # y = x: the first is the name
        names[-1] = None
    first = next((name for name in names if name), None)
    values = [(at, side) for at, (side, name) in enumerate(zip(sides, names, strict=True)) if name is None]
    end = _agreed(signs, values)
    if end is not None:
        return Assignment(first, end) if first else end
    if signs == ["="] and all(isinstance(side, Scalar) and side.tree for side in sides):
        return Equation("=", difference(*sides))  # type: ignore[arg-type]
    return None


def _agreed(signs: list[str], values: list[tuple[int, Answer]]) -> Answer | None:
    """The one value that the sides of a chain have; with its rounding where the chain ends in one."""
    exact = values[0][1]
    rounded: Scalar | None = None
    for at, side in values[1:]:
        if rounded is None and _same(exact, side):
            exact = side
        elif "≈" in signs[:at] and isinstance(exact, Scalar) and isinstance(side, Scalar) and _rounds(exact, side):
            rounded = side
        else:
            return None
    return replace(exact, rounded=rounded) if rounded else exact  # type: ignore[type-var]


def _same(a: Answer, b: Answer) -> bool:
    """Equal, or as far as floats tell where that takes algebra: a chain is judged by the value that it ends in."""
    same = compare(a, b)
    if same is None and isinstance(a, Scalar) and isinstance(b, Scalar):
        x, y = value(a.tree), value(b.tree)
        return x is not None and y is not None and math.isclose(x, y, rel_tol=1e-9)
    return bool(same)


def _rounds(exact: Scalar, decimal: Scalar) -> bool:
    """Whether a decimal is the number, rounded to the digits that it shows or cut behind them."""
    digits = _DECIMAL.fullmatch(decimal.source)
    number, shown = value(exact.tree), value(decimal.tree)
    if digits is None or number is None or shown is None:
        return False
    steps = (abs(number) - abs(shown)) * 10.0 ** len(digits.group(1) or "")
    return number * shown >= 0 and -0.5000001 <= steps < 1


def difference(a: Scalar, b: Scalar) -> Scalar:
    """Left side minus right side."""
    return of_tree(f"{a.source}-({b.source})", ("+", a.tree, negative(b.tree)))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- inequalities


def inequation(name: str, value_: Answer) -> Assignment | None:
    r"""`x \ne 1` and `x \ne \pm 1`: all other real numbers."""
    points = value_.items if isinstance(value_, Group) and value_.kind in ("list", "{}") else (value_,)
    others = combine("∖", REALS, Group("{}", points))
    return None if others is None else Assignment(name, others)


def inequality(signs: list[str], sides: list[Answer]) -> Answer | None:
    """`a < b` or `a < b < c`: the values of the one symbol in it, else two sides compared."""
    if signs[0] in ">≥":
        signs, sides = [_MIRROR[sign] for sign in reversed(signs)], sides[::-1]
    if len(sides) > 3 or not all(isinstance(side, Scalar) and side.tree for side in sides):
        return None
    scalars: list[Scalar] = sides  # type: ignore[assignment]
    steps = list(zip(scalars, signs, scalars[1:], strict=False))
    solved = [_solved(*step) for step in steps]
    if len(steps) == 2 and solved[0] and solved[1] and solved[0].name == solved[1].name:
        both = combine("∩", solved[0].value, solved[1].value)
        if both is not None:
            return None if both == EMPTY else Assignment(solved[0].name, both)
    if len(steps) == 2:
        return _between(signs, scalars)
    return solved[0] or Equation(signs[0], difference(scalars[0], scalars[1]))


def _between(signs: list[str], sides: list[Scalar]) -> Assignment | None:
    """`a < x < b` with ends that are no numbers."""
    name = name_of("", sides[1])
    if not name:
        return None
    kind = ("[" if signs[0] == "≤" else "(") + ("]" if signs[1] == "≤" else ")")
    return Assignment(name, Group(kind, (sides[0], sides[2])))


def _solved(left: Scalar, sign: str, right: Scalar) -> Assignment | None:
    """`left < right` solved for its one symbol; None where it is not linear in it (or in an absolute value of it)."""
    wide = _absolute(left, sign, right)
    if wide is not None:
        return wide
    name, other = name_of("", left), name_of("", right)
    if name and not other and not _mentions(right.tree, name):
        return _half_line(name, sign, right, above=False)
    if other and not name and not _mentions(left.tree, other):
        return _half_line(other, sign, left, above=True)
    gap = difference(left, right)
    symbols = gap.form.symbols() - _CONSTANTS if gap.form else set()
    if len(symbols) != 1 or gap.form is None:
        return None
    (name,) = symbols
    term = (1, ((name, 1),))
    if term not in gap.form.terms or sum(name in dict(powers) for _, powers in gap.form.terms) > 1:
        return None  # x², or x times a root
    factor = gap.form.terms[term]
    rest = {key: -x / factor for key, x in gap.form.terms.items() if key != term}
    bound = tree_of(Form(rest, gap.form.complete))
    return None if bound is None else _half_line(name, sign, of_tree(f"bound of {gap.source}", bound), above=factor < 0)


def _half_line(name: str, sign: str, bound: Scalar, above: bool) -> Assignment:
    if above:
        return Assignment(name, Group("[)" if sign == "≤" else "()", (bound, INFINITY)))
    return Assignment(name, Group("(]" if sign == "≤" else "()", (MINUS_INFINITY, bound)))


def _mentions(tree: Tree | None, name: str) -> bool:
    return tree is not None and (
        tree == ("sym", name) or any(isinstance(part, tuple) and _mentions(part, name) for part in tree[1:])
    )


def _absolute(left: Scalar, sign: str, right: Scalar) -> Assignment | None:
    """`|u| < a` is `-a < u < a`, and `a < |u|` is `u < -a` or `a < u`."""
    for inner, outer, inside in ((left, right, True), (right, left, False)):
        tree: Tree = inner.tree  # type: ignore[assignment]
        limit = outer.form.constant() if outer.form else None
        if tree[:2] == ("fn", "abs") and limit is not None and limit > 0:
            body = of_tree("", tree[2])
            low, high = (of_tree(str(x), ("num", Fraction(x))) for x in (-limit, limit))
            parts = ((low, body), (body, high)) if inside else ((body, low), (high, body))
            solved = [_solved(a, sign, b) for a, b in parts]
            if None in solved:
                return None
            both = combine("∩" if inside else "∪", solved[0].value, solved[1].value)  # type: ignore[union-attr]
            return None if both is None else Assignment(solved[0].name, both)  # type: ignore[union-attr]
    return None


def joined(values: tuple[Answer, ...], separators: str) -> Group | None:
    """What several conditions on one symbol leave of it: `or` joins the sets, `and` and a comma cut them."""
    if not all(isinstance(item, Group) and item.kind in (*INTERVALS, "∪", "{}") for item in values):
        return None
    if "∨" in separators and "∧" in separators:
        return None
    sign = "∪" if "∨" in separators else "∩"
    total: Group | None = values[0]  # type: ignore[assignment]
    for item in values[1:]:
        total = total and combine(sign, total, item)
    if total == EMPTY and "∧" not in separators:
        return None  # x < 1, x > 2: the comma may have meant "or"
    return total
