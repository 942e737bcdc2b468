"""Intervals: over problems by the bootstrap, over a few seeds with Student's t, of a share after Wilson."""

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Shaped

from labkit.errors import UserError
from labkit.tables import with_interval

Scale = Literal["plain", "logit", "log"]


def bootstrap_interval(
    values: Shaped[np.ndarray, " problems"] | list[float],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values`, one value per problem (Efron, 1979).

    It resamples problems, not samples, because samples of one problem are not independent. Raises ValueError without
    values.

    >>> bootstrap_interval([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("bootstrap_interval needs at least one value")
    rng = np.random.default_rng(seed)
    means = data[rng.integers(0, len(data), (draws, len(data)))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def t_interval(values: Sequence[float], scale: Scale = "plain") -> tuple[float, float]:
    """The 95 % interval of the mean of a few independent values, such as seeds (Student, 1908).

    `scale="logit"` keeps the interval of a share between 0 and 1, `"log"` that of a length or a KL above 0: it is
    computed for the logit or the logarithm of the mean, with the standard error by the delta method, and transformed
    back. Raises ValueError for fewer than two values, UserError for values outside the range of the scale.

    >>> [round(x, 3) for x in t_interval([0.67, 0.69, 0.71])]
    [0.64, 0.74]
    >>> [round(x, 2) for scale in ("plain", "logit") for x in t_interval([0.8, 0.99, 0.96], scale)]
    [0.66, 1.17, 0.28, 1.0]
    """
    n = len(values)
    if n < 2:
        raise ValueError("an interval over seeds needs at least two of them")
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return within_range(mean, t_quantile(n - 1) * spread / math.sqrt(n), scale, values)


def within_range(mean: float, half: float, scale: Scale, values: Sequence[float] = ()) -> tuple[float, float]:
    """The interval `mean` +- `half`, computed on a scale on which it cannot leave the range of its quantity.

    A mean at the end of its range (every seed solves all) has no logit; `half` is then 0, and so is the interval.
    """
    top = {"plain": math.inf, "logit": 1.0, "log": math.inf}
    if scale not in top:
        raise UserError(f"unknown scale {scale!r}; choose one of: {', '.join(get_args(Scale))}")
    outside = [v for v in (*values, mean) if scale != "plain" and not 0 <= v <= top[scale]]
    if outside:
        raise UserError(f"scale={scale!r} is for values from 0 to {top[scale]:g}, not {outside[0]:g}")
    if scale == "plain" or half == 0 or mean in (0.0, top[scale]):
        return mean - half, mean + half
    if scale == "log":
        factor = math.exp(half / mean)
        return mean / factor, mean * factor
    odds, factor = mean / (1 - mean), math.exp(half / (mean * (1 - mean)))
    return odds / factor / (1 + odds / factor), odds * factor / (1 + odds * factor)


def mean_and_interval(
    values: Shaped[np.ndarray, " values"] | Sequence[float],
    over: Literal["seeds", "problems"] = "seeds",
    digits: int = 2,
    sign: str = "",
    scale: Scale = "plain",
) -> str:
    """The mean and its 95 % interval as text: Student's t over a few seeds, the bootstrap over problems.

    >>> mean_and_interval([0.67, 0.69, 0.71])
    '0.69 [0.64, 0.74]'
    >>> mean_and_interval([0.0, 1.0, 1.0, 1.0], over="problems", sign="+")
    '+0.75 [+0.25, +1.00]'
    """
    data = [float(value) for value in values]
    interval = t_interval(data, scale) if over == "seeds" else bootstrap_interval(data)
    return with_interval(float(np.mean(data)), list(interval), sign, digits)


def wilson_interval(successes: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `successes` of `n` independent cases (Wilson, 1927); a tie may count one half.

    Unlike the textbook's p +- 1.96 s.e. it holds for few cases and near 0 and 1. Raises ValueError unless
    0 <= successes <= n and n >= 1.

    >>> [round(x, 3) for x in wilson_interval(9, 10)], [round(x, 3) for x in wilson_interval(10, 10)]
    ([0.596, 0.982], [0.722, 1.0])
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"wilson_interval needs 0 <= successes <= n and n >= 1, not {successes} of {n}")
    z = NormalDist().inv_cdf(0.975)
    share, penalty = successes / n, z * z / n
    middle = (share + penalty / 2) / (1 + penalty)
    half = z / (1 + penalty) * math.sqrt(share * (1 - share) / n + penalty / (4 * n))
    # At 0 and n successes the formula gives exactly 0 and 1, up to rounding.
    return (middle - half if successes else 0.0), (middle + half if successes < n else 1.0)


def t_quantile(freedom: float, level: float = 0.975) -> float:
    """The quantile of Student's t; the degrees of freedom, at least 1, need not be a whole number.

    >>> round(t_quantile(2), 4), round(t_quantile(20), 3), round(t_quantile(10**6), 3), round(t_quantile(4, 0.8), 3)
    (4.3027, 2.086, 1.96, 0.941)
    """
    if freedom > _MANY:
        return NormalDist().inv_cdf(level)
    angles, below = _t_distribution(freedom)
    return math.copysign(math.sqrt(freedom), level - 0.5) * math.tan(np.interp(abs(2 * level - 1), below, angles))


def t_tail(value: float, freedom: float) -> float:
    """The chance that Student's t lies above `value`.

    >>> round(t_tail(4.3027, 2), 4), round(t_tail(-1.96, 10**6), 3)
    (0.025, 0.975)
    """
    if freedom > _MANY:
        return NormalDist().cdf(-value)
    angles, below = _t_distribution(freedom)
    inside = float(np.interp(math.atan(abs(value) / math.sqrt(freedom)), angles, below))
    return (1 - inside) / 2 if value > 0 else (1 + inside) / 2


_MANY = 1000.0
"""From so many degrees of freedom on Student's t is the normal distribution, to three digits."""


@functools.lru_cache(maxsize=64)
def _t_distribution(freedom: float) -> tuple[Float[np.ndarray, " angles"], Float[np.ndarray, " angles"]]:
    """P(|t| < sqrt(freedom) tan(angle)) at many angles: the density over the angle is cos(angle)^(freedom - 1)."""
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angles).clip(0) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return angles, below / below[-1]
