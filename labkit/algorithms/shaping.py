"""Changes to the rewards before advantages are computed: by length, by KL to the reference, and per token."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms.kl import kl_estimate
from labkit.algorithms.reduction import Number


def overlong_penalty(lengths: Int[Tensor, " batch"], max_length: Number, buffer: Number) -> Float[Tensor, " batch"]:
    """Penalty [batch] from 0 down to -1 for an answer whose length comes near the longest length allowed.

    DAPO's overlong shaping (Yu et al. 2025, eq. 13): 0 up to max_length - buffer tokens, then a straight line down to
    -1 at max_length, and -1 beyond it. Add it to the reward. `lengths` [batch] of the answers, `max_length` and
    `buffer` are numbers of tokens. Raises ValueError unless 0 < buffer <= max_length.

    >>> overlong_penalty(torch.tensor([50, 80, 90, 100, 120]), max_length=100, buffer=20).tolist()
    [0.0, 0.0, -0.5, -1.0, -1.0]
    """
    if not 0 < buffer <= max_length:
        raise ValueError(f"buffer={buffer} must be above 0 and at most max_length={max_length}")
    return ((max_length - buffer - lengths) / buffer).clamp(-1.0, 0.0)


def kl_penalty(
    logprobs: Float[Tensor, "batch time"],
    ref_logprobs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, " batch"]:
    """Sum over each sequence [batch] of log p_policy - log p_reference, in nats. No gradient.

    A penalty in the reward subtracts beta times this sum (Ziegler et al. 2019, eq. 2). The sum is the k1 estimate of
    KL(policy || reference) of the whole answer. Log-probs and `mask` [batch, time]; values outside the mask never
    matter.

    >>> logprobs, ref_logprobs = torch.tensor([[-1.0, -2.0, 0.0]]), torch.tensor([[-1.5, -2.5, 9.0]])
    >>> kl_penalty(logprobs, ref_logprobs, torch.tensor([[True, True, False]])).tolist()
    [1.0]
    """
    x = kl_estimate(logprobs.detach(), ref_logprobs.detach(), "k1")
    return torch.where(mask, x, 0.0).sum(dim=1)


def token_rewards(
    scores: Float[Tensor, " batch"],
    mask: Bool[Tensor, "batch time"],
    kl: Float[Tensor, "batch time"] | None = None,
    kl_coef: Number = 0.0,
) -> Float[Tensor, "batch time"]:
    """Reward of each token [batch, time]: the score of the answer at its last token, minus kl_coef * kl at every token.

    This is the KL penalty in the reward of PPO and REINFORCE++ (Ouyang et al. 2022, eq. 2; Ziegler et al. 2019, eq. 2).
    `scores` [batch]; `kl` [batch, time], in nats: log p_policy - log p_reference of the sampled tokens, the k1 estimate
    of `kl_estimate`. The sum over a row is score - kl_coef * `kl_penalty`. Outside the mask the result is 0 and nothing
    is read; a row without a token has no reward. No gradient. Raises ValueError for a coefficient without `kl`.

    >>> mask = torch.tensor([[True, True, False]])
    >>> token_rewards(torch.tensor([2.0]), mask, torch.tensor([[1.0, -0.5, 9.0]]), kl_coef=0.5).tolist()
    [[-0.5, 2.25, 0.0]]
    """
    # The last token of the mask: counted from the end [batch, time], it is the first True.
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)
    rewards = torch.where(last, scores.detach()[:, None], 0.0)
    if kl_coef == 0:
        return rewards
    if kl is None:
        raise ValueError(f"kl_coef={kl_coef} needs kl: pass kl_estimate(logprobs, ref_logprobs, 'k1')")
    return rewards - kl_coef * torch.where(mask, kl.detach(), 0.0)
