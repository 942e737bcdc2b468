"""Log-probabilities of given tokens: the one place where logits and tokens are shifted against each other."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast on CUDA, nothing on the CPU (fp32)."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def token_logprobs(
    model: nn.Module,
    tokens: Int[Tensor, "batch time"],
    temperature: float = 1.0,
    positions: Int[Tensor, "batch time"] | None = None,
) -> Float[Tensor, "batch time"]:
    """log p(tokens[:, t] | tokens[:, :t]) in nats at column t; column 0 is 0. Differentiable.

    Rows are right-padded, so causal attention needs no mask and positions count from 0. Log-probs are those of the
    softmax of logits / temperature: the distribution that was sampled from, before top-p, top-k or min-p.

    `positions`, for rows into which several documents are packed, begin again at 0 with each document: a token then
    sees its own document alone. The first token of a document is predicted from the one before it: it must not count.
    """
    logits = shifted_logits(model, tokens, temperature, positions)
    chosen = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - logits.logsumexp(-1)
    return torch.cat([chosen.new_zeros(len(tokens), 1), chosen], 1)


def token_logprobs_and_entropy(
    model: nn.Module, tokens: Int[Tensor, "batch time"], temperature: float = 1.0, entropy_gradient: bool = False
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """As `token_logprobs`, and the entropy (nats) of the distribution that each token was drawn from.

    The entropy has a gradient only where `entropy_gradient` asks for it: an entropy bonus does.
    """
    return logprobs_and_entropy_of(shifted_logits(model, tokens, temperature), tokens, entropy_gradient)


def logprobs_and_entropy_of(
    logits: Float[Tensor, "batch before vocab"], tokens: Int[Tensor, "batch time"], entropy_gradient: bool = False
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """As `token_logprobs_and_entropy`, from the logits that `shifted_logits` gave: those of columns 0 to time - 2."""
    normalizer = logits.logsumexp(-1)
    chosen = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - normalizer
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        # H = log Z - E[logit]
        entropy = normalizer - ((logits - normalizer[..., None]).exp() * logits).sum(-1)
    front = chosen.new_zeros(len(tokens), 1)
    return torch.cat([front, chosen], 1), torch.cat([front, entropy], 1)


def shifted_logits(
    model: nn.Module,
    tokens: Int[Tensor, "batch time"],
    temperature: float = 1.0,
    positions: Int[Tensor, "batch time"] | None = None,
) -> Float[Tensor, "batch before vocab"]:
    """Logits / temperature in float32: those at column t - 1 predict the token at column t, so the last is left out."""
    extra = {} if positions is None else {"position_ids": positions}
    with autocast(tokens.device):
        logits = model(input_ids=tokens, use_cache=False, **extra).logits
    logits = logits[:, :-1].float()
    return logits if temperature == 1.0 else logits / temperature
