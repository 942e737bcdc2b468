"""Log-probs and entropy from hidden states, without ever holding batch x time x vocabulary.

The logits of a batch are by far its largest tensor (SmolLM2: 49,152 numbers a token, a hidden state 576). What
the loss needs of them are two numbers a token. So they are computed chunk by chunk, reduced, thrown away, and computed
again in the backward pass: one matrix product more, and memory for one chunk.
"""

import sys
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from labkit.models.trunk import autocast, hidden_states, touched

# Most logits that are held at once. What fits at once is kept for the backward pass instead of being computed again.
MOST_LOGITS = {"cpu": 2**21, "cuda": 2**27}


@dataclass(frozen=True)
class Head:
    """The output layer of a model: logits = hidden @ weight.T + bias, then softcap * tanh(logits / softcap)."""

    weight: Float[Tensor, "vocab width"]
    bias: Float[Tensor, " vocab"] | None = None
    softcap: float | None = None

    def logits(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape vocab"]:
        """The model's logits, in float32 or better."""
        return _logits(hidden, self.weight, self.bias, self.softcap)


def chosen_logprobs(
    hidden: Float[Tensor, "tokens width"],
    head: Head,
    targets: Int[Tensor, " tokens"],
    temperature: float = 1.0,
    with_entropy: bool = True,
    entropy_gradient: bool = False,
    chunk: int | None = None,
) -> tuple[Float[Tensor, " tokens"], Float[Tensor, " tokens"]]:
    """log p(target) in nats from the hidden state BEFORE each target, and the entropy of the distribution (0 without
    `with_entropy`). Of the softmax of logits / temperature. Differentiable in hidden states, weight and bias; the
    entropy only with `entropy_gradient`.

    `chunk`: tokens whose logits are held at once; default: by `MOST_LOGITS` of the device.

    >>> hidden, head = torch.tensor([[1.0, 0.0]]), Head(torch.tensor([[0.0, 5.0], [1.0, 5.0]]))
    >>> [round(x.item(), 4) for x in chosen_logprobs(hidden, head, torch.tensor([0]))]  # of logits 0 and 1
    [-1.3133, 0.5822]
    """
    if chunk is None:
        chunk = max(1, MOST_LOGITS.get(hidden.device.type, 2**24) // len(head.weight))
    options = (targets, temperature, head.softcap, chunk, with_entropy, entropy_gradient)
    return ChosenLogprobs.apply(hidden, head.weight, head.bias, *options)


class ChosenLogprobs(torch.autograd.Function):
    """See `chosen_logprobs`. With z = logits / temperature, p = softmax(z), y the target and H the entropy:

    d log p_y / dz = onehot(y) - p          dH / dz = -p (log p + H)
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        softcap: float | None,
        chunk: int,
        with_entropy: bool,
        entropy_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        """Log-probs and entropies, [tokens] each."""
        found = torch.zeros(2, len(hidden), dtype=_at_least_float32(weight.dtype), device=hidden.device)
        logprobs, entropy = found.unbind()
        kept = None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            kept = _log_softmax(hidden[part], weight, bias, temperature, softcap)
            logprobs[part] = kept.gather(-1, targets[part, None]).squeeze(-1)
            if with_entropy:
                entropy[part] = -(kept.exp() * kept).sum(-1)
        once = len(hidden) <= chunk and softcap is None and any(ctx.needs_input_grad[:3])
        ctx.save_for_backward(hidden, weight, bias, targets, entropy, kept if once else None)
        ctx.options = temperature, softcap, chunk, entropy_gradient
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_logprob: Tensor, by_entropy: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of hidden states, weight and bias, as far as they are asked for."""
        hidden, weight, bias, targets, entropy, kept = ctx.saved_tensors
        temperature, softcap, chunk, entropy_gradient = ctx.options
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_hidden = torch.empty_like(hidden) if wants_hidden else None
        of_weight = torch.zeros_like(weight) if wants_weight else None
        of_bias = torch.zeros_like(bias) if wants_bias else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logp = kept if kept is not None else _log_softmax(hidden[part], weight, bias, temperature, softcap)
            slope = -by_logprob[part, None]
            if entropy_gradient:
                slope = slope - by_entropy[part, None] * (logp + entropy[part, None])
            by_logits = logp.exp().mul_(slope)
            by_logits.scatter_add_(1, targets[part, None], by_logprob[part, None])
            by_logits.div_(temperature)
            if softcap is not None:  # d (c tanh(x / c)) / dx = 1 - tanh(x / c)^2
                capped = _logits(hidden[part], weight, bias, softcap) / softcap
                by_logits.mul_(1 - capped.square())
            by_logits = by_logits.to(compute_dtype(weight))
            if of_hidden is not None:
                of_hidden[part] = by_logits @ weight.to(by_logits.dtype)
            if of_weight is not None:
                of_weight += by_logits.T @ hidden[part].to(by_logits.dtype)
            if of_bias is not None:
                of_bias += by_logits.sum(0)
        return of_hidden, of_weight, of_bias, *[None] * 6


def compute_dtype(weight: Tensor) -> torch.dtype:
    """What matrix products are computed in: bfloat16 on CUDA, as under `autocast`; else the weights' own dtype."""
    return torch.bfloat16 if weight.device.type == "cuda" and weight.dtype == torch.float32 else weight.dtype


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None) -> Tensor:
    dtype = compute_dtype(weight)
    bias = None if bias is None else bias.to(dtype)
    logits = nn.functional.linear(hidden.to(dtype), weight.to(dtype), bias).to(_at_least_float32(dtype))
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def _log_softmax(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float, softcap: float | None
) -> Tensor:
    logits = _logits(hidden, weight, bias, softcap)
    return (logits if temperature == 1.0 else logits / temperature).log_softmax(-1)


_PLAIN: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


def output_head(model: Any) -> Head | None:
    """The output layer of a causal language model, where its logits are that layer of its last hidden states.

    None for what is no such model: something that only gives logits, a head with adapters or hooks, an architecture
    that scales its logits in a way of its own. That is not taken on trust: the first time that a model is seen, the
    logits of a few tokens are compared; where they differ, a line says that logits are computed whole.
    """
    if not isinstance(model, PreTrainedModel) or model.base_model is model:
        return None
    layer = model.get_output_embeddings()
    if type(layer) is not nn.Linear or touched(layer) or touched(model):
        return None
    head = Head(layer.weight, layer.bias, getattr(model.config.get_text_config(), "final_logit_softcapping", None))
    if model not in _PLAIN:
        _PLAIN[model] = _gives_the_models_logits(model, head)
        if not _PLAIN[model]:
            told = f"the logits of {type(model).__name__} are not its output layer of its hidden states"
            print(f"labkit: {told}: they are computed whole, which takes more memory", file=sys.stderr)
    return head if _PLAIN[model] else None


@torch.no_grad()
def _gives_the_models_logits(model: PreTrainedModel, head: Head) -> bool:
    tokens = (torch.arange(5, device=model.device) % len(head.weight))[None]
    with autocast(model.device):
        logits = model(input_ids=tokens, use_cache=False).logits.float()
    found = head.logits(hidden_states(model, tokens)).float()
    tolerance = 1e-4 if compute_dtype(head.weight) == torch.float32 else 0.05
    return found.shape == logits.shape and bool((found - logits).abs().max() <= tolerance * logits.abs().max())
