"""The critic's loss: squared error to the returns, with PPO's clipping."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Aggregate, Number, aggregate_tokens, masked_mean


def value_loss(
    values: Float[Tensor, "batch time"],
    old_values: Float[Tensor, "batch time"],
    returns: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    clip: Number | None = 0.2,
    *,
    aggregate: Aggregate = "token_mean",
    norm_length: Number | None = None,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Half the squared error of the critic (to minimise) and statistics; the gradient flows through `values` alone.

    `values` (of the critic now), `old_values` (when the answers were sampled) and `returns` (from `gae`) are
    [batch, time]. With `clip`, a value may not win by running further than `clip` from its old one:

        1/2 max((v - return)^2, (clamp(v, old - clip, old + clip) - return)^2)

    (Schulman's PPO code; see Huang et al. 2022, "The 37 implementation details of PPO", detail 9.) The LARGER of
    the two counts: a value that has moved far TOWARDS its return has no more gradient; one that has moved away
    keeps its full gradient. `clip` is in units of the reward; None switches it off.

    `aggregate`, `norm_length`, `normalizer` as in `policy_loss`; what stands outside the mask never matters.
    Statistics, without gradient: `tokens`, `value_mean`, `return_mean`, `value_error` (mean squared error, not
    halved), `explained_variance` (1 - var(return - v) / var(return): 1 is a perfect critic, 0 one that knows the
    mean alone; 0 where the returns don't vary), `value_clip_fraction` (share of tokens with no gradient left).
    Raises ValueError for a negative clip.

    >>> now, old = torch.tensor([[0.5, 0.5]]).requires_grad_(), torch.tensor([[0.0, 0.0]])
    >>> loss, stats = value_loss(now, old, torch.tensor([[1.0, -1.0]]), torch.tensor([[True, True]]))
    >>> round(loss.item(), 4)  # towards its return, clipped: (0.2 - 1)^2; away from it: (0.5 + 1)^2; / 2 / 2
    0.7225
    >>> torch.autograd.grad(loss, now)[0].tolist()
    [[0.0, 0.75]]
    >>> stats["value_clip_fraction"].item()
    0.5
    """
    if clip is not None and clip < 0:
        raise ValueError(f"clip={clip} is a distance from the old value: it must be >= 0, or None to switch it off")
    values = torch.where(mask, values, 0.0)
    returns = torch.where(mask, returns.detach(), 0.0)
    error = (values - returns).square()
    worst = error
    if clip is not None:
        old = torch.where(mask, old_values.detach(), 0.0)
        clipped = (torch.clamp(values, old - clip, old + clip) - returns).square()
        worst = torch.maximum(error, clipped)
    loss = aggregate_tokens(worst, mask, aggregate, norm_length, normalizer) / 2

    with torch.no_grad():
        value_mean, return_mean = masked_mean(values, mask), masked_mean(returns, mask)
        spread = masked_mean((returns - return_mean).square(), mask)
        left = masked_mean((returns - values - return_mean + value_mean).square(), mask)
        stats = {
            "tokens": mask.sum(),
            "value_mean": value_mean,
            "return_mean": return_mean,
            "value_error": masked_mean(error, mask),
            "explained_variance": torch.where(spread > 0, 1 - left / spread, 0.0),
            "value_clip_fraction": masked_mean((worst > error).to(error.dtype), mask),
        }
    return loss, stats
