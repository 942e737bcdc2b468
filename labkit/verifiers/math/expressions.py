r"""A small grammar for mathematical expressions, as people and models write them: text to a tree, or a refusal.

The tree is nested tuples: `("num", Fraction)`, `("sym", name)`, `("+", a, b, ...)`, `("*", a, b, ...)`, `("/", a, b)`,
`("^", a, b)`, `("fn", name, arguments...)`. Nothing is evaluated here and nothing is given to a parser that could: what
is not in the grammar is `Unreadable`. Length and depth are bounded, and the time is linear in the text.

Readings where people differ: `1/2x` is (1/2)x; `\log` is natural; `x^23` is x to the 23; `3\frac12` is three and a
half; letters in a row are a product (`ab` is a times b), but for the names of functions; `2e3` is 2000;
`\sin^{-1} x` is the inverse function; a degree sign is the number π/180; `5!!` is 5 · 3 · 1; a number stands right
behind another factor only where one of them has a power or a factorial (`2^3 5^2`, `5!7!`); upright letters are
letters (`\mathrm{e}` is e).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from labkit.verifiers.math.tokens import FUNCTIONS, GREEK, Unreadable, tokens

__all__ = ["MAX_DEPTH", "Tree", "Unreadable", "in_radians", "negative", "read_expression"]

Tree = tuple[Any, ...]

MAX_DEPTH = 40
MAX_CHAIN = 40
"""Divisions and factorial signs: each makes the tree one deeper, so that walking it stays within Python's stack."""

_ROUNDING = {"lfloor": ("floor", "\\rfloor"), "lceil": ("ceiling", "\\rceil")}
_STARTS_NO_FACTOR = frozenset("+-*/^_)}][!°'%") | {"\\choose", "\\over", "\\rfloor", "\\rceil"}
_OPENERS = {"(": ")", "{": "}", "[": "]"}


def read_expression(text: str) -> Tree:
    r"""The tree of an expression. Raises Unreadable, and nothing else.

    >>> read_expression(r"\frac12 x")
    ('*', ('num', Fraction(1, 2)), ('sym', 'x'))
    >>> read_expression(r"11\frac{1}{2}")
    ('num', Fraction(23, 2))
    >>> read_expression("2^{10}")
    ('^', ('num', Fraction(2, 1)), ('num', Fraction(10, 1)))
    >>> read_expression("__import__('os')")
    Traceback (most recent call last):
    ...
    labkit.verifiers.math.tokens.Unreadable: '_' is not expected here
    """
    reader = _Reader(text)
    tree = reader.choice()
    if reader.peek() is not None:
        raise Unreadable(f"{reader.peek()!r} is not expected here")
    return tree


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0
        self.chain = 0
        self.bars = 0
        self.raised = -1

    def peek(self, ahead: int = 0) -> str | None:
        place = self.at + ahead
        return self.tokens[place][1] if place < len(self.tokens) else None

    def kind(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place][0] if place < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        if token is None:
            raise Unreadable("it ends too early")
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if self.next() != token:
            raise Unreadable(f"{token!r} is missing")

    def choice(self) -> Tree:
        r"""A sum, or two of them with `\choose` (a binomial coefficient) or `\over` (a fraction) between them."""
        tree = self.sum()
        if self.peek() in ("\\choose", "\\over"):
            sign = self.next()
            right = self.sum()
            tree = ("fn", "binom", tree, right) if sign == "\\choose" else ("/", tree, right)
        return tree

    def sum(self) -> Tree:
        tree = self.product()
        while self.peek() in ("+", "-"):
            sign = self.next()
            right = self.product()
            tree = _join("+", tree, right if sign == "+" else negative(right))
        return tree

    def product(self) -> Tree:
        tree = self.signed()
        while True:
            token = self.peek()
            if token == "*":
                self.next()
                tree = _join("*", tree, self.signed())
            elif token == "/":
                self.longer()
                self.next()
                tree = ("/", tree, self.signed())
            elif self.starts_factor():
                if self.kind() == "number" and not self.is_power():
                    raise Unreadable("a number stands right behind another factor")
                tree = _join("*", tree, self.power())
            else:
                return tree

    def starts_factor(self) -> bool:
        token = self.peek()
        if token is None or token in _STARTS_NO_FACTOR:
            return False
        return token != "|" or self.bars == 0

    def is_power(self) -> bool:
        """Whether the number that comes next has a power or a factorial sign, and what stands before it has one too."""
        return self.peek(1) in ("^", "!") and self.raised == self.at

    def signed(self) -> Tree:
        signs = 0
        while self.peek() in ("+", "-"):
            signs += self.next() == "-"
        tree = self.power()
        return negative(tree) if signs % 2 else tree

    def power(self) -> Tree:
        tree = self.signs_behind(self.atom())
        if self.peek() == "^":
            self.next()
            tree = self.signs_behind(("^", tree, self.exponent()))
            self.raised = self.at
        return tree

    def signs_behind(self, tree: Tree) -> Tree:
        """With the factorial, degree and per cent signs that follow."""
        while self.peek() in ("!", "°", "%"):
            self.longer()
            sign = self.next()
            if sign == "°":
                tree = in_radians(tree)
            elif sign == "%":
                tree = ("/", tree, ("num", Fraction(100)))
            else:
                double = self.peek() == "!" and self.next()
                if double and self.peek() == "!":
                    raise Unreadable("three factorial signs in a row")
                tree = ("fn", "factorial2" if double else "factorial", tree)
                self.raised = self.at
        return tree

    def exponent(self) -> Tree:
        self.deeper()
        sign = self.next() if self.peek() in ("+", "-") else "+"
        tree = self.power()
        self.depth -= 1
        return tree if sign == "+" else negative(tree)

    def group(self) -> Tree:
        r"""What stands in braces or, as in `\frac12`, the next digit, letter or command."""
        if self.peek() == "{":
            self.next()
            tree = self.choice()
            self.expect("}")
            return tree
        if self.kind() == "number":
            digits = self.next()
            if len(digits) > 1 and digits.isdigit():  # \frac12 and \sqrt23 take one digit each
                self.at -= 1
                self.tokens[self.at : self.at + 1] = [("number", digits[0]), ("number", digits[1:])]
                self.next()
                digits = digits[0]
            return ("num", Fraction(digits))
        return self.atom()

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"it is nested more than {MAX_DEPTH} deep")

    def longer(self) -> None:
        self.chain += 1
        if self.chain > MAX_CHAIN:
            raise Unreadable(f"it has more than {MAX_CHAIN} divisions and factorials")

    def atom(self) -> Tree:
        self.deeper()
        tree = self.single()
        self.depth -= 1
        return tree

    def single(self) -> Tree:
        kind, token = self.kind(), self.next()
        if kind == "number":
            return self.number(token)
        if kind == "command":
            return self.command(token[1:])
        if kind == "word":
            return self.named(token)
        if token == "{" and self.peek() == "}" and self.peek(1) in ("_", "^"):  # {}_5C_2
            self.next()
            token = self.next()
        if token in _OPENERS:
            return self.inside(_OPENERS[token])
        if token in ("_", "^") and (self.kind() in ("number", "word") or self.peek() == "{"):
            return self.chosen()
        if token == "|" and self.bars == 0:
            self.bars = 1
            tree = self.sum()
            self.expect("|")
            self.bars = 0
            return ("fn", "abs", tree)
        if token == "∞":
            return ("sym", "∞")
        raise Unreadable(f"{token!r} is not expected here")

    def inside(self, closing: str) -> Tree:
        bars, self.bars = self.bars, 0
        tree = self.choice()
        self.expect(closing)
        self.bars = bars
        return tree

    def number(self, token: str) -> Tree:
        r"""A number, or a mixed one: `11\frac{1}{2}`, `11 1/2`."""
        if not token.isdigit():
            return ("num", Fraction(token))
        value = Fraction(int(token))
        start = self.at
        part = None
        if self.peek() == "\\frac":
            self.next()
            top, bottom = self.group(), self.group()
            part = (top, bottom)
        elif self.kind() == "number" and self.peek(1) == "/" and self.kind(2) == "number":
            top, _, bottom = self.next(), self.next(), self.next()
            part = (("num", Fraction(top)), ("num", Fraction(bottom)))
        if part and part[0][0] == part[1][0] == "num":
            top, bottom = part[0][1], part[1][1]
            if top.denominator == bottom.denominator == 1 and 0 <= top < bottom:
                return ("num", value + top / bottom)
        self.at = start
        return ("num", value)

    def command(self, name: str) -> Tree:
        if name == "frac":
            top, bottom = self.group(), self.group()
            if top[0] == bottom[0] == "num" and bottom[1] != 0:
                return ("num", top[1] / bottom[1])
            return ("/", top, bottom)
        if name == "binom":
            return ("fn", "binom", self.group(), self.group())
        if name in _ROUNDING:
            function, closing = _ROUNDING[name]
            return ("fn", function, self.inside(closing))
        if name == "text":
            return self.upright()
        if name in GREEK or name == "sqrt" or name in FUNCTIONS:
            return self.named(name)
        raise Unreadable(f"\\{name} is not known")

    def named(self, name: str) -> Tree:
        if name == "sqrt":
            return self.root()
        if name in ("oo", "inf", "infinity"):
            return ("sym", "∞")
        if name == "abs":
            self.expect("(")
            return ("fn", "abs", self.inside(")"))
        if name in FUNCTIONS:
            return self.function("log" if name == "ln" else name)
        return self.symbol(name)

    def symbol(self, name: str) -> Tree:
        if self.peek() == "_":
            self.next()
            name += "_" + self.subscript()
        while self.peek() == "'":
            name += self.next()
        return ("sym", name)

    def upright(self) -> Tree:
        r"""`\text{e}` is the letter e; words are no part of an expression."""
        braced = self.peek() == "{" and self.next()
        kind, name = self.kind(), self.next()
        if kind != "word" or (braced and self.next() != "}"):
            raise Unreadable("words stand inside it")
        return self.named(name)

    def chosen(self) -> Tree:
        """`_5C_2`, a binomial coefficient, and `_5P_2`, the number of ordered choices; the first sign is read."""
        top = self.group_whole()
        name = self.next()
        if name not in ("C", "P"):
            raise Unreadable(f"{name!r} is not expected here")
        self.expect("_")
        bottom = self.group_whole()
        if name == "C":
            return ("fn", "binom", top, bottom)
        rest: Tree = ("fn", "factorial", ("+", top, negative(bottom)))
        return ("/", ("fn", "factorial", top), rest)

    def subscript(self) -> str:
        if self.peek() != "{":
            return self.next()
        self.next()
        parts = []
        while self.peek() not in ("}", None) and len(parts) < 8:
            parts.append(self.next())
        self.expect("}")
        return "".join(parts)

    def root(self) -> Tree:
        degree: Tree = ("num", Fraction(2))
        if self.peek() == "[":
            self.next()
            degree = self.inside("]")
        radicand = self.inside(")") if self.peek() == "(" and self.next() else self.group_whole()
        if degree == ("num", Fraction(2)):
            return ("fn", "sqrt", radicand)
        return ("^", radicand, ("/", ("num", Fraction(1)), degree))

    def group_whole(self) -> Tree:
        """Like `group`, but takes a number whole: the 23 of √23."""
        return ("num", Fraction(self.next())) if self.kind() == "number" else self.group()

    def function(self, name: str) -> Tree:
        base = power = None
        for _ in range(2):
            if self.peek() == "_" and name == "log" and base is None:
                self.next()
                base = self.group_whole()
            elif self.peek() == "^" and power is None:
                self.next()
                power = self.exponent()
        argument = self.argument()
        if power == ("num", Fraction(-1)):
            if name not in ("sin", "cos", "tan"):
                raise Unreadable("an inverse function written as a power")
            name, power = f"arc{name}", None
        if name == "lg":
            name, base = "log", ("num", Fraction(10))
        tree: Tree = ("fn", name, argument)
        if base is not None:
            tree = ("/", tree, ("fn", "log", base))
        return tree if power is None else ("^", tree, power)

    def argument(self) -> Tree:
        """A bracket, or the product that follows without a sign: sin 2x."""
        if self.peek() in ("(", "{", "["):
            tree = self.inside(_OPENERS[self.next()])
            return in_radians(tree) if self.peek() == "°" and self.next() else tree
        tree = self.power()
        while self.starts_factor() and self.kind() in ("word", "command") and self.peek(0) not in FUNCTIONS:
            if self.peek().lstrip("\\") in FUNCTIONS:  # type: ignore[union-attr]
                break
            tree = _join("*", tree, self.power())
        return tree


def _join(sign: str, tree: Tree, right: Tree) -> Tree:
    """A sum or product with one more part; flat, for a long sum must not become a deep tree."""
    return (*tree, right) if tree[0] == sign else (sign, tree, right)


def in_radians(tree: Tree) -> Tree:
    """So many degrees: the tree times π/180."""
    return ("*", tree, ("/", ("sym", "pi"), ("num", Fraction(180))))


def negative(tree: Tree) -> Tree:
    """Minus the tree."""
    return ("num", -tree[1]) if tree[0] == "num" else ("*", ("num", Fraction(-1)), tree)
