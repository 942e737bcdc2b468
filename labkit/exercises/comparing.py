"""Comparing what a function returned with what it should have returned, and saying both in a few words."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

__all__ = ["difference", "show", "show_both"]

# Wide enough for float32 in another order of operations, narrow enough to tell ddof=0 from ddof=1.
RELATIVE, ABSOLUTE = 1e-4, 1e-5


def difference(expected: Any, got: Any) -> str | None:
    """None when `got` is right, else what is wrong with it: "" for its value alone, or words about its kind.

    >>> difference(0.5, 0.5000000001) is None
    True
    >>> difference(0.5, 0.6)
    ''
    >>> difference(torch.zeros(2), [0.0, 0.0])
    'a list, where a tensor is expected: build the result with torch operations'
    >>> difference(torch.zeros(2, 3), torch.zeros(2, 2))
    'a tensor of shape [2, 2], where [2, 3] is expected'
    """
    if got is None and expected is not None:
        return "None: is there a way through the function without a `return`?"
    if isinstance(expected, Tensor):
        return _tensor_difference(expected, got)
    if isinstance(expected, str | list | tuple):
        return None if type(expected) is type(got) and expected == got else ""
    return _number_difference(expected, got)


def _number_difference(expected: bool | int | float, got: Any) -> str | None:
    kind = type(expected).__name__
    if isinstance(got, Tensor):
        return f"a tensor, where a plain {kind} is expected: `.item()` takes the number out"
    is_bool = isinstance(got, bool) or type(got).__name__ in ("bool_", "bool")
    if isinstance(expected, bool):
        if not is_bool:
            return f"{show(got)} ({_article(got)}), where True or False is expected"
        return None if bool(got) == expected else ""
    if is_bool or not isinstance(got, numbers.Real):
        return f"{show(got)} ({_article(got)}), where a number ({kind}) is expected"
    if isinstance(expected, int):
        if not isinstance(got, numbers.Integral):
            return f"{show(got)} ({_article(got)}), where a whole number (int) is expected"
        return None if got == expected else ""
    return None if math.isclose(got, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE) else ""


def _tensor_difference(expected: Tensor, got: Any) -> str | None:
    if isinstance(got, numbers.Real):
        return (
            f"{_article(got)}, where a tensor of shape {list(expected.shape)} is expected: "
            "`.item()` and `float()` leave torch, and the gradient with it"
        )
    if not isinstance(got, Tensor):
        return f"{_article(got)}, where a tensor is expected: build the result with torch operations"
    if got.shape != expected.shape:
        return f"a tensor of shape {list(got.shape)}, where {list(expected.shape)} is expected"
    if got.dtype != expected.dtype:
        return f"a tensor of dtype {got.dtype}, where {expected.dtype} is expected"
    if got.device != expected.device:
        return f"a tensor on {got.device}, where the inputs are on {expected.device}"
    if expected.dtype.is_floating_point:
        equal = torch.allclose(got, expected, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    else:
        equal = torch.equal(got, expected)
    return None if equal else ""


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def show(value: Any, digits: int = 4, limit: int = 240) -> str:
    """A value on one line, as one would type it, with at most `limit` characters.

    >>> show(torch.tensor([[1.0, 1 / 3]]))
    'tensor([[1.0, 0.3333]])'
    >>> show("6*5*1"), show([5, 6]), show(torch.tensor([True]))
    ("'6*5*1'", '[5, 6]', 'tensor([True])')
    """
    try:
        text = _show(value, digits)
    except Exception:
        text = f"{_article(value)} that cannot be shown"
    return text if len(text) <= limit else text[:limit] + "..."


def _show(value: Any, digits: int) -> str:
    if isinstance(value, Tensor):
        if value.numel() > 200:
            return f"a tensor of shape {list(value.shape)}"
        return f"tensor({_show(value.detach().tolist(), digits)})"
    if isinstance(value, list):
        return f"[{', '.join(_show(inner, digits) for inner in value)}]"
    if isinstance(value, float):
        short = f"{value:.{digits}g}"
        return short if any(mark in short for mark in ".enai") else short + ".0"
    return " ".join(repr(value).split(chr(10)))


def show_both(expected: Any, got: Any) -> tuple[str, str]:
    """Both values with as many digits as it takes to tell them apart."""
    for digits in (4, 7, 12):
        pair = show(expected, digits), show(got, digits)
        if pair[0] != pair[1]:
            break
    return pair
