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
    """Estimate KL(policy || reference) at each token that was SAMPLED FROM THE POLICY.

    With x = logprobs - ref_logprobs (Schulman 2020, "Approximating KL divergence"; k3 is eq. 4 of Shao et
    al. 2024):

    - `k1` = x: unbiased, noisy, negative for half of the tokens.
    - `k2` = x^2 / 2: biased, but small when the two policies are close.
    - `k3` = exp(-x) - 1 + x: unbiased, never negative.

    As a PENALTY INSIDE THE REWARD use k1. As a LOSS what counts is the gradient, and there the order is
    another: on-policy, at each token with its prefix held fixed, the expected gradient of k1 is zero (it adds
    noise alone), that of k2 is exactly the gradient of the KL, that of k3 is the gradient of the REVERSE
    divergence KL(reference || policy).

    Shapes: any, the same for both. exp is not clamped: k3 overflows in float32 where the reference finds a
    token more than e^88 times likelier than the policy that sampled it. Raises ValueError for an unknown
    kind.

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
    # expm1 keeps the digits that exp(-x) - 1 loses for small x, which is where most tokens are.
    return torch.expm1(-x) + x
