"""An algorithm is a choice of options of the same pure functions. The named algorithms are in `presets`."""

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
    Reduction,
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
    """One policy-gradient algorithm: the options of `advantages` and of `policy_loss`, and its credit, KL and filters.

    A field that is not in this list is an argument of the same name of `advantages`, `policy_loss` or `kl_estimate`.

    - `credit`: with `sequence`, every token has the advantage of its answer. With `token`, the advantage of a token is
      the return from it on, discounted by `gamma`; a KL in the reward is then subtracted token by token.
    - `critic` subtracts a value function from the return (`gae` with `lam`). The critic's own loss is `value_loss` with
      `value_clip`, times `value_coef`.
    - `greedy_baseline` subtracts the reward of the greedy answer to the same prompt.
    - `whiten` normalises the advantages over the tokens of the batch, with `ddof`.
    - `process_coef`: above 0, it is the weight of one reward per token from a process reward model
      (`prime_advantages`).
    - `kl_placement`: the KL to a reference is a term of the `loss` or is subtracted from the `reward`.
    - `drop_zero_variance` leaves out the groups whose rewards are all equal.
    - `overlong_buffer`: None, or a share of the longest answer allowed (`overlong_penalty`).
    - `importance_cap`: None, or the cap of the weights min(p_trainer / p_sampler, cap) that correct for a sampler that
      differs from the trainer (`importance_weights`; 2 is usual). The ratio of the loss then begins at 1.

    Raises ValueError for an unknown option, for a critic without credit per token, for process rewards with options
    that `prime_advantages` does not have, for scale="group_mean" with options that make rewards negative, for a cap or
    a temperature that is not above 0, and for k1 in the loss with a coefficient above 0: its expected gradient is zero,
    so it would add noise alone.
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
    tau_pos: Number = 1.0
    tau_neg: Number = 1.05
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
        lowered = self._kl_lowers_the_score or self.greedy_baseline or self.overlong_buffer is not None
        if self.scale == "group_mean" and lowered:
            lowers = "overlong_buffer, greedy_baseline or a KL in the reward of a sequence"
            raise ValueError(f"scale='group_mean' divides by a mean that must not be negative: switch off {lowers}")
        if self.tau_pos <= 0 or self.tau_neg <= 0:
            raise ValueError(f"tau_pos={self.tau_pos} and tau_neg={self.tau_neg} must be above 0")
        if self.importance_cap is not None and not self.importance_cap > 0:
            raise ValueError(f"importance_cap={self.importance_cap} must be above 0 (2 is usual), or None")
        fits = self.credit == "token" and self.baseline == "leave_one_out" and self.whiten and not self.critic
        if self.process_coef and not (fits and self.kl_placement == "loss"):
            needs = "credit='token', baseline='leave_one_out', whiten=True, kl_placement='loss' and no critic"
            raise ValueError(f"process_coef={self.process_coef} needs {needs}")

    @property
    def _kl_lowers_the_score(self) -> bool:
        """Whether the KL is subtracted from the reward of the whole answer: neither token by token nor in the loss."""
        return self.kl_coef != 0 and self.kl_placement == "reward" and self.credit == "sequence"

    def shape_rewards(
        self,
        rewards: Float[Tensor, " batch"],
        lengths: Int[Tensor, " batch"],
        max_length: Number,
        kl: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """Rewards [batch] plus the overlong penalty and minus kl_coef * kl, where the preset asks for them.

        `rewards` [batch]; `lengths` [batch] of the answers and `max_length`, in tokens. `kl` [batch] from `kl_penalty`,
        in nats. With credit="token" the KL is not subtracted here but token by token, in `token_advantages`. Raises
        ValueError without `kl` where kl_placement="reward" and kl_coef > 0.

        >>> from labkit.algorithms import PRESETS
        >>> PRESETS["dapo"].shape_rewards(torch.tensor([1.0, 1.0]), torch.tensor([50, 90]), 100).tolist()
        [1.0, 0.5]
        """
        if self.overlong_buffer is not None:
            rewards = rewards + overlong_penalty(lengths, max_length, self.overlong_buffer * max_length)
        if self._kl_lowers_the_score:
            if kl is None:
                raise ValueError("kl_placement='reward' with kl_coef > 0 needs kl: pass kl_penalty(...)")
            rewards = rewards - self.kl_coef * kl
        return rewards

    def keep(self, rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """True for each row [batch] to train on: all rows, or with `drop_zero_variance` those of groups with variance.

        >>> from labkit.algorithms import PRESETS
        >>> rewards, groups = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
        >>> PRESETS["dapo"].keep(rewards, groups).tolist(), PRESETS["grpo"].keep(rewards, groups).tolist()
        ([True, True, False, False], [True, True, True, True])
        """
        if self.drop_zero_variance:
            return ~zero_variance(rewards, groups)
        return torch.ones_like(groups, dtype=torch.bool)

    def advantages(self, rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """`labkit.algorithms.advantages` with the options of the preset, on the full batch: one per row [batch].

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
        """Advantage of each token, and the returns that a critic should learn, both [batch, time].

        Every preset has them. Call it on the full batch. No gradient; 0 outside the mask.

        `rewards` [batch] from `shape_rewards`, `groups` [batch], `mask` [batch, time] of the chosen tokens. Needed by
        some presets, and ignored by the others:
        - `kl` [batch, time], k1 of the sampled tokens in nats: with credit="token", kl_placement="reward", kl_coef > 0.
        - `values` [batch, time], the critic's values before each token: with critic=True.
        - `greedy` [batch], for each row the reward of the greedy answer to its prompt: with greedy_baseline=True.
        - `process` [batch, time], one reward per token from `implicit_rewards`: with process_coef > 0.

        Raises ValueError where a needed one is missing.

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
        """`loss_normalizer` of the whole batch of an optimiser step: pass it to `loss` with every micro-batch.

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
        aggregate: Reduction | None = None,
    ) -> tuple[Float[Tensor, ""] | Float[Tensor, "batch time"], dict[str, Tensor]]:
        """`policy_loss` with the options of the preset, plus the KL term of the loss, minus the entropy bonus.

        The KL term is kl_coef * KL where kl_placement="loss"; the bonus is entropy_coef * entropy.

        Shapes, units, `norm_length` (tokens, needed by dr_grpo) and `normalizer` as in `policy_loss`. KL and entropy
        are aggregated over tokens as the loss is, without a ratio. `ref_logprobs` [batch, time], in nats: those of the
        reference; the statistics then also have `kl`, nats per token. `entropy` [batch, time], in nats and with its
        gradient: that of the distribution that each token was drawn from (`labkit.token_logprobs_and_entropy`); the
        statistics then also have `entropy`. `aggregate` replaces the preset's: "none" gives the loss of every token
        [batch, time]. Raises ValueError where a coefficient needs a tensor that is missing, and as `policy_loss` does.

        >>> from labkit.algorithms import PRESETS
        >>> now = torch.log(torch.tensor([[0.5, 0.75]]))
        >>> mask = torch.tensor([[True, True]])
        >>> loss, stats = PRESETS["grpo"].loss(now, now, torch.tensor([2.0]), mask)
        >>> loss.item()  # on-policy the ratio is 1, so the loss is -A; only its gradient is of interest
        -2.0
        """
        aggregate = self.aggregate if aggregate is None else aggregate
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
            tau_pos=self.tau_pos,
            tau_neg=self.tau_neg,
            aggregate=aggregate,
            norm_length=norm_length,
            normalizer=normalizer,
        )
        if self.entropy_coef:
            bonus = _needed(entropy, f"entropy_coef={self.entropy_coef}", "entropy")
            loss = loss - self.entropy_coef * aggregate_tokens(bonus, mask, aggregate, norm_length, normalizer)
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
            loss = loss + self.kl_coef * aggregate_tokens(kl, mask, aggregate, norm_length, normalizer)
        return loss, stats | {"kl": masked_mean(kl.detach(), mask)}


def _needed(given: Tensor | None, option: str, name: str) -> Tensor:
    """The tensor that an option needs; raises ValueError where it is missing."""
    if given is None:
        raise ValueError(f"{option} needs {name}: pass it, or switch the option off")
    return given
