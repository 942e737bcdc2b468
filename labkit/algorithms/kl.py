"""How far has the policy moved? Estimators of the Kullback-Leibler divergence from sampled tokens."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.algorithms.reduction import check_choice

KLKind = Literal["k1", "k2", "k3"]


def kl_estimate(
    logprobs: Float[Tensor, "*shape"], ref_logprobs: Float[Tensor, "*shape"], kind: KLKind = "k3"
) -> Float[Tensor, "*shape"]:
    """Estimate of KL(policy || reference) in nats, for each token that was sampled from the policy.

    With x = logprobs - ref_logprobs (Schulman 2020, "Approximating KL divergence"; k3 is eq. 4 of Shao et al. 2024):

    - `k1` = x: unbiased, noisy, and negative for many tokens.
    - `k2` = x^2 / 2: biased, but the bias is small when the two policies are close.
    - `k3` = exp(-x) - 1 + x: unbiased, never negative.

    Inside the reward, use k1. In the loss the gradient counts, and there the estimators rank differently. On-policy, at
    each token with its prefix held fixed, the expected gradient of k1 is zero (k1 adds noise alone), that of k2 is
    exactly the gradient of the KL, and that of k3 is the gradient of the reverse divergence KL(reference || policy).

    Shapes: any, the same for both and for the result; log-probs in nats. exp is not clamped: in float32, k3 overflows
    where the reference gives a token more than e^88 times the probability that the policy gave it. Raises ValueError
    for an unknown kind.

    >>> x = torch.tensor([0.5, -0.5])
    >>> zero = torch.zeros(2)
    >>> kl_estimate(x, zero, "k1").tolist()
    [0.5, -0.5]
    >>> kl_estimate(x, zero, "k2").tolist()
    [0.125, 0.125]
    >>> [round(k, 4) for k in kl_estimate(x, zero, "k3").tolist()]
    [0.1065, 0.1487]
    """
    check_choice("kind", kind, get_args(KLKind))
    x = logprobs - ref_logprobs
    if kind == "k1":
        return x
    if kind == "k2":
        return x.square() / 2
    # For small x, as at most tokens, exp(-x) - 1 loses digits that expm1 keeps.
    return torch.expm1(-x) + x
