"""The one optimiser step that every trainer shares: schedule, clipping, and a guard against bad gradients."""

import math
from typing import Literal

import torch
from torch import nn

Schedule = Literal["constant", "cosine", "linear"]


def make_optimizer(
    model: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.0
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) for all trainable parameters, with a fused kernel if the device has one.

    Weight decay applies to matrices, but not to vectors.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=fused)


def learning_rate(
    step: int, steps: int, peak: float, warmup: int = 0, schedule: Schedule = "constant", floor: float = 0.0
) -> float:
    """The learning rate of a step, counted from 0.

    It rises linearly to `peak` during the first `warmup` steps. Then it stays constant, or falls linearly or as a
    cosine to `floor * peak` at step `steps`.

    >>> [learning_rate(s, 10, 1.0, warmup=2) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 1.0]
    >>> round(learning_rate(6, 10, 1.0, warmup=2, schedule="cosine"), 3)
    0.5
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    left = 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return peak * (floor + (1 - floor) * left)


def apply_gradients(
    model: nn.Module, optimizer: torch.optim.Optimizer, lr: float, max_grad_norm: float = 1.0
) -> tuple[float, bool]:
    """Clips the gradients to a norm, takes one optimiser step, and clears the gradients.

    Returns the norm before clipping, and whether the step was skipped. A step is skipped if its gradient norm is NaN or
    infinite. Then the weights and the optimiser's moments do not change: one NaN in Adam's moments would make every
    later step NaN.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = float(nn.utils.clip_grad_norm_(parameters, max_grad_norm, foreach=True))
    skipped = not math.isfinite(norm)
    if not skipped:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm, skipped
