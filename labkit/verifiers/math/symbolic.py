r"""Equality that takes algebra: sympy, called in a worker process that is killed when it takes too long.

`decide` never sees a model's text as code: sympy objects are built from the trees of `expressions`, node by node, so
sympy's own parser, which executes Python, is not involved. LaTeX outside that grammar (integrals, sums, limits, floors)
is read by math-verify's LaTeX parser, after `readable` has let it through.

Two expressions are equal when their difference simplifies to 0, or is 0 to more digits than both texts together could
hold at eight points, negative ones among them (where one side is not real, as with `\sqrt x` left of 0, the point is
left out as long as others remain). A decimal is exact here too, so it never equals a root that it approximates.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from labkit.verifiers.math.expressions import Tree, Unreadable, read_expression
from labkit.verifiers.math.polynomials import TooLarge, normal_form
from labkit.verifiers.score import Score

__all__ = ["decide", "oversized", "readable"]

MAX_FACTORS = 1_000
"""Factors of a product that may be multiplied out."""

Side = Tree | str

_COMMANDS = frozenset(
    "int sum prod lim lfloor rfloor lceil rceil bmod mod pmod to infty frac sqrt sin cos tan cot sec csc log ln exp pi "
    "theta alpha beta binom cdot times max min gcd det partial".split()
)
_BEYOND = frozenset("int sum prod lim lfloor lceil bmod mod pmod max min gcd".split())
_FOREIGN = re.compile(r"[^A-Za-z0-9\\{}()\[\]|+\-*/^_=.,!<>∞ ]|[0-9]{16}|_ ?_|\^ ?\^")
_PRODUCT = re.compile(r"\\prod(?![A-Za-z])(?:\\limits)? ?")
_BOUND = re.compile(r" ?(?P<sign>[_^]) ?(?:\{(?P<braced>(?:[^{}]|\{[^{}]*\})*)\}|(?P<one>[0-9A-Za-z]))")
_POINTS = ("-7/3", "11/7", "-5/11", "13/4", "3/13", "-17/9", "29/8", "2/23")


def readable(source: str) -> bool:
    r"""Whether a tidied text that the grammar of `expressions` refuses may be given to the LaTeX parser.

    >>> readable(r"\int_0^1 x^2 dx"), readable("__import__('os')"), readable("x"), readable(r"\lfloor 2 \rfloor" + "{")
    (True, False, False, False)
    """
    if len(source) > 200 or _FOREIGN.search(source) or source.count("^") > 8 or oversized(source):
        return False
    commands = set(re.findall(r"\\([A-Za-z]+)", source))
    return commands <= _COMMANDS and bool(commands & _BEYOND) and source.count("{") == source.count("}")


def oversized(source: str) -> str:
    r"""Why a text is refused by its size: a product whose factors are too many to be multiplied; "" for all others.

    >>> oversized(r"\prod_{i=1}^{10^9} i"), oversized(r"\prod_{i=1}^{5} i"), oversized(r"\prod_{i=1}^{n} i")
    ('a product has more than 1000 factors', '', '')
    """
    for product in _PRODUCT.finditer(source):
        bounds = {}
        end = product.end()
        while len(bounds) < 2 and (bound := _BOUND.match(source, end)):
            bounds[bound["sign"]] = bound["braced"] or bound["one"] or ""
            end = bound.end()
        try:
            low, high = (_number(bounds.get(sign, "").rpartition("=")[2]) for sign in "_^")
        except TooLarge:
            return f"a product has more than {MAX_FACTORS} factors"
        if low is not None and high is not None and high - low >= MAX_FACTORS:
            return f"a product has more than {MAX_FACTORS} factors"
    return ""


def _number(text: str) -> Fraction | None:
    """A bound that is a number. Raises TooLarge for one beyond all measure."""
    try:
        return normal_form(read_expression(text)).constant()
    except (Unreadable, ZeroDivisionError, RecursionError):
        return None


def decide(relation: str, sides: tuple[Side, Side]) -> Score:
    """Reward 1 when the sides are equal ("") or say the same as `side = 0`, `side < 0`, `side <= 0`; else 0."""
    a, b = (_build(side) for side in sides)
    if relation:
        return _verdict(_proportional(a, b, positive=relation != "="))
    return _verdict(_equal(a, b, digits=min(sum(len(repr(side)) for side in sides), 1000) + 50))


def _prepare() -> None:
    """Import the packages before the clock runs."""
    _build(r"\int_0^1 x dx")


decide.needs_worker = True  # type: ignore[attr-defined]
decide.prepare_worker = _prepare  # type: ignore[attr-defined]


def _verdict(same: bool) -> Score:
    return Score(float(same), "equal" if same else "not equal")


def _build(side: Side) -> Any:
    """The sympy object of a tree or of a LaTeX text. Raises ValueError for a text that is not mathematics."""
    if not isinstance(side, str):
        return _from_tree(side)
    import logging

    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # None is its own word for no alarm: an alarm works in a main thread alone, and the worker has its own limit.
    found = parse(f"${side.replace('∞', chr(92) + 'infty ')}$", [LatexExtractionConfig()], parsing_timeout=None)  # pyright: ignore[reportArgumentType]
    if not found or isinstance(found[0], str):
        raise ValueError("not readable as mathematics")
    return found[0].doit()


def _from_tree(tree: Tree) -> Any:
    import sympy

    match tree:
        case ("num", value):
            return sympy.Rational(value.numerator, value.denominator)
        case ("sym", name):
            return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "∞": sympy.oo}.get(name) or sympy.Symbol(name)
        case ("+", *parts):
            return sympy.Add(*map(_from_tree, parts))
        case ("*", *parts):
            return sympy.Mul(*map(_from_tree, parts))
        case ("/", a, b):
            return _from_tree(a) / _from_tree(b)
        case ("^", a, b):
            return _from_tree(a) ** _from_tree(b)
        case ("fn", str(name), *arguments):
            aliases = {
                "arcsin": "asin",
                "arccos": "acos",
                "arctan": "atan",
                "arccot": "acot",
                "abs": "Abs",
                "binom": "binomial",
            }
            return getattr(sympy, aliases.get(name, name))(*(_from_tree(argument) for argument in arguments))
    raise ValueError(f"not a tree: {tree!r}")


def _equal(a: Any, b: Any, digits: int) -> bool:
    import sympy

    difference = a - b
    if difference == 0:
        return True
    if difference.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return False
    symbols = sorted(difference.free_symbols, key=str)
    for real_only in (True, False) if symbols else (False,):
        agreed = 0
        for k in range(len(_POINTS) if symbols else 1):
            at = {s: sympy.Rational(_POINTS[(k + 3 * n) % len(_POINTS)]) + n for n, s in enumerate(symbols)}
            same = _equal_at(a, b, at, digits, real_only)
            if same is False:
                return False
            agreed += same is True
        if agreed >= (2 if symbols else 1):
            return True
    return bool(sympy.simplify(difference) == 0)


def _equal_at(a: Any, b: Any, at: dict[Any, Any], digits: int, real_only: bool) -> bool | None:
    """Whether two expressions agree to so many digits at a point; None where one is not a (real) number there."""
    import sympy

    for precision in (15, digits):  # most unequal pairs are told apart by the first
        # evalf puts the point in as floats: 9^(x^9) at a fraction would be a number of a million digits.
        first, second = (sympy.sympify(side).evalf(precision + 15, subs=at) for side in (a, b))
        if not all(v.is_number and v.is_finite for v in (first, second)):
            return None
        if real_only and not (first.is_real and second.is_real):
            return None
        scale = max(1, abs(first), abs(second))
        if abs(first - second) > scale * sympy.Float(10, precision + 15) ** -precision:
            return False
    return True


def _proportional(a: Any, b: Any, positive: bool) -> bool:
    """Whether a = c · b for a number c that is not 0 (or, for inequalities, above 0)."""
    import sympy

    if a == 0 or b == 0:
        return a == b
    factor = sympy.simplify(a / b)
    if not factor.is_number or factor == 0 or factor.has(sympy.nan, sympy.zoo):
        return False
    return bool(factor > 0) if positive and factor.is_real else not positive
