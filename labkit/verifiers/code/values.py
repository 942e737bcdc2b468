"""Comparing what a program answered with what is right, without ever holding the program's own objects.

An answer arrives as JSON text (`inside.encode`). Two such trees are compared by a canonical text in
which equal Python values have equal texts: `1 == 1.0 == True`, sets and dictionaries in any order, a list never
equal to a tuple, NaN equal to nothing. No hash table is filled with numbers that a program chose, so that the
time is that of a sort, whatever they are.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

from labkit.verifiers.code.inside import encode

__all__ = ["BadAnswer", "canonical", "literal", "parse", "show"]

_MAX_DEPTH = 50
_MAX_PARTS = 1_000_000
_DIGITS = 17
"""Of a number that stands as it is: more than 53 bits come as hexadecimal text."""


class BadAnswer(ValueError):
    """Text from the sandbox that `encode` would not have written."""


def _refuse(text: str) -> Any:
    raise BadAnswer("a bare number")


def _small(text: str) -> int:
    return int(text) if len(text) <= _DIGITS else _refuse(text)


def parse(text: str) -> Any:
    """JSON text from the sandbox as a tree of lists, strings, small ints, bools, None; `BadAnswer` for anything else.

    >>> parse('["list",[1,["int","0x1000000000000000"]]]')
    ['list', [1, ['int', '0x1000000000000000']]]
    """
    if text.count(",") > _MAX_PARTS:
        raise BadAnswer("is too large")
    try:
        # A number of a million digits is not even read.
        return json.loads(text, parse_int=_small, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError, MemoryError):
        raise BadAnswer("no JSON") from None


def literal(value: Any) -> str:
    """The canonical text of a Python value on the side of what is right."""
    return canonical(json.loads(encode(value)), "right")


def _as_json(tree: Any) -> Any:
    if not isinstance(tree, list) or len(tree) != 2 or tree[0] not in ("list", "tuple", "dict"):
        return tree
    if tree[0] == "dict":
        return ["dict", [[key, _as_json(item)] for key, item in tree[1]]]
    return ["list", [_as_json(item) for item in tree[1]]]


def canonical(tree: Any, side: str = "answer", json: bool = False) -> str:
    """The canonical text of an encoded value; `side` keeps NaN on either side apart, with `json` a tuple is a list.

    >>> canonical(["list", [2, True]]) == literal([2.0, 1])
    True
    >>> canonical(["set", [2, ["int", "0x1"]]]) == literal({1, 2})
    True
    >>> canonical(["tuple", []]) == literal([]), canonical(["tuple", []], json=True) == literal([])
    (False, True)
    >>> canonical(["bool", "yes"])
    Traceback (most recent call last):
    ...
    labkit.verifiers.code.values.BadAnswer: no encoded value
    """
    try:
        return _canonical(_as_json(tree) if json else tree, side, 0)
    except BadAnswer:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError):
        raise BadAnswer("no encoded value") from None


def _canonical(tree: Any, side: str, depth: int) -> str:
    if tree is None:
        return "None"
    if isinstance(tree, int):
        return _ratio(int(tree), 1)
    if isinstance(tree, str):
        return json.dumps(tree)
    kind, *rest = tree
    if depth > _MAX_DEPTH:
        raise BadAnswer("nested too deeply")
    if kind in ("int", "float", "complex", "fraction", "decimal"):
        return _number(kind, rest, side)
    if kind == "bytes":
        return f"b{bytes.fromhex(rest[0]).hex()}"
    if kind == "dict":
        pairs = {_canonical(key, side, depth + 1): _canonical(item, side, depth + 1) for key, item in rest[0]}
        return "{" + ",".join(f"{key}:{pairs[key]}" for key in sorted(pairs)) + "}"
    items = [_canonical(item, side, depth + 1) for item in rest[0]]
    if kind in ("set", "frozenset"):
        return "set{" + ",".join(sorted(set(items))) + "}"
    if kind in ("iterator", "range", "deque"):
        # As in Python, no literal equals one of these.
        return f"{kind}-{side}"
    return {"list": "[{}]", "tuple": "({})"}[kind].format(",".join(items))


def _number(kind: str, rest: list[Any], side: str) -> str:
    if kind == "int":
        return _ratio(int(rest[0], 16), 1)
    if kind == "fraction":
        exact = Fraction(int(rest[0], 16), int(rest[1], 16))
        return _ratio(exact.numerator, exact.denominator)
    if kind == "decimal":
        return _decimal(rest[0], side)
    numbers = [float.fromhex(text) for text in rest]
    if any(math.isnan(number) for number in numbers):
        return f"nan-{side}"
    if kind == "complex" and numbers[1] != 0:
        return f"complex({numbers[0] + 0.0!r},{numbers[1]!r})"
    return str(numbers[0]) if math.isinf(numbers[0]) else _ratio(*numbers[0].as_integer_ratio())


def _decimal(text: str, side: str) -> str:
    from decimal import Decimal

    value = Decimal(text)
    if value.is_nan():
        return f"nan-{side}"
    if value.is_infinite():
        return str(float(value))
    # Decimal("1e999999999") has a billion digits: as text it is as good.
    if abs(value.adjusted()) > 5000:
        return f"decimal{value.normalize()}"
    return _ratio(*value.as_integer_ratio())


def _ratio(numerator: int, denominator: int) -> str:
    return f"{numerator:x}/{denominator:x}"


def show(tree: Any, limit: int = 60) -> str:
    """An encoded value in Python's notation, cut to about `limit` characters, for a reason in words.

    >>> show(["list", [2, "a", ["tuple", [True]]]])
    "[2, 'a', (True,)]"
    """
    text = _show(tree, limit)
    return text if len(text) <= limit else text[:limit] + "..."


def _show(tree: Any, room: int) -> str:
    if not isinstance(tree, list):
        return repr(tree[:room] if isinstance(tree, str) else tree)
    kind, *rest = tree
    if kind in ("int", "fraction"):
        parts = [text if len(text) > 200 else str(int(text, 16)) for text in rest if text != "0x1" or kind == "int"]
        return "/".join(parts)
    if kind == "float":
        return repr(float.fromhex(rest[0]))
    if kind in ("complex", "decimal", "bytes"):
        return f"{kind}({', '.join(str(part)[:room] for part in rest)})"
    shown, used = [], 0
    for item in rest[0]:
        if used > room:
            break
        text = ": ".join(_show(part, room) for part in item) if kind == "dict" else _show(item, room)
        shown.append(text)
        used += len(text)
    inner = ", ".join(shown)
    if kind == "tuple":
        return f"({inner},)" if len(shown) == 1 else f"({inner})"
    shapes = {"list": "[{}]", "dict": "{{{}}}", "set": "{{{}}}" if shown else "set()"}
    return shapes.get(kind, kind + "({})").format(inner)
