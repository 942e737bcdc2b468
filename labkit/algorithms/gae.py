"""Credit per token: generalized advantage estimation, and the return from each token on.

With a single reward at the end, all tokens of an answer have the same credit. A value function (the critic) estimates
the return that can be expected before each token. The change of this estimate is the credit of the token.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Number


def gae(
    rewards: Float[Tensor, "batch time"],
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    gamma: Number = 1.0,
    lam: Number = 0.95,
    bootstrap: Float[Tensor, " batch"] | None = None,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """Generalized advantage estimates and the returns that the critic should learn; both without gradient.

    With delta_t = r_t + gamma V_{t+1} - V_t (Schulman et al. 2016, "High-dimensional continuous control using
    generalized advantage estimation", eq. 16):

        A_t = delta_t + gamma lam A_{t+1},    return_t = A_t + V_t

    `rewards`, `values`, `mask` and both results are [batch, time], in the unit of the reward. `values[:, t]` = V_t is
    the critic's estimate before token t is chosen, so A_t judges the choice of token t. With lam=1, A_t is the return
    from t on minus V_t (unbiased, but noisy). With lam=0, A_t is delta_t alone (quiet, but as wrong as the critic).

    `mask` is True for the tokens that the policy chose. Other tokens (padding, but also holes such as the output of a
    tool) are skipped: t + 1 means the next chosen token, a hole is not discounted, and rewards and values there are
    never read, even if they are NaN. The results are 0 outside the mask.

    After the last chosen token the value is 0, even for a truncated answer: this is right where truncation is a failure
    that the reward already punishes. To treat truncation as an interruption instead, give `bootstrap` [batch]: the
    value of the text after the last token, and 0 for the answers that did end.

    >>> rewards = torch.tensor([[0.0, 0.0, 1.0]])
    >>> values = torch.tensor([[0.5, 0.25, 0.75]])
    >>> mask = torch.tensor([[True, True, True]])
    >>> advantages, returns = gae(rewards, values, mask, gamma=1.0, lam=0.5)
    >>> advantages.tolist()  # deltas -0.25, 0.5, 0.25; from the end: 0.25, 0.5 + 0.125, -0.25 + 0.3125
    [[0.0625, 0.625, 0.25]]
    >>> returns.tolist()
    [[0.5625, 0.875, 1.0]]
    >>> advantages, _ = gae(rewards, values, torch.tensor([[True, False, True]]), lam=0.5)
    >>> advantages.tolist()  # the middle token was not chosen: the first delta is 0.75 - 0.5
    [[0.375, 0.0, 0.25]]
    """
    rewards = torch.where(mask, rewards.detach(), 0.0)
    values = torch.where(mask, values.detach(), 0.0)
    # Going backwards over the columns, both [batch]: V_{t+1} and A_{t+1}, where t + 1 is the next chosen token.
    next_value = torch.zeros_like(values.sum(1)) if bootstrap is None else bootstrap.detach().to(values.dtype)
    later = torch.zeros_like(next_value)
    columns = []
    for t in reversed(range(mask.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        later = torch.where(mask[:, t], delta + gamma * lam * later, later)
        next_value = torch.where(mask[:, t], values[:, t], next_value)
        columns.append(later)
    advantages = torch.where(mask, torch.stack(columns[::-1], dim=1) if columns else values, 0.0)
    return advantages, advantages + values


def returns_to_go(
    rewards: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"], gamma: Number = 1.0
) -> Float[Tensor, "batch time"]:
    """Sum of the discounted rewards from each token on: the rewards that the token can influence. No gradient.

    `rewards`, `mask` and the result are [batch, time], in the unit of the reward. It is `gae` without a critic (V = 0)
    and with lam=1, and the mask means the same. Source: Sutton and Barto 2018, "Reinforcement learning: an
    introduction", eq. 3.8.

    >>> returns_to_go(torch.tensor([[-0.25, -0.5, 2.0]]), torch.tensor([[True, True, True]])).tolist()
    [[1.25, 1.5, 2.0]]
    """
    return gae(rewards, torch.zeros_like(rewards), mask, gamma, lam=1.0)[0]
