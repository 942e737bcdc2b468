"""LoRA adapters (Hu et al., 2021) by means of the package peft: only a small change to frozen weights is trained."""

from collections.abc import Sequence

import torch
from torch import nn

from labkit.errors import UserError
from labkit.models.adapters import MARK, adapter_weights
from labkit.models.policy import Policy


def add_lora(
    policy: Policy, rank: int, alpha: float, targets: Sequence[str] | str = "all-linear", seed: int = 0
) -> Policy:
    """Puts adapters into the policy's linear layers, in place, and freezes everything else; returns the policy.

    W becomes W + alpha / rank * B A. A [rank, in] begins random (`seed`) and B [out, rank] begins at zero, so the model
    does not change before training. There is no dropout, because the trainer's log-probs must equal the sampler's.
    `targets`: names of layers, or "all-linear" for all linear layers but the output layer. Raises UserError if the
    package peft is missing, if the policy has adapters already, or if no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise UserError("LoRA needs the package peft (pip install peft); or leave `lora` out of the recipe") from None
    if adapter_weights(policy.model):
        raise UserError("this policy already has LoRA adapters: leave `lora` out, or load the model anew")
    names = _linear_layers(policy.model) if targets == "all-linear" else list(targets)
    # GPT-2 stores its matrices transposed, in layers of the class Conv1D.
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


def _linear_layers(model: nn.Module) -> list[str]:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    found = [
        name
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    ]
    return sorted({name.rpartition(".")[2] for name in found})
