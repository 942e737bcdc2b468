"""Importance weights, for a sampler that differs a little from the trained policy.

Causes of such a difference: another precision, other kernels, or weights from an earlier step.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.policy import LOG_RATIO_LIMIT
from labkit.algorithms.reduction import Number


@torch.no_grad()
def importance_weights(
    logprobs: Float[Tensor, "batch time"],
    sampler_logprobs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    cap: Number | None = None,
) -> Float[Tensor, "batch time"]:
    """min(p / p_sampler, cap) of each token [batch, time], without gradient; 1 outside the mask.

    `logprobs` [batch, time] are the trainer's before the update, and `sampler_logprobs` [batch, time] those of the
    distribution that the tokens were drawn from, both in nats. Multiply the advantages by the weights: an average over
    the sampler's tokens then becomes one over the trainer's (importance sampling). The cap bounds the influence of a
    single token and adds a bias (truncated importance sampling: Ionides 2008; for differences between engines Yao et
    al. 2025, who cap at 2). Each token is weighted given the text before it; how often that text occurs still depends
    on the sampler. Log ratios are clamped to +-LOG_RATIO_LIMIT, as in `policy_loss`.

    >>> now, drawn = torch.log(torch.tensor([[0.5, 0.8, 0.1]])), torch.log(torch.tensor([[0.5, 0.2, 0.2]]))
    >>> importance_weights(now, drawn, torch.tensor([[True, True, True]]), cap=2.0)
    tensor([[1.0000, 2.0000, 0.5000]])
    """
    log_ratio = torch.where(mask, logprobs - sampler_logprobs, 0.0)
    weights = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return weights if cap is None else weights.clamp(max=cap)
