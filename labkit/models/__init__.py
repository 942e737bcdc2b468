"""Models: loading a policy or a reward model, and log-probabilities of tokens under a policy."""

from labkit.models.encoding import Encoded, encode_reply, pad, step_ends
from labkit.models.heads import ScalarHead, hidden_states, hidden_width, logits_and_hidden
from labkit.models.logprobs import autocast, token_logprobs, token_logprobs_and_entropy
from labkit.models.lora import adapter_weights, add_lora, merged_adapters, without_adapters
from labkit.models.policy import MODELS, Policy, load_policy
from labkit.models.reward_model import RewardModel, load_reward_model

__all__ = [
    "MODELS",
    "Encoded",
    "Policy",
    "RewardModel",
    "ScalarHead",
    "adapter_weights",
    "add_lora",
    "autocast",
    "encode_reply",
    "hidden_states",
    "hidden_width",
    "load_policy",
    "load_reward_model",
    "logits_and_hidden",
    "merged_adapters",
    "pad",
    "step_ends",
    "token_logprobs",
    "token_logprobs_and_entropy",
    "without_adapters",
]
