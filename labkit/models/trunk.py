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

CausalLM: TypeAlias = Any
"""A causal language model of transformers, or a part of one. Its parts and its configuration are attributes that its
class sets at run time, so a type checker cannot know them."""

# For models that `train_with` changed: the function that runs the trunk when a gradient is wanted.
_TRAINED: "WeakKeyDictionary[nn.Module, Callable[..., Any]]" = WeakKeyDictionary()


def autocast(device: torch.device) -> AbstractContextManager:
    """A context with bfloat16 autocast on CUDA; on the CPU it does nothing."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def touched(module: nn.Module) -> bool:
    """Whether this module does more than its class defines: it has a hook, or a `forward` of its own."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def hidden_states(
    model: CausalLM, tokens: Int[Tensor, "batch time"], positions: Int[Tensor, "batch time"] | None = None
) -> Float[Tensor, "batch time width"]:
    """The last hidden state (after the final norm) of every token. The output layer is not computed.

    Rows are right-padded. A token sees only the tokens before it, so the padding changes no result. `positions`: see
    `token_logprobs`.
    """
    trunk = _TRAINED.get(model, model.base_model) if torch.is_grad_enabled() else model.base_model
    extra = {} if positions is None else {"position_ids": positions}
    with autocast(tokens.device):
        return trunk(input_ids=tokens, use_cache=False, **extra).last_hidden_state


def train_with(model: CausalLM, gradient_checkpointing: bool = False, compile: bool = False) -> None:
    """Sets how `hidden_states` computes the model from now on when a gradient is wanted. Sampling does not change.

    `gradient_checkpointing` keeps one activation per layer, and computes the others again in the backward pass (Chen et
    al., 2016). `compile` runs torch.compile at the first use; if this fails (there may be no compiler), one printed
    line says so, and the model runs uncompiled. Raises UserError if the architecture has no gradient checkpointing.
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
    """Checkpoints transformers' layers inside the context, although the model stays in eval mode.

    transformers checkpoints a layer only in training mode, which would switch on its dropout. So `training` is set on
    the layer alone and not on the modules in it, and it is cleared before the layer's arithmetic begins.
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
    """A function that compiles the trunk at its first call. If this fails, it runs the trunk uncompiled."""
    ways: list[Callable[..., Any]] = [torch.compile(trunk, dynamic=True), trunk]

    def call(**inputs: Any) -> Any:
        if len(ways) == 1:
            return ways[0](**inputs)
        try:
            output = ways[0](**inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # there is no compiler, or it can't compile some part of the model
            del ways[0]
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"labkit: optimizer.compile has no effect here: {first[:200]}", file=sys.stderr)
            return ways[0](**inputs)
        return output

    return call
