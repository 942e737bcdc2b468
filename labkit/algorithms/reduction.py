"""From per-token values to one number: masked means, whitening, entropy, and the four ways to aggregate a loss.

How the losses of tokens are averaged is a choice with consequences. It decides whether a long answer has the same
weight as a short one (`sequence_mean`) or more weight (`token_mean`, `sequence_sum`), or whether its length is compared
with a fixed length (`sequence_sum_norm`). `aggregate_tokens` shows the four next to each other.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Aggregate = Literal["token_mean", "sequence_mean", "sequence_sum", "sequence_sum_norm"]
# "none": no aggregation, one loss per token.
Reduction = Literal[Aggregate, "none"]
Number = float | int


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError with the list of choices when `value` is not one of them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")


def masked_mean(
    values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], dim: int | tuple[int, ...] | None = None
) -> Float[Tensor, "*reduced"]:
    """Mean of the values where the mask is True, over all dimensions or over `dim`; in the unit of the values.

    `dim` is removed from the shape, as in torch.mean: dim=1 of [batch, time] gives one mean per sequence [batch]. Where
    the mask is True nowhere, the mean is 0 and so is its gradient. Values outside the mask never count, even if they
    are inf or NaN.

    >>> values = torch.tensor([[1.0, 3.0, float("nan")], [5.0, 0.0, 0.0]])
    >>> mask = torch.tensor([[True, True, False], [True, False, False]])
    >>> masked_mean(values, mask).item()
    3.0
    >>> masked_mean(values, mask, dim=1).tolist()
    [2.0, 5.0]
    """
    return torch.where(mask, values, 0.0).sum(dim) / mask.sum(dim).clamp(min=1)


def batch_mean(losses: Float[Tensor, " batch"], normalizer: Number | None = None) -> Float[Tensor, ""]:
    """Sum of the losses [batch], divided by their number or by `normalizer`; 0 for an empty batch.

    `normalizer` is the number of rows of a larger batch, of which these are one micro-batch: the results of all
    micro-batches then add up to the mean over the larger batch.

    >>> batch_mean(torch.tensor([1.0, 3.0])).item(), batch_mean(torch.tensor([1.0, 3.0]), normalizer=8).item()
    (2.0, 0.5)
    """
    return losses.sum() / max(len(losses) if normalizer is None else normalizer, 1)


def above_zero(margin: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 where the margin is above 0, 0 where it is below, and one half where it is exactly 0: a tie counts one half.

    Its mean is the accuracy of whatever predicted the sign of the margin. No gradient.

    >>> above_zero(torch.tensor([0.3, 0.0, -2.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    return (1 + margin.detach().sign()) / 2


def whiten(
    values: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    shift_mean: bool = True,
    ddof: int = 1,
    eps: Number = 1e-8,
) -> Float[Tensor, "*shape"]:
    """Values of mean 0 and variance 1 over the mask: (v - mean) / sqrt(variance + eps); 0 outside the mask.

    shift_mean=False adds the mean again after the division (for rewards, whose sign has a meaning). `ddof` is
    subtracted from the number of values when the variance is computed: 1 is Bessel's correction (veRL), 0 is none
    (OpenRLHF). Equal values become exactly 0 (or their mean, with shift_mean=False), and so does a mask of at most
    `ddof` values. Values outside the mask are never read. Source: Schulman's PPO code (Huang et al. 2022, "The 37
    implementation details of PPO", detail 7).

    >>> mask = torch.tensor([True, True, True, False])
    >>> whiten(torch.tensor([1.0, 2.0, 3.0, float("nan")]), mask).tolist()  # the variance of 1, 2, 3 is 1
    [-1.0, 0.0, 1.0, 0.0]
    >>> whiten(torch.tensor([1.0, 2.0, 3.0, float("nan")]), mask, shift_mean=False).tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    count = mask.sum()
    if not count:
        return torch.where(mask, values, 0.0)
    # Measured from the smallest value, equal values are exactly 0: see advantage._above_least.
    least = values[mask].min()
    above = torch.where(mask, values - least, 0.0)
    shift = above.sum() / count
    centred = torch.where(mask, above - shift, 0.0)
    variance = centred.square().sum() / (count - ddof).clamp(min=1)
    whitened = torch.where(count > ddof, centred * torch.rsqrt(variance + eps), 0.0)
    return whitened if shift_mean else torch.where(mask, whitened + least + shift, 0.0)


def entropy(logits: Float[Tensor, "*shape vocabulary"]) -> Float[Tensor, "*shape"]:
    """Entropy in nats of the softmax distribution of each row of logits: H = -sum_v p_v log p_v (Shannon 1948).

    A token with logit -inf has probability 0 and contributes 0, the limit of p log p. The logits of column t - 1
    predict token t: for the entropy at the sampled tokens, shift before or after the call.

    >>> entropy(torch.tensor([[0.0, 0.0], [0.0, float("-inf")]])).tolist()  # log 2; and 0, where one token is certain
    [0.6931471824645996, 0.0]
    """
    log_p = torch.log_softmax(logits, dim=-1)
    # p log p -> 0 as p -> 0, but 0 * -inf is NaN in floating point, in the value and in its gradient.
    return (log_p.exp() * -log_p.masked_fill(log_p == float("-inf"), 0.0)).sum(-1)


def loss_normalizer(mask: Bool[Tensor, "batch time"], aggregate: Aggregate) -> int:
    """The number that `aggregate_tokens` divides by: of tokens for `token_mean`, else of sequences.

    Compute it on the whole batch and pass it to every micro-batch. The losses of the micro-batches then add up to the
    loss of the batch. A row without a token counts as a sequence, because it was sampled. Raises ValueError for an
    unknown aggregate, and for "none", which divides by nothing.

    >>> mask = torch.tensor([[True, True, True], [True, False, False]])
    >>> loss_normalizer(mask, "token_mean"), loss_normalizer(mask, "sequence_mean")
    (4, 2)
    """
    check_choice("aggregate", aggregate, get_args(Aggregate))
    return int(mask.sum()) if aggregate == "token_mean" else mask.shape[0]


def aggregate_tokens(
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    aggregate: Reduction = "token_mean",
    norm_length: Number | None = None,
    normalizer: Number | None = None,
) -> Float[Tensor, ""] | Float[Tensor, "batch time"]:
    """Aggregate per-token values [batch, time] to one number; with T_i the tokens of row i of B rows:

    - `token_mean`: sum_i sum_t v_it / sum_i T_i. Every token has the same weight (DAPO, Yu et al. 2025, eq. 8).
    - `sequence_mean`: 1/B sum_i (1/T_i) sum_t v_it. Every sequence has the same weight, so a token of a long answer has
      less (GRPO, Shao et al. 2024, eq. 3).
    - `sequence_sum`: 1/B sum_i sum_t v_it. This is the sum of the policy gradient theorem.
    - `sequence_sum_norm`: 1/B sum_i sum_t v_it / norm_length, with a constant such as the longest answer allowed, in
      tokens (Dr. GRPO, Liu et al. 2025).
    - `none`: no aggregation. The result is v_it [batch, time], 0 outside the mask, for an average of your own;
      `norm_length` and `normalizer` are not used.

    `normalizer` replaces the number of tokens (`token_mean`) or B (the others), for a micro-batch of a larger batch:
    see `loss_normalizer`. Without any token the result is 0, and so is its gradient. Raises ValueError for an unknown
    aggregate, and for `sequence_sum_norm` without a positive `norm_length`.

    >>> values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [4.0, 0.0, 0.0, 0.0]])
    >>> mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    >>> aggregate_tokens(values, mask, "token_mean").item()  # (1 + 1 + 1 + 1 + 4) / 5
    1.600000023841858
    >>> aggregate_tokens(values, mask, "sequence_mean").item()  # (4/4 + 4/1) / 2
    2.5
    >>> aggregate_tokens(values, mask, "sequence_sum").item()  # (4 + 4) / 2
    4.0
    >>> aggregate_tokens(values, mask, "sequence_sum_norm", norm_length=8).item()  # (4/8 + 4/8) / 2
    0.5
    """
    check_choice("aggregate", aggregate, get_args(Reduction))
    if aggregate == "none":
        return torch.where(mask, values, 0.0)
    per_sequence = torch.where(mask, values, 0.0).sum(dim=1)
    if aggregate == "sequence_mean":
        per_sequence = per_sequence / mask.sum(dim=1).clamp(min=1)
    elif aggregate == "sequence_sum_norm":
        if norm_length is None or norm_length <= 0:
            raise ValueError("aggregate='sequence_sum_norm' needs norm_length > 0: the longest answer allowed")
        per_sequence = per_sequence / norm_length
    count = loss_normalizer(mask, aggregate) if normalizer is None else normalizer
    return per_sequence.sum() / max(count, 1)
