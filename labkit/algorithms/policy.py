"""The policy loss: one function. REINFORCE, PPO-clip, GRPO, DAPO, GSPO, CISPO and SAPO differ by its options.

Two terms are not here: the KL to a reference and the entropy bonus, which `Preset.loss` adds. Every per-token tensor is
[batch, time], and column t is about token t itself: the shift by one between logits and tokens is already done where
the log-probs are computed (`labkit.models.token_logprobs`).
"""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.kl import kl_estimate
from labkit.algorithms.reduction import Number, Reduction, aggregate_tokens, check_choice, masked_mean

Objective = Literal["clip", "reinforce", "cispo", "sapo"]
Ratio = Literal["token", "sequence"]

# A log ratio is clamped to +-LOG_RATIO_LIMIT before exp (a ratio of at most 5e8). A token beyond it has no gradient
# through its ratio, instead of the inf * 0 = NaN that a single broken token would bring to all weights. The statistics
# count such tokens.
LOG_RATIO_LIMIT = 20.0


def policy_loss(
    logprobs: Float[Tensor, "batch time"],
    old_logprobs: Float[Tensor, "batch time"],
    advantages: Float[Tensor, " batch"] | Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    objective: Objective = "clip",
    ratio: Ratio = "token",
    clip_low: Number = 0.2,
    clip_high: Number = 0.2,
    dual_clip: Number | None = None,
    tau_pos: Number = 1.0,
    tau_neg: Number = 1.05,
    aggregate: Reduction = "token_mean",
    norm_length: Number | None = None,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""] | Float[Tensor, "batch time"], dict[str, Tensor]]:
    """Policy gradient loss (to minimise) and its statistics; the gradient flows through `logprobs` alone.

    Shapes: `logprobs` (of the policy now) and `old_logprobs` (at sampling) [batch, time], in nats; `advantages`
    [batch], or [batch, time] where they differ from token to token; `mask` [batch, time], True for the tokens that the
    policy chose. Values outside the mask never matter, even if they are NaN.

    Ratio r: `token` is p_now / p_old of each token (PPO, Schulman et al. 2017). `sequence` is the geometric mean of
    these over the sequence, the same for all of its tokens (GSPO, Zheng et al. 2025, eq. 7).

    Objectives, per token, with c(r) = clip(r, 1 - clip_low, 1 + clip_high):
    - `clip`: -min(r A, c(r) A) (Schulman et al. 2017, eq. 7). `dual_clip` > 1 caps it at -dual_clip A where A < 0 (Ye
      et al. 2020). A clipped token has no gradient.
    - `reinforce`: -A log p, without ratio and clip (Williams 1992): right only for samples of the present policy.
    - `cispo`: -stop_gradient(c(r)) A log p (MiniMax-M1, Chen et al. 2025, eq. 4 and 5): a clipped token keeps a
      gradient. The bound is relative, 1 + clip_high. (TRL takes an absolute bound.)
    - `sapo`: -(4 / tau) sigmoid(tau (r - 1)) A, with tau = `tau_pos` where A > 0 and `tau_neg` elsewhere (Gao et al.
      2025, "Soft adaptive policy optimization", arXiv:2511.20347). A soft gate replaces the clip: the gradient of r is
      multiplied by sech^2(tau (r - 1) / 2), which is 1 at r = 1 and tends to 0 far from it. A larger tau is stricter.

    To switch clipping off: clip_low=1, clip_high=math.inf.

    `aggregate`, `norm_length` and `normalizer`: see `aggregate_tokens`. With normalizer=loss_normalizer(mask of the
    whole batch, aggregate), the losses of the micro-batches add up to the loss of the batch, and so do their gradients.
    With aggregate="none" the loss is [batch, time], one loss per token and 0 outside the mask.

    Log ratios are clamped to +-LOG_RATIO_LIMIT = +-20 before exp; nothing else is clamped.

    Statistics: 0-d tensors without gradient, over the tokens of the mask; all are 0 without a token.
    - `tokens`: the number of tokens, which is the weight for an average over micro-batches.
    - `ratio_mean`, `ratio_max`.
    - `clip_fraction` = `clip_fraction_low` + `clip_fraction_high`: share of tokens at which a bound is active. For
      `clip` that depends on the sign of A, for `cispo` it does not; `reinforce` and `sapo` have no bounds.
    - `dual_clip_fraction`: share of tokens at which the cap of `dual_clip` is active.
    - `approx_kl`: k3 estimate of KL(old || now), nats per token.
    - `ess`: (sum r)^2 / (n sum r^2), the effective share of the n samples, which is 1 on-policy.
    - `log_ratio_clamped`: share of log ratios beyond the limit.

    Raises ValueError for an unknown option, a negative clip distance, a `dual_clip` of at most 1, or a temperature
    `tau_pos` or `tau_neg` that is not above 0.

    >>> old = torch.log(torch.tensor([[0.5, 0.5, 0.5]]))
    >>> now = torch.log(torch.tensor([[0.25, 0.5, 0.75]])).requires_grad_()  # ratios 0.5, 1, 1.5
    >>> mask = torch.tensor([[True, True, True]])
    >>> loss, stats = policy_loss(now, old, torch.tensor([1.0]), mask)
    >>> round(loss.item(), 6)  # -(0.5 + 1 + 1.2) / 3
    -0.9
    >>> gradient = torch.autograd.grad(loss, now)[0][0]
    >>> [round(g, 4) for g in gradient.tolist()]  # -r A / 3; the third is clipped
    [-0.1667, -0.3333, 0.0]
    >>> round(stats["clip_fraction_high"].item(), 4), round(stats["ratio_max"].item(), 4)
    (0.3333, 1.5)
    >>> per_token, _ = policy_loss(now, old, torch.tensor([1.0]), mask, aggregate="none")
    >>> [round(x, 4) for x in per_token[0].tolist()]
    [-0.5, -1.0, -1.2]
    """
    check_choice("objective", objective, get_args(Objective))
    check_choice("ratio", ratio, get_args(Ratio))
    if clip_low < 0 or clip_high < 0:
        raise ValueError(f"clip_low={clip_low} and clip_high={clip_high} are distances from 1: they must be >= 0")
    if dual_clip is not None and dual_clip <= 1:
        raise ValueError(f"dual_clip={dual_clip} must be above 1 (3 is usual), or None to switch it off")
    if tau_pos <= 0 or tau_neg <= 0:
        raise ValueError(f"tau_pos={tau_pos} and tau_neg={tau_neg} are temperatures: they must be above 0")

    # Zeros outside the mask before anything is multiplied: 0 * NaN would be NaN, in the gradient too.
    zero = logprobs.new_zeros(())
    lp = torch.where(mask, logprobs, zero)
    log_ratio = torch.where(mask, logprobs - old_logprobs.detach(), zero)
    advantage = advantages.detach() if advantages.dim() == 2 else advantages.detach()[:, None]
    advantage = torch.where(mask, advantage, zero)

    log_weight = log_ratio
    if ratio == "sequence":
        length = mask.sum(dim=1, keepdim=True).clamp(min=1)
        log_weight = (log_ratio.sum(dim=1, keepdim=True) / length).expand_as(log_ratio)
    weight = log_weight.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    clipped = weight.clamp(1 - clip_low, 1 + clip_high)

    if objective == "clip":
        per_token = -_clip_objective(weight, clipped, advantage, dual_clip)
    elif objective == "cispo":
        per_token = -clipped.detach() * advantage * lp
    elif objective == "sapo":
        per_token = -_soft_gate(weight, advantage, tau_pos, tau_neg) * advantage
    else:
        per_token = -advantage * lp
    loss = aggregate_tokens(per_token, mask, aggregate, norm_length, normalizer)

    stats = _ratio_statistics(log_ratio.detach(), weight.detach(), mask)
    stats |= _clip_statistics(objective, weight.detach(), advantage, mask, clip_low, clip_high, dual_clip)
    stats["log_ratio_clamped"] = masked_mean((log_weight.detach().abs() > LOG_RATIO_LIMIT).to(lp.dtype), mask)
    return loss, stats


def _clip_objective(weight: Tensor, clipped: Tensor, advantage: Tensor, dual_clip: Number | None) -> Tensor:
    """PPO's pessimistic objective (to maximise): the smaller of the two products, whatever the sign of the advantage.

    For A < 0 the smaller product is the more negative one. So a token that became likelier (r > 1) is still pushed
    down, and a token that is already less likely (r < 1 - clip_low) is left alone. A frequent bug swaps min and max for
    A < 0.
    """
    objective = torch.minimum(weight * advantage, clipped * advantage)
    if dual_clip is None:
        return objective
    return torch.where(advantage < 0, torch.maximum(objective, dual_clip * advantage), objective)


def _soft_gate(weight: Tensor, advantage: Tensor, tau_pos: Number, tau_neg: Number) -> Tensor:
    """SAPO's gate f(r) = (4 / tau) sigmoid(tau (r - 1)), so that f'(1) = 1 for every temperature."""
    # In the dtype of the ratio: torch.where of two Python numbers would round them to float32.
    tau = torch.where(advantage > 0, weight.new_full((), tau_pos), weight.new_full((), tau_neg))
    return torch.sigmoid(tau * (weight - 1)) * 4 / tau


@torch.no_grad()
def _ratio_statistics(log_ratio: Tensor, weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Mean, maximum and effective sample size of the ratios, and the KL from old to now, over the mask."""
    tokens = mask.sum()
    weight = torch.where(mask, weight, 0.0)
    square = weight.square().sum()
    return {
        "tokens": tokens,
        "ratio_mean": masked_mean(weight, mask),
        "ratio_max": weight.amax() if weight.numel() else weight.sum(),
        "approx_kl": masked_mean(kl_estimate(-log_ratio, torch.zeros_like(log_ratio), "k3"), mask),
        "ess": torch.where(tokens > 0, weight.sum().square() / (tokens * square), 0.0),
    }


@torch.no_grad()
def _clip_statistics(
    objective: Objective,
    weight: Tensor,
    advantage: Tensor,
    mask: Tensor,
    clip_low: Number,
    clip_high: Number,
    dual_clip: Number | None,
) -> dict[str, Tensor]:
    """Shares of the tokens whose gradient a bound changes: the low one, the high one, either, and the dual clip."""
    none = torch.zeros_like(mask)
    low, high, capped = none, none, none
    if objective in ("clip", "cispo"):
        low, high = weight < 1 - clip_low, weight > 1 + clip_high
    if objective == "clip":
        low, high = low & (advantage < 0), high & (advantage > 0)
        if dual_clip is not None:
            capped = (weight > dual_clip) & (advantage < 0)
    shares = {"clip_fraction_low": low, "clip_fraction_high": high, "dual_clip_fraction": capped}
    stats = {name: masked_mean(active.to(weight.dtype), mask) for name, active in shares.items()}
    return stats | {"clip_fraction": stats["clip_fraction_low"] + stats["clip_fraction_high"]}
