"""KTO: learning from single answers labelled good or bad, after Kahneman and Tversky's prospect theory."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Number, above_zero, batch_mean


def kto_reference_point(
    policy_logprobs: Float[Tensor, " batch"], ref_logprobs: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """z = max(mean(policy - reference), 0), in nats: the log-ratio of an answer is compared with it. No gradient.

    `policy_logprobs`, `ref_logprobs` [batch]: sums over the completion, in nats, of mismatched pairs: each prompt is
    followed by the completion of another prompt of the batch (Ethayarajh et al. 2024, section 4.1). It is a rough and
    biased estimate of KL(policy || reference). Compute it on the whole batch, and pass it to every micro-batch.

    >>> kto_reference_point(torch.tensor([-8.0, -9.0]), torch.tensor([-9.0, -9.0])).item()
    0.5
    >>> kto_reference_point(torch.tensor([-9.0]), torch.tensor([-8.0])).item()
    0.0
    """
    return (policy_logprobs.detach() - ref_logprobs.detach()).mean().clamp(min=0)


def kto_loss(
    policy_logprobs: Float[Tensor, " batch"],
    ref_logprobs: Float[Tensor, " batch"],
    desirable: Bool[Tensor, " batch"],
    reference_point: Float[Tensor, ""] | Number,
    beta: Number = 0.1,
    *,
    desirable_weight: Number = 1.0,
    undesirable_weight: Number = 1.0,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Mean KTO loss of the answers (to minimise) and statistics; the gradient flows through `policy_logprobs` alone.

    `policy_logprobs`, `ref_logprobs` [batch]: log-prob of each whole completion, in nats, summed over its tokens
    without the prompt. `desirable` [batch]: True where the answer was labelled good. `reference_point`: see
    `kto_reference_point`. With d = policy - reference and z the reference point (Ethayarajh et al. 2024, eq. 8):

    - desirable: weight (1 - sigmoid(beta (d - z)))
    - undesirable: weight (1 - sigmoid(beta (z - d)))

    The gradient vanishes on both sides: the loss also gives up an answer that is very far on the wrong side. Where one
    kind is rare, choose the weights so that desirable_weight n_desirable / (undesirable_weight n_undesirable) lies
    between 1 and 4/3 (their section 4.2).

    `normalizer`: see `batch_mean`. Statistics: 0-d tensors without gradient: `answers` (their number, the weight for an
    average over micro-batches), `reward_desirable`, `reward_undesirable` (mean of beta d, 0 where there are none),
    `margin` (their difference), `accuracy` (share of the answers on their side of z; a tie counts one half),
    `reference_point`. Raises ValueError for beta <= 0.

    >>> policy, reference = torch.tensor([-9.0, -9.0]).requires_grad_(), torch.tensor([-10.0, -10.0])
    >>> loss, stats = kto_loss(policy, reference, torch.tensor([True, False]), reference_point=0.5, beta=1.0)
    >>> round(loss.item(), 4)  # (1 - sigmoid(0.5) + 1 - sigmoid(-0.5)) / 2
    0.5
    >>> [round(g, 4) for g in torch.autograd.grad(loss, policy)[0].tolist()]  # -+ s (1 - s) / 2
    [-0.1175, 0.1175]
    """
    if beta <= 0:
        raise ValueError(f"beta={beta} must be above 0")
    z = reference_point.detach() if isinstance(reference_point, Tensor) else reference_point
    d = policy_logprobs - ref_logprobs.detach()
    side = torch.where(desirable, d - z, z - d)
    weight = torch.where(desirable, float(desirable_weight), float(undesirable_weight)).to(d.dtype)
    losses = weight * torch.sigmoid(-beta * side)  # 1 - sigmoid(x) = sigmoid(-x), without loss of digits

    with torch.no_grad():
        good = torch.where(desirable, beta * d, 0.0).sum() / desirable.sum().clamp(min=1)
        bad = torch.where(desirable, 0.0, beta * d).sum() / (~desirable).sum().clamp(min=1)
        stats = {
            "answers": torch.tensor(len(d), device=d.device),
            "reward_desirable": good,
            "reward_undesirable": bad,
            "margin": good - bad,
            "accuracy": batch_mean(above_zero(side)),
            "reference_point": torch.as_tensor(z, dtype=d.dtype, device=d.device),
        }
    return batch_mean(losses, normalizer), stats
