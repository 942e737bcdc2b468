"""Calibration of a reward model, or of any forecast: does what is said to be likely happen that often?"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped

from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval

__all__ = ["calibration_bins", "calibration_error", "pair_confidence"]


def pair_confidence(
    margins: Shaped[np.ndarray, " pairs"] | Sequence[float],
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """How sure a reward model was of its choice, sigmoid(|margin|), and whether it was right, 1 or 0.

    A margin is score(chosen) - score(rejected). A margin of exactly 0 is a guess: it says one half, and it is half
    right, as in an accuracy. So a model that never decides is calibrated.

    >>> confidence, right = pair_confidence([2.0, -1.0, 0.0])
    >>> confidence.round(3).tolist(), right.tolist()
    ([0.881, 0.731, 0.5], [1.0, 0.0, 0.5])
    """
    values = np.asarray(margins, dtype=float)
    return 1 / (1 + np.exp(-np.abs(values))), (1 + np.sign(values)) / 2


def calibration_bins(
    predicted: Shaped[np.ndarray, " cases"],
    happened: Shaped[np.ndarray, " cases"],
    bins: int | Shaped[np.ndarray, " edges"] = 8,
) -> list[dict[str, float]]:
    """Cases grouped by how likely they were said to be, each group with what really happened.

    `bins` is a number of bins with equally many cases each; with bins of equal width most would be nearly empty. Or it
    is an array of ascending edges: then bins without a case are left out, and cases outside count in the nearest bin.

    Keys: `predicted` (mean), `observed` (share), `low` and `high` (95 % Wilson interval), `count`. Raises UserError
    where there are fewer cases than bins of equally many.

    >>> predicted, happened = np.array([0.6, 0.6, 0.9, 0.9]), np.array([True, False, True, True])
    >>> rows = calibration_bins(predicted, happened, bins=2)
    >>> [(row["predicted"], row["observed"], row["count"]) for row in rows]
    [(0.6, 0.5, 2), (0.9, 1.0, 2)]
    >>> [row["count"] for row in calibration_bins(predicted, happened, bins=np.array([0.0, 0.5, 0.8, 1.0]))]
    [2, 2]
    """
    p, y = np.asarray(predicted, dtype=float), np.asarray(happened, dtype=float)
    if isinstance(bins, int):
        if len(p) < bins:
            raise UserError(f"a calibration curve of {bins} bins needs as many cases or more, not {len(p)}")
        parts = np.array_split(np.argsort(p, kind="stable"), bins)
    else:
        which = np.searchsorted(bins, p, side="right").clip(1, len(bins) - 1)
        parts = [np.flatnonzero(which == number) for number in np.unique(which)]
    rows = []
    for part in parts:
        low, high = wilson_interval(float(y[part].sum()), len(part))
        observed = {"observed": float(y[part].mean()), "low": low, "high": high, "count": len(part)}
        rows.append({"predicted": float(p[part].mean()), **observed})
    return rows


def calibration_error(
    predicted: Shaped[np.ndarray, " cases"], happened: Shaped[np.ndarray, " cases"], bins: int = 8
) -> float:
    """Expected calibration error: the mean distance of `predicted` and `observed` over bins of equally many cases.

    It is never quite 0: the noise of each bin's share counts as distance too (Naeini et al. 2015).

    >>> calibration_error(np.array([0.9, 0.9]), np.array([True, False]), bins=1)
    0.4
    """
    rows = calibration_bins(predicted, happened, bins)
    total = sum(row["count"] for row in rows)
    return sum(row["count"] / total * abs(row["predicted"] - row["observed"]) for row in rows)
