"""How much better was this answer than expected? Advantages from one reward per sequence.

An advantage is the reward minus a baseline, perhaps divided by a scale. A baseline that does not depend on the answer
itself (none, or the mean of the other answers: leave-one-out) leaves the policy gradient unbiased and only lowers its
variance. The mean of the whole group includes the answer itself. It shrinks the expected gradient by (n-1)/n, which is
a harmless constant. A scale is more than a constant, because it differs from prompt to prompt: division by the group's
standard deviation gives easy and hard problems more weight than those in between (Liu et al. 2025, "Understanding
R1-Zero-like training"); division by the group's mean reward gives hard problems more weight (MaxRL).
"""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms.reduction import Number, check_choice

Baseline = Literal["group_mean", "leave_one_out", "batch_mean", "none"]
Scale = Literal["group_std", "batch_std", "group_mean", "none"]


def advantages(
    rewards: Float[Tensor, " batch"],
    groups: Int[Tensor, " batch"],
    baseline: Baseline = "group_mean",
    scale: Scale = "group_std",
    ddof: int = 1,
    eps: Number = 1e-6,
) -> Float[Tensor, " batch"]:
    """Advantage of each sequence, without gradient: (reward - baseline) / (scale + eps).

    `rewards` [batch]: one reward per sequence. `groups` [batch]: rows with the same integer answer the same prompt. The
    integers are arbitrary, the rows stand in any order, and groups may differ in size. The result is in the unit of the
    reward with scale="none", and has no unit otherwise.

    Baselines:
    - `group_mean`: mean reward of the group (GRPO, Shao et al. 2024, section 4.1.2).
    - `leave_one_out`: mean reward of the other rows of the group (RLOO, Kool et al. 2019; Ahmadian et al. 2024).
    - `batch_mean`: mean reward of the batch. `none`: 0.

    Scales:
    - `group_std`, `batch_std`: standard deviation of the rewards of the group or of the batch, measured around their
      mean whatever the baseline. `ddof` is subtracted from the number of rewards: 1 is Bessel's correction, as in
      torch.std; 0 is numpy's default.
    - `group_mean`: mean reward of the group (MaxRL, Tajwar et al. 2026, "Maximum likelihood reinforcement learning",
      arXiv:2602.02710). For rewards 0 and 1 and n samples per prompt, the expected gradient is that of
      sum over k of pass@k / k, a series that tends to log pass@1. The sum ends at k = n - 1 with
      baseline="group_mean" and at k = n with baseline="none".
    - `none`: 1.

    The advantage is exactly 0 (never NaN, and never rounding noise divided by eps) where nothing can be learned:
    - where all rewards that the baseline averages are equal;
    - in a group of one row under `group_mean` or `leave_one_out`, because there is no row to compare it with (choose
      baseline="none" to use its reward);
    - under `group_std` or `batch_std`, where the rewards have no spread, or where there are at most `ddof` of them;
    - under scale="group_mean", where all rewards of the group are 0.

    Call it on the full batch, before any row is dropped. Raises ValueError for an unknown option, for a reward that is
    NaN or infinite (it would spoil its whole group), and for a negative reward with scale="group_mean".

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
    >>> hard = torch.tensor([1.0, 0.0, 0.0, 0.0])
    >>> advantages(hard, groups, scale="group_mean", eps=0.0).tolist()  # MaxRL: minus 1/4, divided by 1/4
    [3.0, -1.0, -1.0, -1.0]
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
        # A group of one row: above = total = 0, so the result is 0 - 0 / 1.
        centred = above - (total - above) / (size - 1).clamp(min=1)
    else:
        above, total, size = _above_least(rewards, group if baseline == "group_mean" else batch)
        centred = above - total / size

    if scale == "none":
        return centred
    if scale == "group_mean":
        if (rewards < 0).any():
            raise ValueError("scale='group_mean' divides by the mean reward of a group: rewards must not be negative")
        divisor = _reduce(rewards, group, "mean")
    else:
        divisor = _standard_deviation(rewards, group if scale == "group_std" else batch, ddof)
    return torch.where(divisor > 0, centred / (divisor + eps), 0.0)


def zero_variance(rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    """True for each row [batch] of a group whose rewards are all equal: such a row has nothing to teach.

    DAPO (Yu et al. 2025, section 3.2) drops such groups. A group of one row is always such a group.

    >>> zero_variance(torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([3, 3, 8, 8])).tolist()
    [False, False, True, True]
    """
    group = torch.unique(groups, return_inverse=True)[1]
    return _reduce(rewards, group, "amax") == _reduce(rewards, group, "amin")


def _reduce(values: Tensor, index: Tensor, how: str) -> Tensor:
    """Reduce each set of rows (the rows with the same index, in 0..batch-1); each row gets the result of its set."""
    sets = torch.zeros_like(values).scatter_reduce(0, index, values, reduce=how, include_self=False)
    return sets[index]


def _above_least(rewards: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each row: its reward above the smallest of its set, the sum of these over the set, and the set's size.

    The difference of two rewards stays the same when both are measured from the smallest. But equal rewards are then
    exactly 0, and so is everything computed from them: in floating point the mean of three times 0.1 is not 0.1, and a
    small eps would magnify the difference.
    """
    above = rewards - _reduce(rewards, index, "amin")
    return above, _reduce(above, index, "sum"), _reduce(torch.ones_like(rewards), index, "sum")


def _standard_deviation(rewards: Tensor, index: Tensor, ddof: int) -> Tensor:
    """For each row, the standard deviation of its set: 0 where the set has no spread or at most `ddof` rows."""
    above, total, size = _above_least(rewards, index)
    variance = _reduce((above - total / size).square(), index, "sum") / (size - ddof).clamp(min=1)
    return torch.where(size > ddof, variance.sqrt(), 0.0)
