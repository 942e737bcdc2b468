"""What SFT, reward models and preference losses share: one optimiser step over a batch cut into parts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.errors import RunError
from labkit.recipes.schema import Recipe
from labkit.training.measure import Stopwatch
from labkit.training.memory import out_of_memory
from labkit.training.optim import apply_gradients, learning_rate, make_optimizer

Part = TypeVar("Part")


def trained(*modules: nn.Module) -> nn.ModuleList:
    """Several modules as one, for the optimiser."""
    return nn.ModuleList(modules)


def optimizer_of(modules: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """The recipe's optimiser over all that can be trained of the modules."""
    settings = recipe.optimizer
    return make_optimizer(modules, settings.lr, settings.betas, settings.weight_decay)


def supervised_step(
    recipe: Recipe,
    step: int,
    modules: nn.Module,
    optimizer: torch.optim.Optimizer,
    parts: Sequence[Part],
    weights: Sequence[float],
    loss_of: Callable[[Part], tuple[Float[Tensor, ""], dict[str, Tensor]]],
    tokens: int,
) -> dict[str, float]:
    """One optimiser step on the weighted mean of the parts' losses; returns the step's metrics.

    `loss_of(part)` is the part's mean loss and its statistics, `weights` how much each counts (its tokens, its pairs):
    so the gradient is that of the whole batch, however it was cut. Raises RunError where a part does not fit into
    memory.
    """
    settings, clock, total = recipe.optimizer, Stopwatch(), sum(weights)
    sums: dict[str, float] = {}
    lr = learning_rate(step, recipe.steps, settings.lr, settings.warmup, settings.schedule)
    with clock("train"):
        for part, weight in zip(parts, weights, strict=True):
            share = weight / total
            try:
                loss, stats = loss_of(part)
                (loss * share).backward()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                raise RunError(
                    "out of memory: lower optimizer.microbatch_tokens or data.max_length, or set "
                    "optimizer.gradient_checkpointing=true"
                ) from error
            for key, value in {"loss": loss.detach(), **stats}.items():
                sums[key] = sums.get(key, 0.0) + float(value) * share
        norm, skipped = apply_gradients(modules, optimizer, lr, settings.max_grad_norm)
    return {"step": step, **sums, "grad_norm": norm, "skipped": int(skipped), "lr": lr, "tokens": tokens} | clock.read(
        tokens
    )
