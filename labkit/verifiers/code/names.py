"""Which names a piece of Python defines and which it needs, and the imports that the public sets take for granted."""

from __future__ import annotations

import builtins
import collections
import functools
import importlib
import symtable
from typing import NamedTuple

__all__ = ["BUILTINS", "MODULES", "Names", "given_imports", "names_of"]

BUILTINS = frozenset(dir(builtins)) | {"exit", "quit"}

MODULES = frozenset(
    "math cmath fractions decimal collections itertools functools operator string re datetime statistics".split()
)
"""Modules that a test may use without importing them."""

# LiveCodeBench's own list, in its order; what stands later wins, and a module's name means the module.
_ASSUMED = "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys"
_ASSUMED_TOO = ("json", "time", "cmath", "fractions", "decimal", "os", "hashlib", "array")


class Names(NamedTuple):
    """The names of a module that it binds at its top level, and those that it uses without binding them there."""

    bound: frozenset[str]
    used: frozenset[str]


@functools.lru_cache(maxsize=64)
def names_of(source: str) -> Names | None:
    """The names of a piece of Python; None where Python can't read it.

    >>> names_of("import math\\ndef area(r):\\n    x = pi * r\\n    return helper(x)")
    Names(bound=frozenset({...}), used=frozenset({...}))
    >>> sorted(_.bound), sorted(_.used)
    (['area', 'math'], ['helper', 'pi'])
    """
    try:
        top = symtable.symtable(source, "<program>", "exec")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    bound, used, waiting = set(), set(), [top]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            here = table is top
            binds = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if binds and (here or symbol.is_declared_global()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (here or symbol.is_global()):
                used.add(symbol.get_name())
    return Names(frozenset(bound), frozenset(used - bound))


def given_imports(names: Names | None, whole: bool) -> str:
    """Import lines for names that a program uses and never defines; empty for most programs.

    Names of `typing` are given to every program, since an annotation computes nothing (its `Counter` would). With
    `whole`, for the formats of public sets, so is what their own harnesses import before an answer: `math`, `deque`,
    `heappush`, ...

    >>> given_imports(names_of("def f(x: List[int]): return math.floor(sqrt(x[0]))"), whole=True)
    'from math import sqrt\\nfrom typing import List\\nimport math'
    >>> given_imports(names_of("def f(x: List[int]): return math.floor(x[0])"), whole=False)
    'from typing import List'
    """
    if names is None:
        return ""
    known = _assumed(whole)
    return "\n".join(sorted(known[name] for name in names.used & known.keys()))


@functools.cache
def _assumed(whole: bool) -> dict[str, str]:
    modules = _ASSUMED.split() if whole else []
    found: dict[str, str] = {}
    for module in ("typing", *modules):
        exported = importlib.import_module(module)
        public = getattr(exported, "__all__", None) or [name for name in vars(exported) if name[0] != "_"]
        found |= {name: f"from {module} import {name}" for name in public}
    if not whole:
        found = {name: line for name, line in found.items() if not hasattr(collections, name)}
    if whole:
        found |= {name: f"import {name}" for name in (*modules, *_ASSUMED_TOO)}
    return {name: line for name, line in found.items() if name not in BUILTINS}
