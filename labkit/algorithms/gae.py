"""Credit by token: generalized advantage estimation, and the return from each token on.

With one reward at the end, every token of an answer shares its fate. A value function (the critic) says how
good the text looked before each token; the change of that opinion is the token's own credit.
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

    `values[:, t]` = V_t is the critic's opinion of the text BEFORE token t, so that A_t judges the choice of
    token t. lam=1: A is the return from t on minus V_t (unbiased, noisy); lam=0: A is delta alone (quiet, as
    wrong as the critic).

    `mask` [batch, time] is True for the tokens that the policy chose. Others (padding, but also holes such as
    the output of a tool) are skipped: t+1 means the NEXT CHOSEN token, no discount is taken for the hole, and
    rewards and values there are never read, NaN included. Results are 0 outside the mask.

    After the last chosen token the answer is over and its value is 0, for a truncated answer too: right where
    truncation is a failure that the reward already punishes. To treat it as a mere interruption instead, give
    `bootstrap` [batch]: the value of the text after the last token, 0 for the answers that did end.

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
    next_value = torch.zeros_like(values.sum(1)) if bootstrap is None else bootstrap.detach().to(values.dtype)
    later = torch.zeros_like(next_value)  # the advantage of the next chosen token
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
    """Sum of the (discounted) rewards from each token on: what a token can still influence. No gradient.

    It is `gae` with a critic that knows nothing (V = 0) and lam=1; masks mean the same there.

    >>> returns_to_go(torch.tensor([[-0.25, -0.5, 2.0]]), torch.tensor([[True, True, True]])).tolist()
    [[1.25, 1.5, 2.0]]
    """
    return gae(rewards, torch.zeros_like(rewards), mask, gamma, lam=1.0)[0]
