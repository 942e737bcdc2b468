"""LoRA adapters inside a model: which weights they are, and merging them into the weights that they change."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

MARK = "lora_"
"""What stands in the name of each adapter's weight."""


def adapter_weights(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights by name; empty for a model without adapters."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if MARK in name}


@contextmanager
def merged_adapters(model: nn.Module) -> Iterator[None]:
    """Inside, the adapters are part of the weights, so that code that reads the weights computes with them.

    Afterwards the weights are what they were, to the last bit: adding and taking off again would round.
    """
    layers = _adapted_layers(model)
    before = [layer.base_layer.weight.data for layer in layers]
    try:
        for layer in layers:
            layer.merge(safe_merge=True)
        yield
    finally:
        for layer, weight in zip(layers, before, strict=True):
            layer.base_layer.weight.data = weight
            layer.merged_adapters.clear()


def without_adapters(model: nn.Module) -> nn.Module:
    """The model itself, or, where it has adapters, a copy with these merged into plain weights."""
    if not _adapted_layers(model):
        return model
    model = copy.deepcopy(model)
    for name, layer in [(n, m) for n, m in model.named_modules() if hasattr(m, "merged_adapters")]:
        layer.merge(safe_merge=True)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.base_layer)
    if hasattr(model, "peft_config"):
        del model.peft_config
    model._hf_peft_config_loaded = False
    return model.requires_grad_(True)


def _adapted_layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, "merged_adapters")]
