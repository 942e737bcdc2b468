r"""Sets put together: unions, intersections and differences of intervals and of sets of items.

Real sets are worked out: `[1, 3] \cap (2, 5)` is `(2, 3]`, `\mathbb{R} \setminus \{1\}` is `(-\infty, 1) \cup (1,
\infty)`, and `(0, 1] \cup (1, 2)` is `(0, 2)`. The ends are compared by their values where those are clearly apart, and
are the same where their normal forms are; where neither tells, and where an end has a symbol, nothing is worked out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from labkit.verifiers.math.kinds import EMPTY, INFINITY, INTERVALS, MINUS_INFINITY, Answer, Group, Scalar
from labkit.verifiers.math.values import value

__all__ = ["combine"]

CLOSE = 1e-9
"""Relative distance below which two ends are not told apart by their values."""


class _Undecided(ValueError):
    """It is not known which of two ends is larger."""


class _End(NamedTuple):
    """An end of an interval, with its value. `side`: just below the number (-1) or just above it (1)."""

    number: Scalar
    value: float
    side: int


class _Piece(NamedTuple):
    """From `low` to `high`: `(a, b]` goes from just above a to just above b, `[a, b)` from just below a."""

    low: _End
    high: _End


def combine(sign: str, a: Answer, b: Answer) -> Group | None:
    r"""`a ∪ b`, `a ∩ b` or `a ∖ b` worked out; None where that is not possible.

    >>> from labkit.verifiers.math.answers import read_answer
    >>> [i.source for i in combine("∩", read_answer("[1,3]"), read_answer("(2,5)")).items]
    ['2', '3']
    """
    if sign == "∪" and all(isinstance(side, Group) and side.kind == "{}" for side in (a, b)):
        return Group("{}", (*a.items, *b.items))  # type: ignore[union-attr]
    try:
        first, second = _pieces(a), _pieces(b)
        if first is None or second is None:
            return None
        if sign == "∪":
            return _group(_merged([*first, *second]))
        if sign == "∖":
            second = _outside(_merged(second))
        both = [_Piece(_larger(x.low, y.low), _smaller(x.high, y.high)) for x in first for y in second]
        return _group(_merged([piece for piece in both if _less(piece.low, piece.high)]))
    except _Undecided:
        return None


def _pieces(answer: Answer) -> list[_Piece] | None:
    """The pieces of a set of real numbers; None for any other answer."""
    if not isinstance(answer, Group):
        return None
    if answer.kind == "∪":
        found = [_pieces(item) for item in answer.items]
        return None if None in found else [piece for pieces in found for piece in pieces]  # type: ignore[union-attr]
    if answer.kind == "{}":
        points = [(_end(item, -1), _end(item, 1)) for item in answer.items]
    elif answer.kind in INTERVALS and len(answer.items) == 2:
        sides = -1 if answer.kind[0] == "[" else 1, 1 if answer.kind[1] == "]" else -1
        points = [(_end(answer.items[0], sides[0]), _end(answer.items[1], sides[1]))]
    else:
        return None
    if any(low is None or high is None for low, high in points):
        return None
    return [_Piece(low, high) for low, high in points if _less(low, high)]  # type: ignore[arg-type]


def _end(item: Answer, side: int) -> _End | None:
    number = value(item.tree) if isinstance(item, Scalar) else None
    return None if number is None else _End(item, number, side)  # type: ignore[arg-type]


def _less(a: _End, b: _End) -> bool:
    """Whether an end lies before another."""
    if a.number is b.number or (a.number.form is not None and a.number.form == b.number.form):
        return a.side < b.side
    if (
        math.isinf(a.value)
        or math.isinf(b.value)
        or abs(a.value - b.value) > CLOSE * max(1.0, min(abs(a.value), abs(b.value)))
    ):
        return a.value < b.value
    raise _Undecided


def _larger(a: _End, b: _End) -> _End:
    return b if _less(a, b) else a


def _smaller(a: _End, b: _End) -> _End:
    return a if _less(a, b) else b


def _merged(pieces: list[_Piece]) -> list[_Piece]:
    """The same set as pieces that do not touch, from left to right."""
    done: list[_Piece] = []
    for piece in pieces:
        before = [other for other in done if _less(other.high, piece.low)]
        behind = [other for other in done if _less(piece.high, other.low)]
        for other in done[len(before) : len(done) - len(behind)]:
            piece = _Piece(_smaller(piece.low, other.low), _larger(piece.high, other.high))
        done = [*before, piece, *behind]
    return done


def _outside(pieces: list[_Piece]) -> list[_Piece]:
    """The real numbers that lie in none of the pieces."""
    left, right = _End(MINUS_INFINITY, -math.inf, 1), _End(INFINITY, math.inf, -1)
    ends = [left, *(end for piece in pieces for end in piece), right]
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return [_Piece(low, high) for low, high in pairs if _less(low, high)]


def _group(pieces: list[_Piece]) -> Group:
    if not pieces:
        return EMPTY
    points = tuple(piece.low.number for piece in pieces if piece.low.number == piece.high.number)
    ranges = [
        Group("[("[piece.low.side > 0] + ")]"[piece.high.side > 0], (piece.low.number, piece.high.number))
        for piece in pieces
        if piece.low.number != piece.high.number
    ]
    parts = [*ranges, *([Group("{}", points)] if points else [])]
    return parts[0] if len(parts) == 1 else Group("∪", tuple(parts))
