"""The critic: its loss, which is the squared error to the returns with PPO's clipping, and how much it explains."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Number, Reduction, aggregate_tokens, masked_mean


def value_loss(
    values: Float[Tensor, "batch time"],
    old_values: Float[Tensor, "batch time"],
    returns: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    clip: Number | None = 0.2,
    *,
    aggregate: Reduction = "token_mean",
    norm_length: Number | None = None,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""] | Float[Tensor, "batch time"], dict[str, Tensor]]:
    """Half the squared error of the critic (to minimise) and statistics; the gradient flows through `values` alone.

    `values` (of the critic now), `old_values` (at sampling), `returns` (from `gae`) and `mask` are [batch, time]. With
    `clip`, a value gains nothing by moving further than `clip` away from its old value:

        1/2 max((v - return)^2, (clamp(v, old - clip, old + clip) - return)^2)

    (Schulman's PPO code; see Huang et al. 2022, "The 37 implementation details of PPO", detail 9.) The larger of the
    two errors counts: a value that has moved far towards its return has no gradient any more, and a value that has
    moved away keeps its full gradient. `clip` is in the unit of the reward; None switches it off.

    `aggregate`, `norm_length`, `normalizer` as in `policy_loss`; values outside the mask never matter. Statistics:
    0-d tensors without gradient, over the tokens of the mask:
    - `tokens`: the number of tokens, which is the weight for an average over micro-batches.
    - `value_mean`, `return_mean`, `value_error` (mean squared error, not halved).
    - `explained_variance`: that of these tokens. Variances of micro-batches do not average to that of the batch: call
      `explained_variance` on the batch for that.
    - `value_clip_fraction`: share of tokens whose gradient the clip removes.

    Raises ValueError for a negative clip and for an unknown aggregate.

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
        stats = {
            "tokens": mask.sum(),
            "value_mean": masked_mean(values, mask),
            "return_mean": masked_mean(returns, mask),
            "value_error": masked_mean(error, mask),
            "explained_variance": explained_variance(values, returns, mask),
            "value_clip_fraction": masked_mean((worst > error).to(error.dtype), mask),
        }
    return loss, stats


@torch.no_grad()
def explained_variance(
    values: Float[Tensor, "batch time"], returns: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """1 - variance(return - value) / variance(return) over the tokens of the mask; no unit, no gradient.

    1 is a perfect critic, 0 a critic that is no better than a constant, and below 0 it is worse than one. NaN where the
    returns are all equal (or there is no token): there is no variance to explain, and 0 would look like a bad critic.
    Values outside the mask never matter.

    >>> mask = torch.tensor([[True, True]])
    >>> explained_variance(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 2.0]]), mask).item()
    0.75
    >>> explained_variance(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.1, 0.1]]), mask).item()
    nan
    """

    def variance(x: Tensor) -> Tensor:
        return masked_mean((x - masked_mean(x, mask)).square(), mask)

    nan = returns.new_full((), torch.nan)
    if not mask.numel():
        return nan
    # Largest against smallest: in floating point the variance of equal numbers need not be 0.
    varied = torch.where(mask, returns, -torch.inf).amax() > torch.where(mask, returns, torch.inf).amin()
    return torch.where(varied, 1 - variance(returns - values) / variance(returns), nan)
