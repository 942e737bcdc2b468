"""Log-probabilities of given tokens: the one place where logits and tokens are shifted against each other."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast on CUDA, nothing on the CPU (fp32)."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def token_logprobs(
    model: nn.Module, tokens: Int[Tensor, "batch time"], temperature: float = 1.0
) -> Float[Tensor, "batch time"]:
    """log p(tokens[:, t] | tokens[:, :t]) in nats at column t; column 0 is 0. Differentiable.

    Rows are right-padded, so causal attention needs no mask and positions count from 0. Log-probs are those of the
    softmax of logits / temperature: the distribution that was sampled from, before top-p, top-k or min-p.
    """
    return token_logprobs_and_entropy(model, tokens, temperature)[0]


def token_logprobs_and_entropy(
    model: nn.Module, tokens: Int[Tensor, "batch time"], temperature: float = 1.0
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """As `token_logprobs`, and the entropy (nats, no gradient) of the distribution that each token was drawn from."""
    with autocast(tokens.device):
        logits = model(input_ids=tokens, use_cache=False).logits
    # Logits at column t-1 predict the token at column t.
    logits = logits[:, :-1].float()
    if temperature != 1.0:
        logits = logits / temperature
    normalizer = logits.logsumexp(-1)
    chosen = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - normalizer
    with torch.no_grad():
        # H = log Z - E[logit]
        entropy = normalizer - ((logits - normalizer[..., None]).exp() * logits).sum(-1)
    front = chosen.new_zeros(len(tokens), 1)
    return torch.cat([front, chosen], 1), torch.cat([front, entropy], 1)
