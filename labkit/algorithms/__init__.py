"""The mathematics of reinforcement learning for language models, as pure functions on tensors.

Read in this order: `advantage` (how good an answer is), `policy` (the loss), `reduction` (how tokens are averaged),
`kl` (the distance from a reference), `shaping` (changes to the reward), `gae` and `value` (credit per token, the
critic), `masks` (tokens that are left out), `controllers` (how strong the KL penalty is), `preset` and `presets`
(algorithms as choices of these).

Learning from comparisons: `reward_model` (Bradley-Terry, outcome, process), `preference` (DPO's family), `kto`. Process
rewards from outcomes: `implicit` (PRIME). Learning from a larger model: `distillation`. A sampler that differs from the
trained policy: `mismatch`.
"""

from labkit.algorithms.advantage import Baseline, Scale, advantages, zero_variance
from labkit.algorithms.controllers import AdaptiveKL, FixedKL
from labkit.algorithms.distillation import (
    Divergence,
    distillation_rewards,
    divergence,
    forward_kl,
    generalized_jsd,
    reverse_kl,
)
from labkit.algorithms.gae import gae, returns_to_go
from labkit.algorithms.implicit import implicit_reward_loss, implicit_rewards, prime_advantages
from labkit.algorithms.kl import KLKind, kl_estimate
from labkit.algorithms.kto import kto_loss, kto_reference_point
from labkit.algorithms.masks import off_policy_sequence_mask, top_entropy_mask
from labkit.algorithms.mismatch import importance_weights
from labkit.algorithms.policy import LOG_RATIO_LIMIT, Objective, Ratio, policy_loss
from labkit.algorithms.preference import PreferenceKind, preference_loss
from labkit.algorithms.preset import Credit, KLPlacement, Preset
from labkit.algorithms.presets import PRESETS
from labkit.algorithms.reduction import (
    Aggregate,
    Reduction,
    aggregate_tokens,
    entropy,
    loss_normalizer,
    masked_mean,
    whiten,
)
from labkit.algorithms.reward_model import bradley_terry_loss, outcome_loss, process_loss, ranking_accuracy
from labkit.algorithms.shaping import kl_penalty, overlong_penalty, token_rewards
from labkit.algorithms.value import explained_variance, value_loss

__all__ = [
    "LOG_RATIO_LIMIT",
    "PRESETS",
    "AdaptiveKL",
    "Aggregate",
    "Baseline",
    "Credit",
    "Divergence",
    "FixedKL",
    "KLKind",
    "KLPlacement",
    "Objective",
    "PreferenceKind",
    "Preset",
    "Ratio",
    "Reduction",
    "Scale",
    "advantages",
    "aggregate_tokens",
    "bradley_terry_loss",
    "distillation_rewards",
    "divergence",
    "entropy",
    "explained_variance",
    "forward_kl",
    "gae",
    "generalized_jsd",
    "implicit_reward_loss",
    "implicit_rewards",
    "importance_weights",
    "kl_estimate",
    "kl_penalty",
    "kto_loss",
    "kto_reference_point",
    "loss_normalizer",
    "masked_mean",
    "off_policy_sequence_mask",
    "outcome_loss",
    "overlong_penalty",
    "policy_loss",
    "preference_loss",
    "prime_advantages",
    "process_loss",
    "ranking_accuracy",
    "returns_to_go",
    "reverse_kl",
    "token_rewards",
    "top_entropy_mask",
    "value_loss",
    "whiten",
    "zero_variance",
]
