"""What an algorithm is here: a choice of options of the same pure functions. Those with names are in `presets`."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms.advantage import Baseline, Scale, advantages, zero_variance
from labkit.algorithms.gae import gae, returns_to_go
from labkit.algorithms.implicit import prime_advantages
from labkit.algorithms.kl import KLKind, kl_estimate
from labkit.algorithms.policy import Objective, Ratio, policy_loss
from labkit.algorithms.reduction import (
    Aggregate,
    Number,
    aggregate_tokens,
    check_choice,
    loss_normalizer,
    masked_mean,
    whiten,
)
from labkit.algorithms.shaping import overlong_penalty, token_rewards

KLPlacement = Literal["loss", "reward"]
Credit = Literal["sequence", "token"]


@dataclass(frozen=True)
class Preset:
    """One policy-gradient algorithm: the options of `advantages` and of `policy_loss`, credit, KL and filters.

    `credit`: with `sequence` every token of an answer has the answer's advantage; with `token` a token's is the
    return from it on (discounted by `gamma`), in which a KL in the reward is paid token by token. `critic` subtracts
    a value function from it (`gae` with `lam`; the critic's loss: `value_loss` with `value_clip`, times
    `value_coef`). `greedy_baseline` subtracts the reward of the prompt's greedy answer. `whiten` normalises the
    advantages over the tokens of the batch, with `ddof`. `process_coef` above 0 adds a reward a token from a process
    reward model, weighed so (`prime_advantages`). `overlong_buffer` is None or a share of the longest answer
    allowed: see `overlong_penalty`. `importance_cap` corrects for a sampler that is not quite the trainer: a token
    weighs min(p_trainer / p_sampler, cap) (`importance_weights`; 2 is usual), and the ratio begins at 1. The other
    fields are named as the arguments they become.

    Raises ValueError for an unknown option, for a critic without credit by token, for process rewards with options
    that `prime_advantages` has not, and for k1 as a loss with a coefficient above 0: its expected gradient is zero, so
    it would add noise alone.
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
    credit: Credit = "sequence"
    gamma: Number = 1.0
    lam: Number = 0.95
    critic: bool = False
    greedy_baseline: bool = False
    process_coef: Number = 0.0
    whiten: bool = False
    value_clip: Number | None = 0.2
    value_coef: Number = 0.1
    entropy_coef: Number = 0.0
    importance_cap: Number | None = None

    def __post_init__(self) -> None:
        choices = {
            "baseline": Baseline,
            "scale": Scale,
            "objective": Objective,
            "ratio": Ratio,
            "aggregate": Aggregate,
            "kl_placement": KLPlacement,
            "kl_kind": KLKind,
            "credit": Credit,
        }
        for field, kind in choices.items():
            check_choice(field, getattr(self, field), get_args(kind))
        if self.kl_coef and self.kl_placement == "loss" and self.kl_kind == "k1":
            raise ValueError("kl_kind='k1' as a loss has no gradient on average: choose k2, or kl_placement='reward'")
        if self.critic and self.credit != "token":
            raise ValueError("a critic judges tokens: critic=True needs credit='token'")
        if self.importance_cap is not None and not self.importance_cap > 0:
            raise ValueError(f"importance_cap={self.importance_cap} must be above 0 (2 is usual), or None")
        fits = self.credit == "token" and self.baseline == "leave_one_out" and self.whiten and not self.critic
        if self.process_coef and not (fits and self.kl_placement == "loss"):
            needs = "credit='token', baseline='leave_one_out', whiten=True, kl_placement='loss' and no critic"
            raise ValueError(f"process_coef={self.process_coef} needs {needs}")

    def shape_rewards(
        self,
        rewards: Float[Tensor, " batch"],
        lengths: Int[Tensor, " batch"],
        max_length: Number,
        kl: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """Rewards plus the overlong penalty and minus kl_coef * kl, where the preset asks for them.

        `lengths` [batch] of the answers and `max_length` in tokens; `kl` [batch] from `kl_penalty`, needed
        when kl_placement="reward" and kl_coef > 0 (else ValueError). With credit="token" the KL is not paid
        here but token by token, in `token_advantages`.

        >>> from labkit.algorithms import PRESETS
        >>> PRESETS["dapo"].shape_rewards(torch.tensor([1.0, 1.0]), torch.tensor([50, 90]), 100).tolist()
        [1.0, 0.5]
        """
        if self.overlong_buffer is not None:
            rewards = rewards + overlong_penalty(lengths, max_length, self.overlong_buffer * max_length)
        if self.kl_coef and self.kl_placement == "reward" and self.credit == "sequence":
            if kl is None:
                raise ValueError("kl_placement='reward' with kl_coef > 0 needs kl: pass kl_penalty(...)")
            rewards = rewards - self.kl_coef * kl
        return rewards

    def keep(self, rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """True for the rows to train on: all, or those of groups with variance when `drop_zero_variance`.

        >>> from labkit.algorithms import PRESETS
        >>> rewards, groups = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
        >>> PRESETS["dapo"].keep(rewards, groups).tolist(), PRESETS["grpo"].keep(rewards, groups).tolist()
        ([True, True, False, False], [True, True, True, True])
        """
        if self.drop_zero_variance:
            return ~zero_variance(rewards, groups)
        return torch.ones_like(groups, dtype=torch.bool)

    def advantages(self, rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """`labkit.algorithms.advantages` with the options of the preset, on the full batch.

        >>> from labkit.algorithms import PRESETS
        >>> PRESETS["rloo"].advantages(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([4, 4, 4])).tolist()
        [1.0, -0.5, -0.5]
        """
        return advantages(rewards, groups, self.baseline, self.scale, self.ddof, self.eps)

    def token_advantages(
        self,
        rewards: Float[Tensor, " batch"],
        groups: Int[Tensor, " batch"],
        mask: Bool[Tensor, "batch time"],
        *,
        kl: Float[Tensor, "batch time"] | None = None,
        values: Float[Tensor, "batch time"] | None = None,
        greedy: Float[Tensor, " batch"] | None = None,
        process: Float[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
        """Advantage of each token, and the returns that a critic should learn; for every preset, on the full batch.

        `rewards` [batch] from `shape_rewards`, `groups` [batch], `mask` [batch, time] of the chosen tokens. `kl`
        [batch, time]: k1 of the sampled tokens, needed with credit="token" when kl_placement="reward" and kl_coef
        > 0. `values` [batch, time] of the critic before each token, needed with critic=True. `greedy` [batch]: of
        each row, the reward of its prompt's greedy answer, needed with greedy_baseline=True. `process` [batch, time]:
        a reward a token from `implicit_rewards`, needed with process_coef > 0. What is missing raises ValueError; what
        is given and not needed is ignored. No gradient; 0 outside the mask.

        >>> from labkit.algorithms import PRESETS
        >>> rewards, groups, mask = torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), torch.tensor([[True, True]] * 2)
        >>> PRESETS["dr_grpo"].token_advantages(rewards, groups, mask)[0].tolist()
        [[0.5, 0.5], [-0.5, -0.5]]
        >>> PRESETS["remax"].token_advantages(rewards, groups, mask, greedy=torch.tensor([0.25, 0.25]))[0].tolist()
        [[0.75, 0.75], [-0.25, -0.25]]
        """
        if self.greedy_baseline:
            rewards = rewards - _needed(greedy, "greedy_baseline=True", "greedy")
        scores = self.advantages(rewards, groups)
        if self.credit == "sequence":
            result = returns = torch.where(mask, scores[:, None], 0.0)
        else:
            paid = token_rewards(scores, mask, kl, self.kl_coef if self.kl_placement == "reward" else 0.0)
            result = returns = returns_to_go(paid, mask, self.gamma)
            if self.critic:
                result, returns = gae(paid, _needed(values, "critic=True", "values"), mask, self.gamma, self.lam)
        if self.process_coef:
            shares = self.process_coef * _needed(process, f"process_coef={self.process_coef}", "process")
            return prime_advantages(shares, rewards, groups, mask, self.gamma), returns
        if self.whiten:
            result = whiten(result, mask, ddof=self.ddof)
        return result, returns

    def normalizer(self, mask: Bool[Tensor, "batch time"]) -> int:
        """`loss_normalizer` of the whole batch of an optimiser step: pass it to `loss` of each micro-batch.

        >>> from labkit.algorithms import PRESETS
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
        entropy: Float[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """`policy_loss` with the options of the preset, plus kl_coef * KL when kl_placement="loss", minus
        entropy_coef * entropy.

        KL and entropy are aggregated over tokens as the loss is, without a ratio. With `ref_logprobs` [batch, time]
        the statistics also hold `kl`, the estimate a token, and with `entropy` [batch, time], the entropy of the
        distribution that each token was drawn from (`labkit.algorithms.entropy`, WITH its gradient), `entropy`.
        `norm_length` is needed by dr_grpo. Raises ValueError when a coefficient asks for what is missing.

        >>> from labkit.algorithms import PRESETS
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
        if self.entropy_coef:
            bonus = _needed(entropy, f"entropy_coef={self.entropy_coef}", "entropy")
            loss = loss - self.entropy_coef * aggregate_tokens(bonus, mask, self.aggregate, norm_length, normalizer)
        if entropy is not None:
            stats["entropy"] = masked_mean(entropy.detach(), mask)
        in_loss = self.kl_placement == "loss" and self.kl_coef != 0
        if in_loss:
            _needed(ref_logprobs, f"kl_coef={self.kl_coef}", "ref_logprobs")
        if ref_logprobs is None:
            return loss, stats
        # Zeros outside the mask before exp, for the same reason as in policy_loss.
        logprobs = torch.where(mask, logprobs, 0.0)
        kl = kl_estimate(logprobs, torch.where(mask, ref_logprobs.detach(), 0.0), self.kl_kind)
        if in_loss:
            loss = loss + self.kl_coef * aggregate_tokens(kl, mask, self.aggregate, norm_length, normalizer)
        return loss, stats | {"kl": masked_mean(kl.detach(), mask)}


def _needed(given: Tensor | None, option: str, name: str) -> Tensor:
    if given is None:
        raise ValueError(f"{option} needs {name}: pass it, or switch the option off")
    return given
