"""From tokens to last hidden states: a causal language model without its output layer."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from labkit.errors import UserError

# How a model's trunk is run where a gradient is wanted, if not plainly: see `train_with`.
CausalLM: TypeAlias = Any
"""A causal language model of transformers, or a part of one. Its parts and its configuration are attributes that its
class sets at run time, so a type checker cannot know them."""

_TRAINED: "WeakKeyDictionary[nn.Module, Callable[..., Any]]" = WeakKeyDictionary()


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast on CUDA, nothing on the CPU (fp32)."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def touched(module: nn.Module) -> bool:
    """Whether something hangs on this module that is not in its class: a hook, or a `forward` of the object's own."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def hidden_states(
    model: CausalLM, tokens: Int[Tensor, "batch time"], positions: Int[Tensor, "batch time"] | None = None
) -> Float[Tensor, "batch time width"]:
    """The last hidden state (after the final norm) of every token; the output layer is not computed.

    Rows are right-padded: a token sees those before it alone, so padding changes nothing.
    """
    trunk = _TRAINED.get(model, model.base_model) if torch.is_grad_enabled() else model.base_model
    extra = {} if positions is None else {"position_ids": positions}
    with autocast(tokens.device):
        return trunk(input_ids=tokens, use_cache=False, **extra).last_hidden_state


def train_with(model: CausalLM, gradient_checkpointing: bool = False, compile: bool = False) -> None:
    """How the model's hidden states are computed from now on where a gradient is wanted. Sampling is left alone.

    `gradient_checkpointing` keeps one activation a layer and computes the others again in the backward pass (Chen et
    al., 2016). `compile` runs torch.compile at the first use; without a compiler a line says so, and the model runs
    as it is. Raises UserError for an architecture whose layers can't be computed again.
    """
    trunk: Callable[..., Any] = model.base_model
    if compile:
        trunk = _compiled(model.base_model)
    if gradient_checkpointing:
        layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
        if not layers:
            raise UserError(f"{type(model).__name__} has no gradient checkpointing: leave it out of the recipe")
        trunk = partial(_checkpointed, layers, trunk)
    if gradient_checkpointing or compile:
        _TRAINED[model] = trunk
    else:
        _TRAINED.pop(model, None)


def _checkpointed(layers: list[GradientCheckpointingLayer], trunk: Callable[..., Any], **inputs: Any) -> Any:
    with checkpointing(layers):
        return trunk(**inputs)


@contextmanager
def checkpointing(layers: list[GradientCheckpointingLayer]) -> Iterator[None]:
    """Inside, transformers' layers are checkpointed, although the model is, and stays, in eval mode.

    transformers checkpoints a layer only in training mode, which would switch its dropout on. So the layer alone is
    told that it trains, not the modules in it, and no longer when its arithmetic begins.
    """
    for layer in layers:
        layer.gradient_checkpointing, layer.training = True, True
        layer._gradient_checkpointing_func = partial(_run_again_later, layer)
    try:
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing, layer.training = False, False


def _run_again_later(layer: nn.Module, run: Callable[..., Any], *inputs: Any) -> Any:
    layer.training = False
    return checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False)


def _compiled(trunk: nn.Module) -> Callable[..., Any]:
    """The trunk, compiled when it is first called; where that fails, as it is."""
    ways: list[Callable[..., Any]] = [torch.compile(trunk, dynamic=True), trunk]

    def call(**inputs: Any) -> Any:
        if len(ways) == 1:
            return ways[0](**inputs)
        try:
            output = ways[0](**inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # no compiler, or something in the model that it can't compile
            del ways[0]
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"labkit: optimizer.compile has no effect here: {first[:200]}", file=sys.stderr)
            return ways[0](**inputs)
        return output

    return call
