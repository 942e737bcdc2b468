"""Models: loading a policy or a reward model, and log-probabilities of tokens under a policy."""

from labkit.models.encoding import (
    Encoded,
    concatenate_and_cut,
    encode_reply,
    pad,
    step_ends,
    tokens_and_mask,
)
from labkit.models.heads import ScalarHead, hidden_width
from labkit.models.logprobs import (
    head_logprobs,
    logprobs_and_entropy_of,
    shifted_logits,
    token_logprobs,
    token_logprobs_and_entropy,
)
from labkit.models.lora import adapter_weights, add_lora, merged_adapters, without_adapters
from labkit.models.output import Head, chosen_logprobs, output_head
from labkit.models.policy import MODELS, Policy, load_policy
from labkit.models.reward_model import RewardModel, load_reward_model
from labkit.models.trunk import autocast, hidden_states, train_with

__all__ = [
    "MODELS",
    "Encoded",
    "Head",
    "Policy",
    "RewardModel",
    "ScalarHead",
    "adapter_weights",
    "add_lora",
    "autocast",
    "chosen_logprobs",
    "concatenate_and_cut",
    "encode_reply",
    "head_logprobs",
    "hidden_states",
    "hidden_width",
    "load_policy",
    "load_reward_model",
    "logprobs_and_entropy_of",
    "merged_adapters",
    "output_head",
    "pad",
    "shifted_logits",
    "step_ends",
    "token_logprobs",
    "token_logprobs_and_entropy",
    "tokens_and_mask",
    "train_with",
    "without_adapters",
]
