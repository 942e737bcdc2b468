"""Length as a reward: full marks up to a soft limit, then less and less; DAPO's soft overlong punishment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.score import Score

__all__ = ["UNITS", "SoftOverlong", "verify"]


def _words(text: str) -> int:
    return len(text.split())


UNITS: dict[str, Callable[[str], int]] = {"characters": len, "words": _words}
"""What can be counted in a string alone; for tokens see `SoftOverlong`."""


@dataclass(frozen=True)
class SoftOverlong:
    """A verifier of the length alone: reward 1.0 up to `max_length - buffer`, falling to 0.0 at `max_length`.

    This is 1 + the penalty of DAPO (Yu et al. 2025, eq. 13), which runs from 0 to -1; the constant keeps the reward
    in [0, 1] and cancels in every advantage with a baseline. `labkit.algorithms.overlong_penalty` is the same
    for lengths that are already tensors.

    Attributes:
        max_length: the length, in `unit`s, from which on nothing is paid.
        buffer: over how many of them the reward falls; above 0, at most `max_length`.
        unit: the name of what is counted, for the reason.
        count: counts it in a text; None for a unit of `UNITS`. For tokens give the tokenizer's own count, such as
            `lambda text: len(policy.encode(text))` (a named function where the verifier must be pickled).

    >>> soft = SoftOverlong(max_length=100, buffer=20)
    >>> [soft("x" * length).reward for length in (50, 80, 90, 100, 120)]
    [1.0, 1.0, 0.5, 0.0, 0.0]
    >>> soft("x" * 90).reason
    '90 characters, 10 above the soft limit of 80'
    """

    max_length: float
    buffer: float
    unit: str = "characters"
    count: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        if self.count is None and (not isinstance(self.unit, str) or self.unit not in UNITS):
            raise UserError(f"a length is counted in {' or '.join(UNITS)}, or give `count`; got {self.unit!r:.40}")
        sizes = (self.max_length, self.buffer)
        sound = all(isinstance(size, int | float) and not isinstance(size, bool) for size in sizes)
        if not sound or not all(math.isfinite(size) for size in sizes) or not 0 < self.buffer <= self.max_length:
            raise UserError("a length needs a max_length and a buffer, numbers with 0 < buffer <= max_length")

    def __call__(self, completion: str, reference: Any = None) -> Score:
        """The score of a completion; `reference` is not looked at. `parts`: `length` and `penalty` (0 down to -1)."""
        length = (self.count or UNITS[self.unit])(completion)
        soft = self.max_length - self.buffer
        penalty = min(max((soft - length) / self.buffer, -1.0), 0.0)
        reason = f"{length} {self.unit}, "
        if length <= soft:
            reason += f"within the soft limit of {soft:g}"
        else:
            reason += f"{length - soft:g} above the soft limit of {soft:g}"
        return Score(1.0 + penalty, reason, None, {"length": float(length), "penalty": penalty})


def verify(completion: str, reference: Any) -> Score:
    """Score the length of a completion; see `SoftOverlong`.

    `reference` is `{"max_length": 100, "buffer": 20}`, in characters, or with `"unit": "words"`; anything else raises
    `UserError`. Tokens can't be counted in a string alone.

    >>> verify("one two three four", {"max_length": 5, "buffer": 2, "unit": "words"}).reward
    0.5
    """
    known = {"max_length", "buffer", "unit"}
    if not isinstance(reference, dict) or not {"max_length", "buffer"} <= set(reference) <= known:
        raise UserError(
            'a length reference is {"max_length": 100, "buffer": 20}, in characters, or with "unit": "words"; '
            f"got a {type(reference).__name__}"
        )
    return SoftOverlong(**reference)(completion)
