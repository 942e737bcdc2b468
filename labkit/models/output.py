"""From hidden states to what a loss needs of their logits, without ever holding batch x time x vocabulary.

The logits of a batch are by far its largest tensor (SmolLM2: 49,152 numbers per token, a hidden state 576). A loss
needs a number or two per token of them: the log-prob of one token, the entropy, a divergence. So logits are computed
chunk by chunk, reduced to these numbers, thrown away, and computed again in the backward pass: one matrix product
more, and memory for one chunk. `reduce_logits` does this for any such number, `chosen_logprobs` for log-probs.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from labkit.models.trunk import autocast, hidden_states, touched
from labkit.models.vocabulary import never_drawn, tokens_without_text

# Most logits that are held at once.
MOST_LOGITS = {"cpu": 2**21, "cuda": 2**27}


@dataclass(frozen=True)
class Head:
    """The output layer of a model: logits = hidden @ weight.T + bias, then softcap * tanh(logits / softcap).

    `unwritten`: the ids of tokens that are never drawn (`labkit.models.vocabulary`).
    """

    weight: Float[Tensor, "vocab width"]
    bias: Float[Tensor, " vocab"] | None = None
    softcap: float | None = None
    unwritten: Int[Tensor, " ids"] | None = None

    def logits(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape vocab"]:
        """The model's logits, in float32 or better."""
        return never_drawn(_logits(hidden, self.weight, self.bias, self.softcap), self.unwritten)


class Reduction(Protocol):
    """What is kept of logits: some numbers per token. `rows`: which tokens the logits at hand belong to.

    `fixed`: for each number, whether it has no gradient.
    """

    @property
    def fixed(self) -> tuple[bool, ...]: ...

    def prepare(self, logits: Float[Tensor, "rows vocab"], rows: slice, gradient: bool) -> Any:
        """What the numbers, and with `gradient` the slope, are made of."""
        ...

    def numbers(self, prepared: Any) -> Sequence[Tensor | None]:
        """One number per token for each output, [rows]; None where it was not asked for, and stays 0."""
        ...

    def slope(self, prepared: Any, rows: slice, by_numbers: Sequence[Tensor]) -> Float[Tensor, "rows vocab"]:
        """The gradient by the logits, from the gradients by the numbers."""
        ...


def reduce_logits(
    hidden: Float[Tensor, "tokens width"],
    head: Head | None,
    reduction: Reduction,
    chunk: int | None = None,
) -> tuple[Float[Tensor, " tokens"], ...]:
    """The reduction's numbers for each token, from hidden states and the output layer.

    Without a `head`, `hidden` holds the logits themselves. Differentiable in hidden states, weight and bias. `chunk`:
    tokens whose logits are held at once; default: by `MOST_LOGITS` of the device.
    """
    weight, bias = (None, None) if head is None else (head.weight, head.bias)
    if chunk is None:
        vocabulary = hidden.shape[-1] if weight is None else len(weight)
        chunk = max(1, MOST_LOGITS.get(hidden.device.type, 2**24) // vocabulary)
    return _Reduced.apply(hidden, weight, bias, head, reduction, chunk)


class _Reduced(torch.autograd.Function):
    """See `reduce_logits`. What fits into one chunk is kept for the backward pass instead of being computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        head: Head | None,
        reduction: Reduction,
        chunk: int,
    ) -> tuple[Tensor, ...]:
        dtype = _at_least_float32(hidden.dtype if weight is None else weight.dtype)
        found = torch.zeros(len(reduction.fixed), len(hidden), dtype=dtype, device=hidden.device).unbind()
        softcap = None if head is None else head.softcap
        once = len(hidden) <= chunk and softcap is None and any(ctx.needs_input_grad[:3])
        prepared = None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = hidden[part] if head is None else head.logits(hidden[part])
            prepared = reduction.prepare(logits, part, once)
            for whole, numbers in zip(found, reduction.numbers(prepared), strict=True):
                if numbers is not None:
                    whole[part] = numbers
        ctx.save_for_backward(hidden, weight, bias)
        ctx.reduction, ctx.head, ctx.chunk, ctx.prepared = reduction, head, chunk, prepared if once else None
        ctx.mark_non_differentiable(*(one for one, fixed in zip(found, reduction.fixed, strict=True) if fixed))
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *by_numbers: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        head, chunk = ctx.head, ctx.chunk
        softcap = None if head is None else head.softcap
        kept, ctx.prepared = ctx.prepared, None  # let go of: the graph may live on for longer than this call
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_hidden = torch.empty_like(hidden) if wants_hidden else None
        of_weight = torch.zeros_like(weight) if wants_weight else None
        of_bias = torch.zeros_like(bias) if wants_bias else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            prepared = kept
            if prepared is None:
                logits = hidden[part] if head is None else head.logits(hidden[part])
                prepared = ctx.reduction.prepare(logits, part, True)
            by_logits = ctx.reduction.slope(prepared, part, [one[part] for one in by_numbers])
            if weight is None:
                of_hidden[part] = by_logits
                continue
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
        return of_hidden, of_weight, of_bias, *[None] * 3


@dataclass(frozen=True)
class Chosen:
    """The log-probs of given tokens, and the entropies: with z = logits / temperature, p = softmax(z), y the token and
    H the entropy

        d log p_y / dz = onehot(y) - p          dH / dz = -p (log p + H)
    """

    targets: Int[Tensor, " tokens"]
    temperature: float
    with_entropy: bool
    entropy_gradient: bool

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Log-probs have a gradient, entropies where it is asked for."""
        return False, not self.entropy_gradient

    def prepare(self, logits: Tensor, rows: slice, gradient: bool) -> tuple[Tensor, Tensor]:
        """Log-probs of all tokens, and the targets."""
        temperature = self.temperature
        return (logits if temperature == 1.0 else logits / temperature).log_softmax(-1), self.targets[rows, None]

    def numbers(self, prepared: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Log-probs and entropies."""
        logp, targets = prepared
        return logp.gather(-1, targets).squeeze(-1), self._entropy(logp) if self.with_entropy else None

    def slope(self, prepared: tuple[Tensor, Tensor], rows: slice, by_numbers: Sequence[Tensor]) -> Tensor:
        """The formulas above."""
        (logp, targets), (by_logprob, by_entropy) = prepared, (one[:, None] for one in by_numbers)
        slope = -by_logprob
        if self.entropy_gradient:
            slope = slope - by_entropy * (logp + self._entropy(logp)[:, None])
        by_logits = logp.exp().mul_(slope)
        by_logits.scatter_add_(1, targets, by_logprob)
        return by_logits.div_(self.temperature)

    @staticmethod
    def _entropy(logp: Tensor) -> Tensor:
        return -(logp.exp() * logp).sum(-1)


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
    `with_entropy`). Of the softmax of logits / temperature. Differentiable as `reduce_logits` is; the entropy only with
    `entropy_gradient`.

    >>> hidden, head = torch.tensor([[1.0, 0.0]]), Head(torch.tensor([[0.0, 5.0], [1.0, 5.0]]))
    >>> [round(x.item(), 4) for x in chosen_logprobs(hidden, head, torch.tensor([0]))]  # of logits 0 and 1
    [-1.3133, 0.5822]
    """
    chosen = Chosen(targets, temperature, with_entropy, entropy_gradient)
    logprobs, entropy = reduce_logits(hidden, head, chosen, chunk)
    return logprobs, entropy


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
    return replace(head, unwritten=tokens_without_text(model)) if _PLAIN[model] else None


@torch.no_grad()
def _gives_the_models_logits(model: PreTrainedModel, head: Head) -> bool:
    tokens = (torch.arange(5, device=model.device) % len(head.weight))[None]
    with autocast(model.device):
        logits = model(input_ids=tokens, use_cache=False).logits.float()
    found = head.logits(hidden_states(model, tokens)).float()
    tolerance = 1e-4 if compute_dtype(head.weight) == torch.float32 else 0.05
    return found.shape == logits.shape and bool((found - logits).abs().max() <= tolerance * logits.abs().max())
