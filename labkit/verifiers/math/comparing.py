r"""Whether two answers are the same, as far as their structure and exact normal forms tell.

Brackets, order, lengths, relation signs and units are settled here; expressions by their normal forms. What is left
open is asked of an `oracle`, and the result is None where it does not know: three-valued logic, so that one false
item makes a tuple false whatever the others are. Every rule treats its two sides alike.

- Rounding: none. A decimal is an exact number: 1.414 is not `\sqrt2`, and 0.333 is not 1/3 (but 0.333... is). An
  answer that gives both, `\sqrt2 \approx 1.414`, is right for either.
- `(1,2)`, `(1,2]` and `[1,2]` differ, and so do a set, a tuple and a matrix. A list without brackets is the set of its
  items (`1, 2` is `\{2, 1\}` and `2, 1`), and the tuple of them (`1, 2` is `(1, 2)`). A set of one item is that item.
- `x = 5` is 5, and `f(x) = x^2` is `x^2`; `x = 5` is not `y = 5`. Equations are compared up to a factor.
- `x > 2` is `(2, \infty)`, `x \ne 3` and `\mathbb{R} \setminus \{3\}` are a union of two intervals.
- Per cent: `50%` is 50 and is 1/2, for it is written for both; two per cents are compared as written.
- Degrees: `60°` is 60 and is π/3 for the same reason; inside a sine the sign is the number π/180, so `\cos 60°` is 1/2
  and not `\cos 60`.
- Units count when both sides have one that is known; nothing is converted. Words that count are part of the number:
  5 million is 5000000 and not 5.
- A number in another base is its digits and its base: `101_2` is neither 101 nor 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

from labkit.verifiers.math.expressions import Tree, in_radians, negative
from labkit.verifiers.math.kinds import (
    INFINITY,
    INTERVALS,
    MINUS_INFINITY,
    Answer,
    Assignment,
    Equation,
    Group,
    Scalar,
    Words,
    of_tree,
)
from labkit.verifiers.math.measures import same_unit
from labkit.verifiers.math.polynomials import Form

__all__ = ["Oracle", "compare", "scaled", "settle"]

Oracle = Callable[[str, Scalar, Scalar], bool | None]
"""`oracle(relation, a, b)`: are two expressions equal (relation ""), or `a = 0`, `b = 0` the same ("=", "<", "≤")?"""


def settle(relation: str, a: Scalar, b: Scalar) -> bool | None:
    """The oracle that knows normal forms alone: None where they prove nothing."""
    if a.source == b.source:
        return True
    if a.tree is None or b.tree is None:
        return None
    if "∞" in a.source or "∞" in b.source:
        return a.tree == b.tree
    if a.form is None or b.form is None:  # too large, or undefined: equal to what is spelt alike and to nothing else
        return False
    if scaled(a.form, relation) == scaled(b.form, relation):
        return True
    return False if a.form.complete and b.form.complete else None


def scaled(form: Form, relation: str) -> dict:
    """The terms; of an equation up to a factor, of an inequality up to a positive one."""
    if not relation or not form.terms:
        return form.terms
    lead = form.terms[max(form.terms)]
    factor = lead if relation == "=" else abs(lead)
    return {term: value / factor for term, value in form.terms.items()}


def compare(a: Answer, b: Answer, oracle: Oracle = settle) -> bool | None:
    r"""Whether two answers are the same; None where the oracle is needed and does not know.

    >>> from labkit.verifiers.math.answers import read_answer
    >>> def same(a, b): return compare(read_answer(a), read_answer(b))
    >>> same("x=5", "5"), same(r"\{2, 1\}", "1, 2"), same("(1,2)", "(1,2]"), same(r"\frac1{\sqrt2}", r"\frac{\sqrt2}2")
    (True, True, False, True)
    >>> same(r"\sin 2x", r"2 \sin x \cos x") is None
    True
    """
    if a == b:
        return True
    match a, b:
        case Assignment(), Assignment():
            return _assignments(a, b, oracle)
        case (Assignment(), Equation()) | (Equation(), Assignment()):
            named, equation = (a, b) if isinstance(a, Assignment) else (b, a)
            as_equation = _as_equation(named)  # type: ignore[arg-type]
            return as_equation is not None and compare(as_equation, equation, oracle)
        case Assignment(), _:
            return compare(a.value, b, oracle)
        case _, Assignment():
            return compare(a, b.value, oracle)
        case Equation(), Equation():
            return a.relation == b.relation and oracle(a.relation, a.left, b.left)
        case Words(), Words():
            return a.text == b.text
        case (Words(), Scalar()) | (Scalar(), Words()):
            words, scalar = (a, b) if isinstance(a, Words) else (b, a)
            return words.text.replace(" ", "") == scalar.source.casefold()  # type: ignore[union-attr]
        case Scalar(), Scalar():
            return _scalars(a, b, oracle)
        case Group(), Group():
            return _groups(a, b, oracle)
        case (Group(), Scalar() | Words()) | (Scalar() | Words(), Group()):
            group, single = (a, b) if isinstance(a, Group) else (b, a)
            alone = group.kind in ("{}", "list") and len(group.items) == 1  # type: ignore[union-attr]
            return alone and compare(group.items[0], single, oracle)  # type: ignore[union-attr]
    return False


def _all(results: Iterable[bool | None]) -> bool | None:
    unknown = False
    for result in results:
        if result is False:
            return False
        unknown |= result is None
    return None if unknown else True


def _any(results: Iterable[bool | None]) -> bool | None:
    unknown = False
    for result in results:
        if result:
            return True
        unknown |= result is None
    return None if unknown else False


# ---------------------------------------------------------------------------------------------- relations


def _assignments(a: Assignment, b: Assignment, oracle: Oracle) -> bool | None:
    if a.name == b.name:
        return compare(a.value, b.value, oracle)
    if a.name.startswith("(") or b.name.startswith("("):  # (x, y) = and (y, x) =
        return False
    if len(a.name) > 1 or len(b.name) > 1:  # a word, f(x): another name for the same quantity
        return compare(a.value, b.value, oracle)
    first, second = _as_equation(a), _as_equation(b)
    return first is not None and second is not None and compare(first, second, oracle)


def _as_equation(named: Assignment) -> Equation | None:
    """`y = 2x` as `y - 2x = 0`, and y in `(2x, ∞)` as `2x - y < 0`."""
    value = named.value
    if len(named.name.partition("_")[0]) > 1:
        return None
    if isinstance(value, Scalar) and value.form is not None:
        term = (1, ((named.name, 1),))
        terms = {key: -coefficient for key, coefficient in value.form.terms.items()}
        terms[term] = terms.get(term, Fraction(0)) + 1
        form = Form({key: coefficient for key, coefficient in terms.items() if coefficient}, value.form.complete)
        tree = ("+", ("sym", named.name), negative(value.tree))  # type: ignore[arg-type]
        return Equation("=", Scalar(f"{named.name}-({value.source})", tree, form))
    if isinstance(value, Group) and value.kind in INTERVALS and len(value.items) == 2:
        low, high = value.items
        symbol = ("sym", named.name)
        if low == MINUS_INFINITY and isinstance(high, Scalar) and high.tree:
            left = of_tree(f"{named.name}-({high.source})", ("+", symbol, negative(high.tree)))
            return Equation("≤" if value.kind[1] == "]" else "<", left)
        if high == INFINITY and isinstance(low, Scalar) and low.tree:
            left = of_tree(f"{low.source}-{named.name}", ("+", low.tree, negative(symbol)))
            return Equation("≤" if value.kind[0] == "[" else "<", left)
    return None


# ---------------------------------------------------------------------------------- scalars, and groups of them


def _scalars(a: Scalar, b: Scalar, oracle: Oracle) -> bool | None:
    if a.rounded or b.rounded:
        sides = [[side, *([side.rounded] if side.rounded else [])] for side in (a, b)]
        return _any(_plain(x, y, oracle) for x in sides[0] for y in sides[1])
    return _plain(a, b, oracle)


def _plain(a: Scalar, b: Scalar, oracle: Oracle) -> bool | None:
    if not (a.unit or b.unit):
        return oracle("", a, b)
    readings = [oracle("", a, b) if not a.unit or not b.unit or same_unit(a.unit, b.unit) else False]
    for one, other in ((a, b), (b, a)):
        if one.unit.startswith("%") and not other.unit:
            readings.append(oracle("", _times(one, _HUNDREDTH), other))
        elif one.unit == "degree" and other.unit in ("", "rad"):
            readings.append(oracle("", _times(one, _DEGREE), other))
        elif one.product and not other.unit:
            readings.append(oracle("", one.product, other))
    return _any(readings)


_HUNDREDTH: Tree = ("num", Fraction(1, 100))
_DEGREE = in_radians(("num", Fraction(1)))


def _times(a: Scalar, factor: Tree) -> Scalar:
    if a.tree is None or a.form is None:
        return Scalar(f"({a.source})*{factor}")
    return of_tree(f"({a.source})*{factor}", ("*", a.tree, factor))


def _groups(a: Group, b: Group, oracle: Oracle) -> bool | None:
    if _are_named(a) != _are_named(b) and len(a.items) == len(b.items):  # x = 1, y = 2 has an order
        return a.kind != "matrix" != b.kind and _all(
            compare(x, y, oracle) for x, y in zip(a.items, b.items, strict=True)
        )
    if {a.kind, b.kind} <= {"list", "{}"}:
        if a.kind == b.kind == "list" and len(a.items) != len(b.items):
            return False
        return _same_items(a, b, oracle)
    if a.kind == b.kind and a.kind in "∪∩":
        return _same_items(a, b, oracle) if len(a.items) == len(b.items) else False
    if a.kind == b.kind or {a.kind, b.kind} == {"list", "()"}:
        if a.shape != b.shape or len(a.items) != len(b.items):
            return False
        return _all(compare(x, y, oracle) for x, y in zip(a.items, b.items, strict=True))
    for one, other in ((a, b), (b, a)):  # a set of one interval is no interval, but x in {(1,2)} is a tuple in a set
        if one.kind in ("{}", "list") and len(one.items) == 1 and one.kind != other.kind:
            return compare(one.items[0], other, oracle)
    return False


def _are_named(group: Group) -> bool:
    return len(group.items) > 1 and all(isinstance(item, Assignment) for item in group.items)


def _same_items(a: Group, b: Group, oracle: Oracle) -> bool | None:
    """Each item of one is in the other, both ways."""
    if bool(a.items) != bool(b.items):
        return False
    table = [[compare(x, y, oracle) for y in b.items] for x in a.items]
    rows, columns = table, list(zip(*table, strict=True))
    return _all([*(_any(row) for row in rows), *(_any(column) for column in columns)])
