"""From the text of an expression to its tokens: numbers, letters, names of functions, signs."""

from __future__ import annotations

import re

__all__ = ["FUNCTIONS", "GREEK", "MAX_DIGITS", "Unreadable", "tokens"]

MAX_DIGITS = 400
"""Digits of one number; a longer one is not read (two such numbers are still equal as strings)."""


class Unreadable(ValueError):
    """The text is not in the grammar."""


_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3}(?![0-9]))?)|(?P<command>\\(?:[A-Za-z]+|%))|(?P<word>[A-Za-z]+)|"
    r"(?P<sign>[-+*/^_(){}\[\]|!∞°'%])|(?P<other>.)",
    re.DOTALL,
)
GREEK = set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi "
    "chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell pi".split()
)
FUNCTIONS = set("sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth log ln lg exp".split())
_WORDS = FUNCTIONS | {"sqrt", "pi", "abs", "oo", "inf", "infinity"}


def tokens(text: str) -> list[tuple[str, str]]:
    """The tokens of an expression, as pairs of kind and text. Raises Unreadable for what is in no expression."""
    found: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match.group()
        if kind == "space":
            continue
        if kind == "other":
            raise Unreadable(f"{token!r} is no part of an expression")
        if kind == "number" and len(token) > MAX_DIGITS:
            raise Unreadable(f"a number has more than {MAX_DIGITS} digits")
        if token in ("%", "\\%"):
            kind, token = "sign", "%"
        if kind == "word" and token not in _WORDS:
            found += _letters(token)
        else:
            found.append((kind, token))
    return found


def _letters(word: str) -> list[tuple[str, str]]:
    """A run of letters as single ones, but for a function's name at its start: `sinx`."""
    for name in ("sqrt", "sin", "cos", "tan", "log", "ln", "pi"):
        if word.startswith(name) and len(word) - len(name) <= 1:
            return [("word", name), *(("word", letter) for letter in word[len(name) :])]
    return [("word", letter) for letter in word]
