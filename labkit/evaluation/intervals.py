"""Intervals: over problems by the bootstrap, over a few seeds with Student's t, of a share after Wilson."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

# 0.975 quantiles of Student's t for 1 to 10 degrees of freedom; beyond 10 they are computed from a series.
_T_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


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


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of a few independent values, such as seeds (Student, 1908).

    Raises ValueError for fewer than two values.

    >>> [round(x, 3) for x in t_interval([0.67, 0.69, 0.71])]
    [0.64, 0.74]
    """
    n = len(values)
    if n < 2:
        raise ValueError("an interval over seeds needs at least two of them")
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return mean - half, mean + half


def wilson_interval(successes: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `successes` of `n` independent cases (Wilson, 1927); a tie may count one half.

    Unlike the textbook's p +- 1.96 s.e. it holds for few cases and near 0 and 1. Raises ValueError unless
    0 <= successes <= n and n >= 1.

    >>> [round(x, 3) for x in wilson_interval(9, 10)], [round(x, 3) for x in wilson_interval(10, 10)]
    ([0.596, 0.982], [0.722, 1.0])
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"wilson_interval needs 0 <= successes <= n and n >= 1, not {successes} of {n}")
    z = t_quantile(10**9)
    share, penalty = successes / n, z * z / n
    middle = (share + penalty / 2) / (1 + penalty)
    half = z / (1 + penalty) * math.sqrt(share * (1 - share) / n + penalty / (4 * n))
    # At 0 and n successes the formula gives exactly 0 and 1, up to rounding.
    return (middle - half if successes else 0.0), (middle + half if successes < n else 1.0)


def t_quantile(freedom: int) -> float:
    """The 0.975 quantile of Student's t; for more than ten degrees of freedom from a series.

    The series is equation 26.7.5 of Abramowitz and Stegun (1964).

    >>> t_quantile(2), round(t_quantile(20), 3), round(t_quantile(10**6), 3)
    (4.3027, 2.086, 1.96)
    """
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z = 1.959963984540054
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
