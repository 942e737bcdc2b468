"""LoRA adapters inside a model: how to find their weights, and how to merge them into the weights that they change."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

MARK = "lora_"
"""The name of each adapter weight contains this text."""


def adapter_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the adapters' weights, by name; empty for a model without adapters."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if MARK in name}


@contextmanager
def merged_adapters(model: nn.Module) -> Iterator[None]:
    """Merges the adapters into the weights inside the context, so that code that reads the weights includes them.

    After it, the weights are the same as before, to the last bit: the old weights are put back. Subtracting the
    adapters again would round.
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
    """The model itself if it has no adapters; otherwise a copy with the adapters merged into plain weights."""
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
