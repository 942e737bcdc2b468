"""Computes the numbers that a loss needs from hidden states, without ever holding all logits [batch, time, vocab].

The logits of a batch are by far its largest tensor (SmolLM2: 49,152 logits per token, but 576 numbers per hidden
state). A loss needs only one or two numbers per token: the log-prob of one token, the entropy, a divergence. So the
logits are computed chunk by chunk, reduced to these numbers, and dropped. The backward pass computes them again. This
costs one more matrix product, and needs memory for one chunk only. `reduce_logits` does this for any such number,
`chosen_logprobs` for log-probs.
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

# The most logits that are held at once, per type of device.
MOST_LOGITS = {"cpu": 2**21, "cuda": 2**27}


@dataclass(frozen=True)
class Head:
    """The output layer of a model: logits = hidden @ weight.T + bias, then softcap * tanh(logits / softcap).

    `unwritten` holds the ids of tokens that are never drawn (`labkit.models.vocabulary`).
    """

    weight: Float[Tensor, "vocab width"]
    bias: Float[Tensor, " vocab"] | None = None
    softcap: float | None = None
    unwritten: Int[Tensor, " ids"] | None = None

    def logits(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape vocab"]:
        """The model's logits, in float32 or better."""
        return never_drawn(_logits(hidden, self.weight, self.bias, self.softcap), self.unwritten)


class Reduction(Protocol):
    """Reduces the logits of each token to a few numbers.

    `rows` says to which tokens the given logits belong. `fixed` says of each number whether it has no gradient.
    """

    @property
    def fixed(self) -> tuple[bool, ...]: ...

    def prepare(self, logits: Float[Tensor, "rows vocab"], rows: slice, gradient: bool) -> Any:
        """Computes what `numbers` needs and, with `gradient`, what `slope` needs."""
        ...

    def numbers(self, prepared: Any) -> Sequence[Tensor | None]:
        """For each output one number per token, [rows]; None for an output that is not wanted, which stays 0."""
        ...

    def slope(self, prepared: Any, rows: slice, by_numbers: Sequence[Tensor]) -> Float[Tensor, "rows vocab"]:
        """The gradient with respect to the logits, from the gradients with respect to the numbers."""
        ...


def reduce_logits(
    hidden: Float[Tensor, "tokens width"],
    head: Head | None,
    reduction: Reduction,
    chunk: int | None = None,
) -> tuple[Float[Tensor, " tokens"], ...]:
    """Computes the reduction's numbers for each token, from the hidden states and the output layer.

    If `head` is None, `hidden` holds the logits themselves. The result is differentiable with respect to hidden states,
    weight and bias. `chunk` is the number of tokens whose logits are held at once; the default follows from
    `MOST_LOGITS` of the device.
    """
    weight, bias = (None, None) if head is None else (head.weight, head.bias)
    if chunk is None:
        vocabulary = hidden.shape[-1] if weight is None else len(weight)
        chunk = max(1, MOST_LOGITS.get(hidden.device.type, 2**24) // vocabulary)
    return _Reduced.apply(hidden, weight, bias, head, reduction, chunk)


class _Reduced(torch.autograd.Function):
    """See `reduce_logits`. If all tokens fit into one chunk, the backward pass reuses the forward pass's result."""

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
        kept, ctx.prepared = ctx.prepared, None  # free the memory: the graph may live longer than this call
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
    """Reduces logits to the log-prob of the given token and the entropy.

    With z = logits / temperature, p = softmax(z), the token y and the entropy H:

        d log p_y / dz = onehot(y) - p          dH / dz = -p (log p + H)
    """

    targets: Int[Tensor, " tokens"]
    temperature: float
    with_entropy: bool
    entropy_gradient: bool

    @property
    def fixed(self) -> tuple[bool, ...]:
        """Log-probs have a gradient; entropies have one only with `entropy_gradient`."""
        return False, not self.entropy_gradient

    def prepare(self, logits: Tensor, rows: slice, gradient: bool) -> tuple[Tensor, Tensor]:
        """The log-probs of the whole vocabulary, [rows, vocab], and the targets, [rows, 1]."""
        temperature = self.temperature
        return (logits if temperature == 1.0 else logits / temperature).log_softmax(-1), self.targets[rows, None]

    def numbers(self, prepared: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The targets' log-probs and, with `with_entropy`, the entropies."""
        logp, targets = prepared
        return logp.gather(-1, targets).squeeze(-1), self._entropy(logp) if self.with_entropy else None

    def slope(self, prepared: tuple[Tensor, Tensor], rows: slice, by_numbers: Sequence[Tensor]) -> Tensor:
        """The gradient by the formulas above."""
        (logp, targets), (by_logprob, by_entropy) = prepared, (one[:, None] for one in by_numbers)
        slope = -by_logprob
        if self.entropy_gradient:
            slope = slope - by_entropy * (logp + self._entropy(logp)[:, None])
        by_logits = logp.exp().mul_(slope)
        by_logits.scatter_add_(1, targets, by_logprob)
        return by_logits if self.temperature == 1.0 else by_logits.div_(self.temperature)

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
    """log p(target) and the entropy of the distribution, both in nats, from the hidden state BEFORE each target.

    The distribution is softmax(logits / temperature). The entropy is 0 without `with_entropy`, and has a gradient only
    with `entropy_gradient`. The log-probs are differentiable, as in `reduce_logits`.

    >>> hidden, head = torch.tensor([[1.0, 0.0]]), Head(torch.tensor([[0.0, 5.0], [1.0, 5.0]]))
    >>> [round(x.item(), 4) for x in chosen_logprobs(hidden, head, torch.tensor([0]))]  # of logits 0 and 1
    [-1.3133, 0.5822]
    """
    chosen = Chosen(targets, temperature, with_entropy, entropy_gradient)
    logprobs, entropy = reduce_logits(hidden, head, chosen, chunk)
    return logprobs, entropy


def compute_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of matrix products: bfloat16 for float32 weights on CUDA, as in `autocast`; else the weights' dtype."""
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
    """The output layer of a causal language model, if applying it to the last hidden states gives the model's logits.

    None for any other model: for example an object that only gives logits, a head with adapters or hooks, or an
    architecture that scales its logits. When a model comes for the first time, this is tested with the logits of a few
    tokens. If they differ, one printed line says that the model's logits are computed as a whole.
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
