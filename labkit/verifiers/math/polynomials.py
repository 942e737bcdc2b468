r"""An exact normal form: two expressions with the same one are equal, and in a large family two different ones are not.

A normal form is a sum of terms, each a rational number times the square root of a squarefree whole number times
powers of symbols: `{(radicand, ((symbol, exponent), ...)): coefficient}`. In this family (polynomials, with square
roots of whole numbers, negative powers of single terms, sines of multiples of 15°) it is unique. What lies outside
(other sines, |x|, division by a sum) becomes a symbol of its own: equal forms still mean equal expressions, but
different forms prove nothing, and the form says so by `complete = False`.

Every step is bounded: a power tower, a factorial or a product that grows beyond the limits raises `TooLarge`.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import NamedTuple

from labkit.verifiers.math.expressions import Tree

__all__ = ["Form", "TooLarge", "normal_form", "tree_of"]

Term = tuple[int, tuple[tuple[str, int], ...]]

MAX_TERMS = 200
MAX_BITS = 8_000
"""Bits of a numerator or denominator."""
MAX_EXPONENT = 1_000
MAX_FACTORIAL = 500
TRIALS = 2_000
"""Largest factor that is sought in a number under a square root."""
ONE: Term = (1, ())


class TooLarge(ValueError):
    """A number or expression that is larger than anything an answer needs."""


class Form(NamedTuple):
    """A normal form; `complete` tells whether different forms are certainly different expressions."""

    terms: dict[Term, Fraction]
    complete: bool

    def constant(self) -> Fraction | None:
        """The rational number that it is, or None."""
        if not self.terms:
            return Fraction(0)
        return self.terms[ONE] if self.terms.keys() == {ONE} else None

    def symbols(self) -> set[str]:
        """The symbols in it."""
        return {name for _, powers in self.terms for name, _ in powers}

    def key(self) -> str:
        """The same string for the same form, whatever the order in which it was built."""
        return repr(sorted((r, p, str(c)) for (r, p), c in self.terms.items()))


def tree_of(form: Form) -> Tree | None:
    """An expression that has the form; None where a function stands in it.

    >>> tree_of(Form({(2, ()): Fraction(3)}, True))
    ('+', ('*', ('num', Fraction(3, 1)), ('fn', 'sqrt', ('num', Fraction(2, 1)))))
    """
    terms: list[Tree] = []
    for (radicand, powers), factor in sorted(form.terms.items()):
        if not all(name.isidentifier() for name, _ in powers):
            return None
        root: list[Tree] = [("fn", "sqrt", ("num", Fraction(radicand)))] if radicand != 1 else []
        symbols: list[Tree] = [("^", ("sym", name), ("num", Fraction(power))) for name, power in powers]
        terms.append(("*", ("num", factor), *root, *symbols))
    return ("+", *terms) if terms else ("num", Fraction(0))


def normal_form(tree: Tree) -> Form:
    """The normal form of a tree. Raises TooLarge, and ZeroDivisionError where it divides by zero.

    >>> from labkit.verifiers.math.expressions import read_expression
    >>> a, b = (normal_form(read_expression(text)) for text in ("(x+1)^2", "x^2 + 2x + 1"))
    >>> a == b
    True
    >>> normal_form(read_expression("sqrt(12) / 2")).terms
    {(3, ()): Fraction(1, 1)}
    >>> normal_form(read_expression("9^{9^{9^9}}"))
    Traceback (most recent call last):
    ...
    labkit.verifiers.math.polynomials.TooLarge: a power is too large
    """
    match tree:
        case ("num", value):
            return _number(value)
        case ("sym", name):
            return Form({(1, ((name, 1),)): Fraction(1)}, name != "∞")
        case ("+", *parts):
            return functools.reduce(_add, map(normal_form, parts))
        case ("*", *parts):
            return functools.reduce(_multiply, map(normal_form, parts))
        case ("/", a, b):
            return _multiply(normal_form(a), _invert(normal_form(b)))
        case ("^", a, b):
            return _power(normal_form(a), normal_form(b))
        case ("fn", name, *arguments):
            return _function(name, [normal_form(argument) for argument in arguments])
    raise AssertionError(f"not a tree: {tree!r}")


def _number(value: Fraction) -> Form:
    return Form({ONE: _bounded(value)} if value else {}, True)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge("a number is too large")
    return value


def _add(a: Form, b: Form) -> Form:
    terms = dict(a.terms)
    for term, value in b.terms.items():
        total = _bounded(terms.get(term, Fraction(0)) + value)
        if total:
            terms[term] = total
        else:
            terms.pop(term, None)
    return _checked(terms, a.complete and b.complete)


def _checked(terms: dict[Term, Fraction], complete: bool) -> Form:
    if len(terms) > MAX_TERMS:
        raise TooLarge(f"an expression has more than {MAX_TERMS} terms")
    return Form(terms, complete)


def _multiply(a: Form, b: Form) -> Form:
    if len(a.terms) * len(b.terms) > 10 * MAX_TERMS:
        raise TooLarge("a product has too many terms")
    terms: dict[Term, Fraction] = {}
    for (r, p), x in a.terms.items():
        for (s, q), y in b.terms.items():
            common = math.gcd(r, s)  # √r √s = common · √(r s / common²), and that is squarefree again
            term, sign = _merge(p, q)
            key = ((r // common) * (s // common), term)
            total = _bounded(terms.get(key, Fraction(0)) + sign * x * y * common)
            if total:
                terms[key] = total
            else:
                terms.pop(key, None)
    return _checked(terms, a.complete and b.complete)


def _merge(p: tuple[tuple[str, int], ...], q: tuple[tuple[str, int], ...]) -> tuple[tuple[tuple[str, int], ...], int]:
    """The product of two lists of powers, and a sign: i² = -1."""
    if not p or not q:
        return p or q, 1
    powers = dict(p)
    for name, exponent in q:
        powers[name] = powers.get(name, 0) + exponent
    sign = 1
    if "i" in powers:
        turns = powers["i"] % 4
        powers["i"], sign = turns % 2, -1 if turns >= 2 else 1
    if any(abs(exponent) > MAX_EXPONENT for exponent in powers.values()):
        raise TooLarge("a power is too large")
    return tuple(sorted((name, exponent) for name, exponent in powers.items() if exponent)), sign


def _invert(a: Form) -> Form:
    if not a.terms:
        raise ZeroDivisionError("division by zero")
    if len(a.terms) == 2 and a.symbols() <= {"i"}:
        # 1/(u + v) = (u - v)/(u² - v²): for two numbers with square roots, or with i, the divisor is rational
        (one, x), (other, y) = a.terms.items()
        conjugate = Form({one: x, other: -y}, a.complete)
        divisor = _multiply(a, conjugate)
        if divisor.constant():
            return _multiply(conjugate, _invert(divisor))
    if len(a.terms) > 1:
        # The leading coefficient is taken out, so that 1/(2x+2) and (1/2)/(x+1) are the same.
        lead = max(a.terms.items(), key=lambda item: item[0])[1]
        scaled = Form({term: value / lead for term, value in a.terms.items()}, a.complete)
        return Form({(1, ((f"1/{scaled.key()}", 1),)): 1 / lead}, False)
    ((radicand, powers), value), *_ = a.terms.items()
    inverse, sign = _merge((), tuple((name, -exponent) for name, exponent in powers))
    if dict(powers).get("i"):  # 1/i = -i
        inverse = tuple((name, 1 if name == "i" else exponent) for name, exponent in inverse)
        sign = -1
    # 1/√r = √r / r
    return Form({(radicand, inverse): _bounded(sign / (value * radicand))}, a.complete)


def _power(base: Form, exponent: Form) -> Form:
    power = exponent.constant()
    number = base.constant()
    if number in (0, 1) and power is not None and power > 0:
        return base
    if power is not None and power.denominator == 1:
        return _whole_power(base, int(power))
    if power == Fraction(1, 2):
        return _root(base)
    if number is not None and power is not None and abs(power) > MAX_EXPONENT:
        raise TooLarge("a power is too large")
    if exponent.key().count("^(") > 1:
        raise TooLarge("a tower of powers is too large")
    return _opaque("^", [base, exponent])


def _whole_power(base: Form, power: int) -> Form:
    if abs(power) > MAX_EXPONENT:
        raise TooLarge("a power is too large")
    if power == 0 and not base.terms:
        return _opaque("0^0", [])
    if power < 0:
        return _whole_power(_invert(base), -power)
    number = base.constant()
    if number is not None:
        if power * max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
            raise TooLarge("a power is too large")
        return _number(number**power)
    result, square = _number(Fraction(1)), base
    while power:
        if power & 1:
            result = _multiply(result, square)
        power >>= 1
        if power:
            square = _multiply(square, square)
    return result


def _root(base: Form) -> Form:
    """The square root; of a rational number it is a rational times the root of a squarefree number."""
    value = base.constant()
    if value is None:
        return _opaque("sqrt", [base])
    if value == 0:
        return base
    outside, inside = _squares(abs(value.numerator) * value.denominator)
    if inside is None:
        return _opaque("sqrt", [base])
    powers: tuple[tuple[str, int], ...] = (("i", 1),) if value < 0 else ()
    return Form({(inside, powers): Fraction(outside, value.denominator)}, True)


def _squares(n: int) -> tuple[int, int | None]:
    """n = outside² · inside with inside squarefree; inside is None where that would take too long to find."""
    whole = math.isqrt(n)
    if whole * whole == n:
        return whole, 1
    if n.bit_length() > 256:
        return 1, None
    outside, inside, k = 1, 1, 2
    while k * k <= n and k <= TRIALS:
        count = 0
        while n % k == 0:
            n //= k
            count += 1
        outside *= k ** (count // 2)
        inside *= k ** (count % 2)
        k += 1 if k == 2 else 2
    rest = math.isqrt(n)
    if rest * rest == n:
        return outside * rest, inside
    # What is left has only factors beyond TRIALS; below its cube, a square inside would have been all of it.
    return (outside, inside * n) if n < TRIALS**3 else (1, None)


def _function(name: str, arguments: list[Form]) -> Form:
    if name in _SINES:
        return _trigonometric(name, arguments[0])
    values = [argument.constant() for argument in arguments]
    first = values[0]
    match name:
        case "sqrt":
            return _root(arguments[0])
        case "abs" if first is not None:
            return _number(abs(first))
        case "floor" if first is not None:
            return _number(Fraction(math.floor(first)))
        case "ceiling" if first is not None:
            return _number(Fraction(math.ceil(first)))
        case "exp":
            return _power(Form({(1, (("e", 1),)): Fraction(1)}, True), arguments[0])
        case "log" if first == 1:
            return _number(Fraction(0))
        case "log" if arguments[0].terms == {(1, (("e", 1),)): Fraction(1)}:
            return _number(Fraction(1))
        case "factorial" | "factorial2" if first is not None:
            if first > MAX_FACTORIAL:
                raise TooLarge("a factorial is too large")
            if first >= 0 and first.denominator == 1:
                step = 1 if name == "factorial" else 2
                return _number(Fraction(math.prod(range(int(first), 0, -step))))
        case "binom":
            return _binomial(*arguments)
    return _opaque(name, arguments)


def _binomial(top: Form, bottom: Form) -> Form:
    """A number; for a small `bottom` a polynomial in `top`; else a quotient of factorials."""
    n, k = top.constant(), bottom.constant()
    if max(abs(n or 0), abs(k or 0)) > MAX_FACTORIAL:
        raise TooLarge("a binomial is too large")
    if k is not None and k.denominator == 1 and 0 <= k <= (6 if n is None else MAX_FACTORIAL):
        if n is not None and n >= 0 and n.denominator == 1:
            return _number(Fraction(math.comb(int(n), int(k))))
        factors = [_add(top, _number(Fraction(-j))) for j in range(int(k))]
        return functools.reduce(_multiply, factors, _number(Fraction(1, math.factorial(int(k)))))
    rest = _add(top, _multiply(_number(Fraction(-1)), bottom))
    below = _multiply(_function("factorial", [bottom]), _function("factorial", [rest]))
    return _multiply(_function("factorial", [top]), _invert(below))


_HALF, _QUARTER = Fraction(1, 2), Fraction(1, 4)
_SINE = [
    {},
    {(6, ()): _QUARTER, (2, ()): -_QUARTER},
    {ONE: _HALF},
    {(2, ()): _HALF},
    {(3, ()): _HALF},
    {(6, ()): _QUARTER, (2, ()): _QUARTER},
    {ONE: Fraction(1)},
]
"""sin 0°, sin 15°, ..., sin 90°."""
_STEPS = {"arcsin": range(-6, 7), "arccos": range(13), "arctan": range(-5, 6)}
"""The multiples of 15° that each inverse function gives."""
_SINES = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", *_STEPS})
_PI: Term = (1, (("pi", 1),))


def _trigonometric(name: str, argument: Form) -> Form:
    """Exact at the multiples of 15° (and back from them), a symbol elsewhere. Raises ZeroDivisionError at a pole."""
    if name.startswith("arc"):
        for steps in _STEPS[name]:
            if _at(name.removeprefix("arc"), steps).terms == argument.terms:
                return Form({_PI: Fraction(steps, 12)} if steps else {}, True)
        return _opaque(name, [argument])
    turns = argument.terms.get(_PI, Fraction(0)) * 12
    if argument.terms.keys() - {_PI} or turns.denominator > 1:
        return _opaque(name, [argument])
    return _at(name, int(turns))


def _at(name: str, steps: int) -> Form:
    """A trigonometric function at so many times 15°."""
    match name:
        case "sin":
            turn = steps % 24
            sign, place = (1, turn) if turn <= 12 else (-1, turn - 12)
            return Form({term: sign * x for term, x in _SINE[min(place, 12 - place)].items()}, True)
        case "cos":
            return _at("sin", steps + 6)
        case "tan":
            return _multiply(_at("sin", steps), _invert(_at("cos", steps)))
        case "cot":
            return _multiply(_at("cos", steps), _invert(_at("sin", steps)))
        case "sec":
            return _invert(_at("cos", steps))
    return _invert(_at("sin", steps))


def _opaque(name: str, arguments: list[Form]) -> Form:
    """A symbol that stands for a function of these forms."""
    label = f"{name}({', '.join(argument.key() for argument in arguments)})"
    if len(label) > 4_000:
        raise TooLarge("an expression is too large")
    return Form({(1, ((label, 1),)): Fraction(1)}, False)
