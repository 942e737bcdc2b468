"""Learning from comparisons without a reward model: DPO and its family, on log-probs of whole answers.

Every loss compares a pair by one number, the difference d of two scores. The losses differ in the score (the log-ratio
to a reference or the log-prob itself, summed or averaged over tokens) and in the function of d. KTO, which needs no
pairs, is in `kto`.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from labkit.algorithms.reduction import Number, above_zero, batch_mean, check_choice

PreferenceKind = Literal["dpo", "cdpo", "robust_dpo", "ipo", "simpo", "orpo"]

# Kinds without a reference model, and kinds whose score is the mean log-prob per token, not the sum.
REFERENCE_FREE: tuple[PreferenceKind, ...] = ("simpo", "orpo")
PER_TOKEN: tuple[PreferenceKind, ...] = ("simpo", "orpo")


def preference_loss(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    ref_chosen: Float[Tensor, " pairs"] | None = None,
    ref_rejected: Float[Tensor, " pairs"] | None = None,
    kind: PreferenceKind = "dpo",
    beta: Number = 0.1,
    *,
    chosen_lengths: Int[Tensor, " pairs"] | None = None,
    rejected_lengths: Int[Tensor, " pairs"] | None = None,
    average: bool | None = None,
    label_smoothing: Number = 0.1,
    gamma: Number = 0.5,
    nll_coef: Number = 1.0,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Mean loss of the pairs (to minimise) and statistics; the gradient flows through the two `policy_*` alone.

    `policy_*`, `ref_*` [pairs]: log-prob of each whole completion, in nats, summed over its tokens without the prompt,
    under the policy and under the frozen reference. With d = (policy_chosen - ref_chosen) - (policy_rejected -
    ref_rejected) and s = sigmoid:

    - `dpo`: -log s(beta d) (Rafailov et al. 2023, eq. 7).
    - `cdpo`, for labels of which a share e = `label_smoothing` is wrong: -(1-e) log s(beta d) - e log s(-beta d)
      (Mitchell 2023). Its minimum lies where s(beta d) = 1 - e, not at infinity.
    - `robust_dpo`: (-(1-e) log s(beta d) + e log s(-beta d)) / (1 - 2e) (Chowdhury et al. 2024, eq. 5). Its mean over
      labels that are flipped with probability e is the DPO loss of the clean labels.
    - `ipo`: (d - 1 / (2 beta))^2 (Azar et al. 2024, eq. 17). It pulls every pair to a finite difference.
    - `simpo`: -log s(beta (mean_chosen - mean_rejected) - `gamma`), with mean log-probs per token and no reference
      (Meng et al. 2024, eq. 6). Its beta is large, 2 or more; `gamma` is the target margin, in the unit of beta d.
    - `orpo`: -`nll_coef` mean_chosen - beta log s(log odds_chosen - log odds_rejected), with odds = p / (1 - p) of
      p = exp(mean log-prob per token) and no reference (Hong et al. 2024, eq. 6 and 7). The first term is supervised
      fine-tuning on the chosen answers; every answer has the same weight. TRL averages it over all tokens of the batch,
      prompts included.

    `average` first divides the log-probs by the length of the answer, and then needs `*_lengths` [pairs], in tokens.
    None is the paper's choice: sums, but means for simpo and orpo. Systems differ for IPO: OpenRLHF sums, TRL averages
    (average=True), and 1 / (2 beta) is then a distance per token. dpo with average=True is TRL's `sigmoid_norm`.

    `normalizer`: see `batch_mean`. Statistics: 0-d tensors without gradient, means over the pairs: `pairs` (their
    number, the weight for an average over micro-batches), `accuracy` (share of pairs with d > 0; a tie counts one
    half), `margin` (beta d), `reward_chosen` and `reward_rejected` (beta times each score), `logprob_chosen` and
    `logprob_rejected` (the sums of the policy: `logprob_chosen` often falls during training).

    Raises ValueError for an unknown kind, a beta that is not above 0, a smoothing outside [0, 1/2), a missing reference
    or missing lengths, and for simpo or orpo with average=False.

    >>> policy_chosen, policy_rejected = torch.tensor([-10.0]).requires_grad_(), torch.tensor([-12.0])
    >>> ref_chosen, ref_rejected = torch.tensor([-11.0]), torch.tensor([-11.0])  # so d = 2
    >>> loss, stats = preference_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, "dpo", beta=0.5)
    >>> round(loss.item(), 4)  # -log sigmoid(1)
    0.3133
    >>> round(torch.autograd.grad(loss, policy_chosen)[0].item(), 4)  # -beta sigmoid(-1)
    -0.1345
    >>> stats["margin"].item(), stats["accuracy"].item()
    (1.0, 1.0)
    >>> loss, _ = preference_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, "ipo", beta=0.5)
    >>> loss.item()  # (2 - 1)^2
    1.0
    """
    check_choice("kind", kind, get_args(PreferenceKind))
    if beta <= 0:
        raise ValueError(f"beta={beta} must be above 0")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing={label_smoothing} is the share of wrong labels: from 0 to below 1/2")
    per_token = kind in PER_TOKEN if average is None else average
    if kind in REFERENCE_FREE and not per_token:
        raise ValueError(f"kind={kind!r} is defined on the mean log-prob per token: leave average out")
    chosen, rejected = policy_chosen, policy_rejected
    if kind not in REFERENCE_FREE:
        if ref_chosen is None or ref_rejected is None:
            raise ValueError(f"kind={kind!r} needs ref_chosen and ref_rejected, the reference's log-probs")
        chosen, rejected = chosen - ref_chosen.detach(), rejected - ref_rejected.detach()
    if per_token:
        if chosen_lengths is None or rejected_lengths is None:
            raise ValueError(f"kind={kind!r} with means per token needs chosen_lengths and rejected_lengths")
        chosen, rejected = chosen / chosen_lengths.clamp(min=1), rejected / rejected_lengths.clamp(min=1)

    d = chosen - rejected
    if kind == "dpo":
        losses = -F.logsigmoid(beta * d)
    elif kind == "cdpo":
        losses = -(1 - label_smoothing) * F.logsigmoid(beta * d) - label_smoothing * F.logsigmoid(-beta * d)
    elif kind == "robust_dpo":
        flipped = label_smoothing * F.logsigmoid(-beta * d)
        losses = (-(1 - label_smoothing) * F.logsigmoid(beta * d) + flipped) / (1 - 2 * label_smoothing)
    elif kind == "ipo":
        losses = (d - 1 / (2 * beta)).square()
    elif kind == "simpo":
        losses = -F.logsigmoid(beta * d - gamma)
    else:
        log_odds = d - log_one_minus_exp(chosen) + log_one_minus_exp(rejected)
        losses = -nll_coef * chosen - beta * F.logsigmoid(log_odds)
    stats = _statistics(beta * chosen.detach(), beta * rejected.detach(), policy_chosen, policy_rejected)
    return batch_mean(losses, normalizer), stats


def log_one_minus_exp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 - exp(x)) for log-probs x < 0 of any shape, in nats; accurate near 0 and far from it; -inf at 0.

    >>> [round(y, 6) for y in log_one_minus_exp(torch.tensor([-1e-6, -0.6931472, -20.0]).double()).tolist()]
    [-13.815511, -0.693147, -0.0]
    """
    # Maechler 2012, "Accurately computing log(1 - exp(-|a|))": expm1 near 0, log1p elsewhere. The branch that is not
    # taken gets a harmless argument: otherwise its infinite gradient would return as NaN.
    near = x > -0.6931471805599453
    return torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, x, -1.0))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, x))),
    )


@torch.no_grad()
def _statistics(
    reward_chosen: Tensor, reward_rejected: Tensor, logprob_chosen: Tensor, logprob_rejected: Tensor
) -> dict[str, Tensor]:
    """The number of pairs, and means over the pairs; all four arguments are [pairs]."""
    margin = reward_chosen - reward_rejected
    return {
        "pairs": torch.tensor(len(margin), device=margin.device),
        "accuracy": batch_mean(above_zero(margin)),
        "margin": batch_mean(margin),
        "reward_chosen": batch_mean(reward_chosen),
        "reward_rejected": batch_mean(reward_rejected),
        "logprob_chosen": batch_mean(logprob_chosen),
        "logprob_rejected": batch_mean(logprob_rejected),
    }
