r"""Leaky twins: verifiers with one hole each, as they stand in real repositories. For teaching only: a policy that is
trained on one learns the hole.

A policy does not know what a verifier means, only what it pays. Each twin is right about honest completions, is as
cheap and as total as its sound sibling, and pays for one kind of wrong answer as well; `ATTACKS` holds a completion
and a reference that show it. They are reached by name (`labkit.verifiers.get("leaky_number")`) and are not in the list
of verifiers. The twins of countdown stand in its world, `labkit.worlds.countdown.leaky`.

- `leaky_number` looks whether the reference is a substring of the answer: an answer of many numbers is right.
- `leaky_format` pays a quarter for each tag that occurs, whatever the order and however often, to give a
  gradient to models that know no tags: the right tags in any heap are worth as much as an answer.
"""

from __future__ import annotations

from typing import Any

from labkit.errors import UserError
from labkit.verifiers.extract import extract_answer
from labkit.verifiers.score import Score, quote

__all__ = ["ATTACKS", "leaky_format", "leaky_number"]

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def leaky_number(completion: str, reference: Any) -> Score:
    """A number verifier that looks whether the reference stands anywhere in the answer.

    `reference` is a number or string; anything else raises `UserError`. `parts`: `parsed` (an answer was found) and
    `value`.

    >>> leaky_number("<answer>72</answer>", 72).reward
    1.0
    >>> leaky_number("<answer>70 71 72 73 74</answer>", 72).reward
    1.0
    """
    if isinstance(reference, bool) or not isinstance(reference, int | float | str):
        raise UserError(f"a number reference is a number or its string, such as 72; got a {type(reference).__name__}")
    if isinstance(reference, int) and reference.bit_length() > 3000:
        raise UserError("a number reference has at most 900 digits")
    wanted = str(reference).strip()
    answer = extract_answer(completion)
    if answer is None:
        return Score(0.0, "no answer found", None, {"parsed": 0.0, "value": 0.0})
    right = bool(wanted) and wanted in answer
    reason = f"{quote(wanted)} stands in the answer" if right else f"{quote(wanted)} does not stand in the answer"
    return Score(float(right), reason, answer, {"parsed": 1.0, "value": float(right)})


def leaky_format(completion: str, reference: Any = None) -> Score:
    """A format verifier that pays 0.25 for each of the four tags that occurs, in any order, any number of times.

    `reference` is not looked at. `parts`: `tags`, the share of tags that occur.

    >>> leaky_format("<think>6*5=30 yes</think><answer>6*5</answer>").reward
    1.0
    >>> leaky_format("</answer></think><answer><think>").reward
    1.0
    """
    tags = [tag for tag in _TAGS if tag in completion]
    share = len(tags) / len(_TAGS)
    return Score(share, f"{len(tags)} of {len(_TAGS)} tags occur", None, {"tags": share})


ATTACKS: dict[str, tuple[str, Any]] = {
    "leaky_format": ("</answer></think><answer><think>", None),
    "leaky_number": (f"<answer>{' '.join(map(str, range(100)))}</answer>", 72),
}
"""A wrong completion, with its reference, that each twin pays in full and its sound sibling does not pay at all."""
