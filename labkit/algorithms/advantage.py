"""How much better was this answer than expected? Advantages from one reward per sequence.

An advantage is the reward minus a baseline, perhaps divided by a spread. A baseline that does not depend on
the answer itself (none, or the mean of the OTHERS: leave-one-out) leaves the policy gradient unbiased and
only lowers its variance. The mean of the whole group includes the answer itself and shrinks the expected
gradient by (n-1)/n, a harmless constant. Dividing by the group's spread is more than a constant: it gives
easy and hard problems more weight than those in between (Liu et al. 2025, "Understanding R1-Zero-like
training").
"""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms.reduction import Number, check_choice

Baseline = Literal["group_mean", "leave_one_out", "batch_mean", "none"]
Scale = Literal["group_std", "batch_std", "none"]


def advantages(
    rewards: Float[Tensor, " batch"],
    groups: Int[Tensor, " batch"],
    baseline: Baseline = "group_mean",
    scale: Scale = "group_std",
    ddof: int = 1,
    eps: Number = 1e-6,
) -> Float[Tensor, " batch"]:
    """Advantage of each sequence: (reward - baseline) / (spread + eps), with no gradient.

    `rewards` [batch]: one a sequence. `groups` [batch]: rows with the same integer answer the same prompt;
    the integers are arbitrary, the rows in any order, the groups of any size.

    Baselines: `group_mean` (GRPO, Shao et al. 2024, section 4.1.2), `leave_one_out` = mean of the group's
    other rewards (RLOO, Kool et al. 2019; Ahmadian et al. 2024), `batch_mean`, `none`. Scales: the standard
    deviation of the rewards of the group or of the batch with `ddof` degrees of freedom taken off (1:
    Bessel's correction, as torch.std; 0: as numpy.std), or `none`. The spread is always measured around the
    mean, whatever the baseline.

    Where nothing can be learned the advantage is exactly 0, never NaN, never noise divided by eps:
    a set of equal rewards under its own mean; a group of one under `group_mean` or `leave_one_out` (there is
    nobody to compare with; to use its reward choose baseline="none"); with a scale, a set without spread or
    with no more than `ddof` members (its standard deviation is undefined).

    Compute this on the full batch, before any row is dropped. Raises ValueError for an unknown option or
    for a reward that is NaN or infinite, which would poison its whole group.

    >>> rewards = torch.tensor([0.0, 1.0, 1.0, 0.0])
    >>> groups = torch.tensor([7, 7, 7, 7])
    >>> advantages(rewards, groups, scale="none").tolist()  # Dr. GRPO: minus the mean 1/2
    [-0.5, 0.5, 0.5, -0.5]
    >>> leave_one_out = advantages(rewards, groups, baseline="leave_one_out", scale="none")
    >>> [round(a, 4) for a in leave_one_out.tolist()]  # RLOO: minus the mean of the others, 2/3 or 1/3
    [-0.6667, 0.6667, 0.6667, -0.6667]
    >>> [round(a, 4) for a in advantages(rewards, groups, eps=1e-4).tolist()]  # GRPO: std 0.5774
    [-0.8659, 0.8659, 0.8659, -0.8659]
    >>> [round(a, 4) for a in advantages(rewards, groups, ddof=0).tolist()]  # std 0.5
    [-1.0, 1.0, 1.0, -1.0]
    >>> advantages(torch.tensor([0.3, 0.3, 0.3]), torch.tensor([0, 0, 0])).tolist()  # nothing to compare
    [0.0, 0.0, 0.0]
    """
    check_choice("baseline", baseline, get_args(Baseline))
    check_choice("scale", scale, get_args(Scale))
    rewards = rewards.detach()
    if not torch.isfinite(rewards).all():
        raise ValueError("a reward is NaN or infinite: make the verifier return a finite number for every answer")
    group = torch.unique(groups, return_inverse=True)[1]
    batch = torch.zeros_like(group)

    if baseline == "none":
        centred = rewards
    elif baseline == "leave_one_out":
        above, total, size = _above_least(rewards, group)
        # A lone row lies 0 above itself and has no others: 0 - 0 / 1.
        centred = above - (total - above) / (size - 1).clamp(min=1)
    else:
        above, total, size = _above_least(rewards, group if baseline == "group_mean" else batch)
        centred = above - total / size

    if scale == "none":
        return centred
    std = _standard_deviation(rewards, group if scale == "group_std" else batch, ddof)
    return torch.where(std > 0, centred / (std + eps), 0.0)


def zero_variance(rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    """True for each row whose group got the same reward throughout: it has nothing to teach.

    DAPO (Yu et al. 2025, section 3.2) drops such groups; a group of one is such a group too.

    >>> zero_variance(torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([3, 3, 8, 8])).tolist()
    [False, False, True, True]
    """
    group = torch.unique(groups, return_inverse=True)[1]
    return _reduce(rewards, group, "amax") == _reduce(rewards, group, "amin")


def _reduce(values: Tensor, index: Tensor, how: str) -> Tensor:
    """Reduce each set of rows (those with one index, in 0..batch-1) and give every row its set's result."""
    sets = torch.zeros_like(values).scatter_reduce(0, index, values, reduce=how, include_self=False)
    return sets[index]


def _above_least(rewards: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row: its reward above the least of its set, the sum of these over the set, the set's size.

    A difference of two rewards does not change when both are measured from the least. But equal rewards are
    then exactly 0, and so is all that is computed from them: the mean of three times 0.1 is not 0.1 in
    floating point, and a small eps would blow up the difference.
    """
    above = rewards - _reduce(rewards, index, "amin")
    return above, _reduce(above, index, "sum"), _reduce(torch.ones_like(rewards), index, "sum")


def _standard_deviation(rewards: Tensor, index: Tensor, ddof: int) -> Tensor:
    """Of each row, the standard deviation of its set; 0 without spread or with at most ddof members."""
    above, total, size = _above_least(rewards, index)
    variance = _reduce((above - total / size).square(), index, "sum") / (size - ddof).clamp(min=1)
    return torch.where(size > ddof, variance.sqrt(), 0.0)
