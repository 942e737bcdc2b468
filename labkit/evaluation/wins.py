"""Win rates: how often one policy's answer scores higher than another's, on the same prompts."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from labkit.errors import UserError
from labkit.evaluation.intervals import bootstrap_interval

__all__ = ["win_rates"]


def win_rates(
    scores: Mapping[str, Shaped[np.ndarray, " prompts"] | Sequence[float]],
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """How often the first wins against the second on the same prompts, with a 95 % bootstrap interval over prompts.

    `scores` maps labels to one score per prompt, in the same order; a tie is half a win. Raises UserError where the
    lengths differ.

    >>> win_rates({"a": [1.0, 2.0], "b": [1.0, 0.0]})["a", "b"]
    (0.75, 0.5, 1.0)
    """
    tables = {label: np.asarray(values, dtype=float) for label, values in scores.items()}
    lengths = {label: len(values) for label, values in tables.items()}
    if len(tables) < 2 or len(set(lengths.values())) != 1 or 0 in lengths.values():
        said = ", ".join(f"{label} {count}" for label, count in lengths.items()) or "none"
        raise UserError(f"win rates need two or more equally long lists of scores of the same prompts, not: {said}")
    rates = {}
    for one, first in tables.items():
        for other, second in tables.items():
            if one != other:
                wins = (first > second) + 0.5 * (first == second)
                rates[one, other] = (float(wins.mean()), *bootstrap_interval(wins))
    return rates
