"""From per-token values to one number: masked means, whitening, entropy, and the four ways to aggregate a loss.

How token losses are averaged is a choice with consequences: it decides whether a long answer weighs as much
as a short one (`sequence_mean`), more (`token_mean`, `sequence_sum`), or is compared with a fixed length
(`sequence_sum_norm`). The four are side by side in `aggregate_tokens`.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Aggregate = Literal["token_mean", "sequence_mean", "sequence_sum", "sequence_sum_norm"]
Number = float | int


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError with the list of choices when `value` is not one of them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean of the values where the mask is True; 0 (with gradient 0) where it is True nowhere.

    Values outside the mask never count, not even when they are inf or NaN.

    >>> masked_mean(torch.tensor([1.0, 3.0, float("nan")]), torch.tensor([True, True, False])).item()
    2.0
    """
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def whiten(
    values: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    shift_mean: bool = True,
    ddof: int = 1,
    eps: Number = 1e-8,
) -> Float[Tensor, "*shape"]:
    """Values of mean 0 and variance 1 over the mask: (v - mean) / sqrt(variance + eps); 0 outside the mask.

    shift_mean=False puts the mean back after scaling (for rewards, whose sign means something). `ddof`: 1 takes
    Bessel's correction (veRL), 0 does not (OpenRLHF). Equal values become exactly 0 (or their mean, with
    shift_mean=False), as does a mask of no more than `ddof` values; values outside the mask are never read.

    >>> mask = torch.tensor([True, True, True, False])
    >>> whiten(torch.tensor([1.0, 2.0, 3.0, float("nan")]), mask).tolist()  # the variance of 1, 2, 3 is 1
    [-1.0, 0.0, 1.0, 0.0]
    >>> whiten(torch.tensor([1.0, 2.0, 3.0, float("nan")]), mask, shift_mean=False).tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    count = mask.sum()
    if not count:
        return torch.where(mask, values, 0.0)
    # Measured from the least value, equal values are exactly 0: see advantage._above_least.
    least = values[mask].min()
    above = torch.where(mask, values - least, 0.0)
    shift = above.sum() / count
    centred = torch.where(mask, above - shift, 0.0)
    variance = centred.square().sum() / (count - ddof).clamp(min=1)
    whitened = torch.where(count > ddof, centred * torch.rsqrt(variance + eps), 0.0)
    return whitened if shift_mean else torch.where(mask, whitened + least + shift, 0.0)


def entropy(logits: Float[Tensor, "*shape vocabulary"]) -> Float[Tensor, "*shape"]:
    """Entropy in nats of the softmax distribution of each row of logits: H = -sum_v p_v log p_v.

    A token that is ruled out (logit -inf) contributes 0, its limit.

    >>> entropy(torch.tensor([[0.0, 0.0], [0.0, float("-inf")]])).tolist()  # log 2, and a sure thing
    [0.6931471824645996, 0.0]
    """
    log_p = torch.log_softmax(logits, dim=-1)
    # p log p -> 0 as p -> 0, but 0 * -inf is NaN in floating point, in the value and in its gradient.
    return (log_p.exp() * -log_p.masked_fill(log_p == float("-inf"), 0.0)).sum(-1)


def loss_normalizer(mask: Bool[Tensor, "batch time"], aggregate: Aggregate) -> int:
    """What `aggregate_tokens` divides by: the tokens for `token_mean`, else the sequences of the batch.

    Compute it on the WHOLE batch and hand it to every micro-batch; the micro-batch losses then add up to the
    loss of the batch. A row without a single token still counts as a sequence: it was sampled.

    >>> mask = torch.tensor([[True, True, True], [True, False, False]])
    >>> loss_normalizer(mask, "token_mean"), loss_normalizer(mask, "sequence_mean")
    (4, 2)
    """
    check_choice("aggregate", aggregate, get_args(Aggregate))
    return int(mask.sum()) if aggregate == "token_mean" else mask.shape[0]


def aggregate_tokens(
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    aggregate: Aggregate = "token_mean",
    norm_length: Number | None = None,
    normalizer: Number | None = None,
) -> Float[Tensor, ""]:
    """Aggregate per-token values [batch, time] to one number; with T_i the tokens of row i of B rows:

    - `token_mean`: sum_i sum_t v_it / sum_i T_i. Every token weighs the same (DAPO, Yu et al. 2025, eq. 8).
    - `sequence_mean`: 1/B sum_i (1/T_i) sum_t v_it. Every sequence weighs the same, so a token of a long
      answer weighs less (GRPO, Shao et al. 2024, eq. 3).
    - `sequence_sum`: 1/B sum_i sum_t v_it. The policy gradient theorem's own.
    - `sequence_sum_norm`: 1/B sum_i sum_t v_it / norm_length, a constant such as the longest answer allowed
      (Dr. GRPO, Liu et al. 2025).

    `normalizer` replaces the number of tokens (`token_mean`) or B (the others), for a micro-batch of a larger
    batch: see `loss_normalizer`. Without any token the result is 0, and so is its gradient.
    Raises ValueError for an unknown aggregate, or `sequence_sum_norm` without a positive `norm_length`.

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
    check_choice("aggregate", aggregate, get_args(Aggregate))
    per_sequence = torch.where(mask, values, 0.0).sum(dim=1)
    if aggregate == "sequence_mean":
        per_sequence = per_sequence / mask.sum(dim=1).clamp(min=1)
    elif aggregate == "sequence_sum_norm":
        if norm_length is None or norm_length <= 0:
            raise ValueError("aggregate='sequence_sum_norm' needs norm_length > 0: the longest answer allowed")
        per_sequence = per_sequence / norm_length
    count = loss_normalizer(mask, aggregate) if normalizer is None else normalizer
    return per_sequence.sum() / max(count, 1)
