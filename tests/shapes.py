"""Shapes of tensors, checked while the tests run.

Every function of labkit is wrapped before it is first imported, and the shapes in its signature
(`Float[Tensor, "batch time"]`) are compared with the tensors that it is given and that it returns.
Other annotations are not checked: a wrong option must reach labkit, which answers it in its own words.
`LABKIT_CHECK_SHAPES=0` leaves labkit unwrapped, for instance to measure its speed.
"""

import os
import re
import typing
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

CHECK_SHAPES = os.environ.get("LABKIT_CHECK_SHAPES", "1") != "0"


def _says_a_shape(hint: Any) -> bool:
    """Whether a type hint has a jaxtyping annotation in it (a string is one that could not be resolved)."""
    if isinstance(hint, str):
        return re.search(r"\b(Float|Int|Bool|Integer|Num|Shaped)\[", hint) is not None
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_says_a_shape(part) for part in typing.get_args(hint))


def check_shapes(function: Callable) -> Callable:
    """The type checker that jaxtyping applies: beartype, on the annotations that say a shape."""
    hints = {name: h if _says_a_shape(h) else Any for name, h in function.__annotations__.items()}
    if all(hint is Any for hint in hints.values()):
        return function
    function.__annotations__ = hints
    # An int where a float is announced is right in Python (PEP 484), next to a shape too.
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
