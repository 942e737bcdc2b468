"""When the policy that is trained is not quite the one that sampled: other precision, other kernels, older weights."""

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
    """min(p / p_sampler, cap) of each token, without gradient; 1 outside the mask.

    `logprobs` are the trainer's own BEFORE the update, `sampler_logprobs` those that the tokens were drawn with, in
    nats. Multiplied into the advantages, they turn an average over the sampler's tokens into one over the trainer's
    (importance sampling); the cap bounds what a single token can do, at the price of a bias (truncated importance
    sampling: Ionides 2008; for the mismatch of engines Yao et al. 2025, who cap at 2). Each token is weighed by
    itself, given the text before it: that text still comes as often as the sampler writes it.

    >>> now, drawn = torch.log(torch.tensor([[0.5, 0.8, 0.1]])), torch.log(torch.tensor([[0.5, 0.2, 0.2]]))
    >>> importance_weights(now, drawn, torch.tensor([[True, True, True]]), cap=2.0)
    tensor([[1.0000, 2.0000, 0.5000]])
    """
    log_ratio = torch.where(mask, logprobs - sampler_logprobs, 0.0)
    weights = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return weights if cap is None else weights.clamp(max=cap)
