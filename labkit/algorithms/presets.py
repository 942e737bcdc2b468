"""Algorithms by name: each is a choice of options of the same pure functions, and nothing else.

What the presets leave out of the papers: the KL term is there (`kl_kind`, `kl_placement`) but its
coefficient is 0; DAPO's dynamic SAMPLING is reduced to dropping the groups without variance, with no
sampling of new ones.

To vary one, `dataclasses.replace(PRESETS["grpo"], clip_high=0.28)`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms.advantage import Baseline, Scale, advantages, zero_variance
from labkit.algorithms.kl import KLKind, kl_estimate
from labkit.algorithms.policy import Objective, Ratio, policy_loss
from labkit.algorithms.reduction import (
    Aggregate,
    Number,
    aggregate_tokens,
    check_choice,
    loss_normalizer,
    masked_mean,
)
from labkit.algorithms.shaping import overlong_penalty

KLPlacement = Literal["loss", "reward"]


@dataclass(frozen=True)
class Preset:
    """One policy-gradient algorithm: the options of `advantages` and of `policy_loss`, KL and filters.

    `overlong_buffer` is None or a share of the longest answer allowed: see `overlong_penalty`. The other
    fields are named as the arguments they become. Raises ValueError for an unknown option, and for k1 as a
    loss with a coefficient above 0: its expected gradient is zero, so it would add noise alone.
    """

    name: str
    source: str
    baseline: Baseline = "group_mean"
    scale: Scale = "group_std"
    ddof: int = 1
    eps: Number = 1e-6
    objective: Objective = "clip"
    ratio: Ratio = "token"
    clip_low: Number = 0.2
    clip_high: Number = 0.2
    dual_clip: Number | None = None
    aggregate: Aggregate = "token_mean"
    kl_placement: KLPlacement = "loss"
    kl_kind: KLKind = "k2"
    kl_coef: Number = 0.0
    drop_zero_variance: bool = False
    overlong_buffer: Number | None = None

    def __post_init__(self) -> None:
        choices = {
            "baseline": Baseline,
            "scale": Scale,
            "objective": Objective,
            "ratio": Ratio,
            "aggregate": Aggregate,
            "kl_placement": KLPlacement,
            "kl_kind": KLKind,
        }
        for field, kind in choices.items():
            check_choice(field, getattr(self, field), get_args(kind))
        if self.kl_coef and self.kl_placement == "loss" and self.kl_kind == "k1":
            raise ValueError("kl_kind='k1' as a loss has no gradient on average: choose k2, or kl_placement='reward'")

    def shape_rewards(
        self,
        rewards: Float[Tensor, " batch"],
        lengths: Int[Tensor, " batch"],
        max_length: Number,
        kl: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """Rewards plus the overlong penalty and minus kl_coef * kl, where the preset asks for them.

        `lengths` [batch] of the answers and `max_length` in tokens; `kl` [batch] from `kl_penalty`, needed
        when kl_placement="reward" and kl_coef > 0 (else ValueError).

        >>> PRESETS["dapo"].shape_rewards(torch.tensor([1.0, 1.0]), torch.tensor([50, 90]), 100).tolist()
        [1.0, 0.5]
        """
        if self.overlong_buffer is not None:
            rewards = rewards + overlong_penalty(lengths, max_length, self.overlong_buffer * max_length)
        if self.kl_coef and self.kl_placement == "reward":
            if kl is None:
                raise ValueError("kl_placement='reward' with kl_coef > 0 needs kl: pass kl_penalty(...)")
            rewards = rewards - self.kl_coef * kl
        return rewards

    def keep(self, rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """True for the rows to train on: all, or those of groups with variance when `drop_zero_variance`.

        >>> rewards, groups = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
        >>> PRESETS["dapo"].keep(rewards, groups).tolist(), PRESETS["grpo"].keep(rewards, groups).tolist()
        ([True, True, False, False], [True, True, True, True])
        """
        if self.drop_zero_variance:
            return ~zero_variance(rewards, groups)
        return torch.ones_like(groups, dtype=torch.bool)

    def advantages(self, rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """`labkit.algorithms.advantages` with the options of the preset, on the full batch.

        >>> PRESETS["rloo"].advantages(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([4, 4, 4])).tolist()
        [1.0, -0.5, -0.5]
        """
        return advantages(rewards, groups, self.baseline, self.scale, self.ddof, self.eps)

    def normalizer(self, mask: Bool[Tensor, "batch time"]) -> int:
        """`loss_normalizer` of the whole batch of an optimiser step: pass it to `loss` of each micro-batch.

        >>> PRESETS["dapo"].normalizer(torch.tensor([[True, True], [True, False]]))
        3
        """
        return loss_normalizer(mask, self.aggregate)

    def loss(
        self,
        logprobs: Float[Tensor, "batch time"],
        old_logprobs: Float[Tensor, "batch time"],
        advantages: Float[Tensor, " batch"] | Float[Tensor, "batch time"],
        mask: Bool[Tensor, "batch time"],
        *,
        norm_length: Number | None = None,
        normalizer: Number | None = None,
        ref_logprobs: Float[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """`policy_loss` with the options of the preset, plus kl_coef * KL when kl_placement="loss".

        The KL is aggregated over tokens as the loss is, without a ratio. With `ref_logprobs` [batch, time]
        the statistics also hold `kl`, the estimate a token. `norm_length` is needed by dr_grpo. Raises
        ValueError when a KL coefficient asks for `ref_logprobs` and they are missing.

        >>> now = torch.log(torch.tensor([[0.5, 0.75]]))
        >>> mask = torch.tensor([[True, True]])
        >>> loss, stats = PRESETS["grpo"].loss(now, now, torch.tensor([2.0]), mask)
        >>> loss.item()  # on-policy the ratio is 1, so the loss is -A; only its gradient says something
        -2.0
        """
        loss, stats = policy_loss(
            logprobs,
            old_logprobs,
            advantages,
            mask,
            objective=self.objective,
            ratio=self.ratio,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            dual_clip=self.dual_clip,
            aggregate=self.aggregate,
            norm_length=norm_length,
            normalizer=normalizer,
        )
        in_loss = self.kl_placement == "loss" and self.kl_coef != 0
        if in_loss and ref_logprobs is None:
            raise ValueError(f"kl_coef={self.kl_coef} needs ref_logprobs, or set kl_coef=0")
        if ref_logprobs is None:
            return loss, stats
        # Zeros outside the mask before exp, for the same reason as in policy_loss.
        logprobs = torch.where(mask, logprobs, 0.0)
        kl = kl_estimate(logprobs, torch.where(mask, ref_logprobs.detach(), 0.0), self.kl_kind)
        if in_loss:
            loss = loss + self.kl_coef * aggregate_tokens(kl, mask, self.aggregate, norm_length, normalizer)
        return loss, stats | {"kl": masked_mean(kl.detach(), mask)}


_PRESETS = (
    Preset(
        name="reinforce",
        source="Williams 1992, Simple statistical gradient-following algorithms",
        baseline="none",
        scale="none",
        objective="reinforce",
        aggregate="sequence_sum",
        kl_placement="reward",
        kl_kind="k1",
    ),
    Preset(
        name="rloo",
        source="Kool et al. 2019, Buy 4 REINFORCE samples; Ahmadian et al. 2024, arXiv:2402.14740",
        baseline="leave_one_out",
        scale="none",
        objective="reinforce",
        aggregate="sequence_sum",
        kl_placement="reward",
        kl_kind="k1",
    ),
    Preset(
        name="grpo",
        source="Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, eq. 3",
        aggregate="sequence_mean",
        kl_kind="k3",
    ),
    Preset(
        name="dr_grpo",
        source="Liu et al. 2025, Understanding R1-Zero-like training, arXiv:2503.20783",
        scale="none",
        aggregate="sequence_sum_norm",
    ),
    Preset(
        name="dapo",
        source="Yu et al. 2025, DAPO, arXiv:2503.14476, eq. 8 and 13",
        clip_high=0.28,
        aggregate="token_mean",
        drop_zero_variance=True,
        overlong_buffer=0.2,
    ),
    Preset(
        name="gspo",
        source="Zheng et al. 2025, Group sequence policy optimization, arXiv:2507.18071, eq. 5",
        ratio="sequence",
        clip_low=3e-4,
        clip_high=4e-4,
        aggregate="sequence_mean",
    ),
    Preset(
        name="cispo",
        source="Chen et al. 2025, MiniMax-M1, arXiv:2506.13585, eq. 4",
        objective="cispo",
        clip_low=1.0,  # a lower bound of 0, so none, as in the paper
        clip_high=4.0,  # the paper tunes it and names no number
        aggregate="token_mean",
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
