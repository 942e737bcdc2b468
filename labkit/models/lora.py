"""LoRA adapters (Hu et al., 2021) through the package peft: training a small change to frozen weights."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from labkit.errors import UserError

if TYPE_CHECKING:
    from labkit.models.policy import Policy

MARK = "lora_"


def add_lora(
    policy: "Policy", rank: int, alpha: float, targets: Sequence[str] | str = "all-linear", seed: int = 0
) -> "Policy":
    """Puts adapters into the policy's linear layers, in place, and freezes everything else; returns the policy.

    W becomes W + alpha / rank * B A with A [rank, in] random and B [out, rank] zero: at first nothing changes. No
    dropout: the trainer's log-probs must be the sampler's. `targets`: names of layers, or "all-linear" for all but the
    output layer. Raises UserError without the package peft, or where no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise UserError("LoRA needs the package peft (pip install peft); or leave `lora` out of the recipe") from None
    if adapter_weights(policy.model):
        raise UserError("this policy already has LoRA adapters: leave `lora` out, or load the model anew")
    names = _linear_layers(policy.model) if targets == "all-linear" else list(targets)
    # GPT-2 stores its matrices transposed, as Conv1D.
    transposed = any(type(module).__name__ == "Conv1D" for module in policy.model.modules())
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, lora_dropout=0.0, fan_in_fan_out=transposed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, policy.model)
        except ValueError as error:
            raise UserError(f"lora.targets: {str(error).splitlines()[0][:200]}") from None
    for name, parameter in policy.model.named_parameters():
        parameter.requires_grad_(MARK in name)
    policy.model.eval()
    return policy


def adapter_weights(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights by name; empty for a model without adapters."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if MARK in name}


@contextmanager
def merged_adapters(model: nn.Module) -> Iterator[None]:
    """Inside, the adapters are part of the weights, so that whoever reads the weights computes with them.

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


def _linear_layers(model: nn.Module) -> list[str]:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    found = [
        name
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    ]
    return sorted({name.rpartition(".")[2] for name in found})
