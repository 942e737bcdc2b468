"""Masks that leave tokens out of the policy loss: by their entropy, and by how off-policy their sequence is.

Each function returns a narrower mask [batch, time]: True for the tokens of `mask` that stay. Multiply the advantages by
it, and pass the old mask to the loss:

    keep = top_entropy_mask(entropy, mask, share=0.2)
    loss, stats = preset.loss(logprobs, old_logprobs, advantages[:, None] * keep, mask)

The loss of a token with advantage 0 is 0, and the loss still divides by all tokens of `mask`. TRL does the same. (With
ratio="sequence" such a token keeps a gradient, because the ratio of the other tokens contains its log-prob.) To divide
by the tokens that stay instead, pass `keep` as the mask.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Number, masked_mean


@torch.no_grad()
def top_entropy_mask(
    entropy: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"], share: Number = 0.2
) -> Bool[Tensor, "batch time"]:
    """True for the tokens of the mask with the highest entropy: `share` of them, over the whole batch.

    Wang et al. 2025, "Beyond the 80/20 rule", arXiv:2506.01939: in their runs, training on a share of 0.2 was as good
    as training on all tokens, or better. `entropy` [batch, time], in nats, of the distribution that each token
    was drawn from (`labkit.token_logprobs_and_entropy`).

    Of n tokens, 1 + floor(share (n - 1)) stay: those at or above the (1 - share) quantile, as TRL's
    `top_entropy_quantile` has it. So share=0 keeps the single highest, share=1 keeps all, and tokens that tie with the
    last one stay too. Entropies outside the mask are never read. Raises ValueError unless 0 <= share <= 1.

    >>> entropy = torch.tensor([[0.1, 0.9, 0.3], [0.8, 0.0, 5.0]])
    >>> mask = torch.tensor([[True, True, True], [True, True, False]])
    >>> top_entropy_mask(entropy, mask, share=0.25).tolist()  # 2 of 5
    [[False, True, False], [True, False, False]]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} is a share of the tokens: it must lie between 0 and 1")
    values = entropy[mask]
    if not len(values):
        return torch.zeros_like(mask)
    # 1e-9 against rounding: 0.29 * 100 is 28.999999999999996 in floating point.
    kept = 1 + math.floor(share * (len(values) - 1) + 1e-9)
    threshold = values.sort(descending=True).values[kept - 1]
    return mask & (entropy >= threshold)


@torch.no_grad()
def off_policy_sequence_mask(
    logprobs: Float[Tensor, "batch time"],
    sampler_logprobs: Float[Tensor, "batch time"],
    advantages: Float[Tensor, " batch"] | Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    threshold: Number,
) -> Bool[Tensor, "batch time"]:
    """False where the advantage is negative and the sequence is too off-policy; True for the other tokens of the mask.

    DeepSeek-V3.2 (DeepSeek-AI 2025, arXiv:2512.02556, eq. 9); TRL's `off_policy_mask_threshold`. `logprobs` are those
    of the policy now, `sampler_logprobs` those of the distribution that the tokens were drawn from, both [batch, time]
    in nats. `advantages` [batch] or [batch, time].

    A sequence is too off-policy where the mean over its tokens of log p_sampler - log p_now is above `threshold`, in
    nats per token: the policy has become less likely to write it. Learning from its mistakes would then push down what
    the policy hardly does any more, which made training unstable. A good answer always stays. Raises ValueError for a
    negative threshold.

    >>> sampler = torch.tensor([[-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]])
    >>> now = torch.tensor([[-1.0, -1.5], [-2.0, -3.0], [-2.0, -3.0]])  # means 0.25, 1.5 and 1.5 nats per token
    >>> advantages, mask = torch.tensor([-1.0, -1.0, 1.0]), torch.ones(3, 2, dtype=torch.bool)
    >>> off_policy_sequence_mask(now, sampler, advantages, mask, threshold=0.5).tolist()
    [[True, True], [False, False], [True, True]]
    """
    if threshold < 0:
        raise ValueError(f"threshold={threshold} is a distance in nats per token: it must be >= 0")
    gap = masked_mean(sampler_logprobs - logprobs, mask, dim=1)
    advantage = advantages if advantages.dim() == 2 else advantages[:, None]
    return mask & ((advantage >= 0) | (gap <= threshold)[:, None])
