"""Models: loading a policy, and log-probabilities of tokens under it."""

from labkit.models.logprobs import autocast, token_logprobs, token_logprobs_and_entropy
from labkit.models.policy import MODELS, Policy, load_policy

__all__ = ["MODELS", "Policy", "autocast", "load_policy", "token_logprobs", "token_logprobs_and_entropy"]
