"""The mathematics of reinforcement learning for language models, as pure functions on tensors.

Read in this order: `advantage` (how good was an answer), `policy` (the loss), `reduction` (how tokens are
averaged), `kl` (distance from a reference), `shaping` (changes to the reward), `presets` (algorithms as
choices of these).
"""

from labkit.algorithms.advantage import Baseline, Scale, advantages, zero_variance
from labkit.algorithms.kl import KLKind, kl_estimate
from labkit.algorithms.policy import LOG_RATIO_LIMIT, Objective, Ratio, policy_loss
from labkit.algorithms.presets import PRESETS, KLPlacement, Preset
from labkit.algorithms.reduction import Aggregate, aggregate_tokens, entropy, loss_normalizer, masked_mean
from labkit.algorithms.shaping import kl_penalty, overlong_penalty

__all__ = [
    "LOG_RATIO_LIMIT",
    "PRESETS",
    "Aggregate",
    "Baseline",
    "KLKind",
    "KLPlacement",
    "Objective",
    "Preset",
    "Ratio",
    "Scale",
    "advantages",
    "aggregate_tokens",
    "entropy",
    "kl_estimate",
    "kl_penalty",
    "loss_normalizer",
    "masked_mean",
    "overlong_penalty",
    "policy_loss",
    "zero_variance",
]
