"""What SFT, reward models and preference losses share: one optimiser step over a batch cut into parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labkit.recipes.schema import Recipe
from labkit.training.loop.measure import Stopwatch
from labkit.training.loop.memory import Budget
from labkit.training.loop.optim import apply_gradients, learning_rate, make_optimizer

Part = TypeVar("Part")
Stats = dict[str, Tensor]


@dataclass
class Supervised(Generic[Part]):
    """The optimiser of all that can be trained in `modules`, and steps with it.

    `loss_of(part)` is a part's mean loss and its statistics, `weigh(part)` how much the part counts (its tokens, its
    pairs): so the gradient is that of the whole batch, however it was cut. `budget` says how large parts may be; it is
    halved where memory does not suffice.
    """

    recipe: Recipe
    modules: nn.Module
    loss_of: Callable[[Part], tuple[Float[Tensor, ""], Stats]]
    weigh: Callable[[Part], float]
    optimizer: torch.optim.AdamW = field(init=False)
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        settings = self.recipe.optimizer
        self.optimizer = make_optimizer(self.modules, settings.lr, settings.betas, settings.weight_decay)
        self.budget = Budget(settings.microbatch_tokens, next(self.modules.parameters()).device)

    def step(
        self, number: int, lengths: Int[Tensor, " rows"], cut: Callable[[int], Sequence[Part]], tokens: int
    ) -> dict[str, float]:
        """Optimiser step `number` on the batch that `cut(budget in tokens)` cuts into parts; returns its metrics.

        `lengths`: tokens of what must stay together (a row, a pair); `tokens`: those of the whole batch. Raises
        RunError where a part that can't be cut does not fit into memory.
        """
        settings, clock = self.recipe.optimizer, Stopwatch()
        lr = learning_rate(number, self.recipe.steps, settings.lr, settings.warmup, settings.schedule)
        with clock("train"):
            work = partial(self._accumulate, cut)
            sums = self.budget.fit(work, lengths, undo=self.optimizer.zero_grad)
            norm, skipped = apply_gradients(self.modules, self.optimizer, lr, settings.max_grad_norm)
        done = {"grad_norm": norm, "skipped": int(skipped), "lr": lr, "tokens": tokens}
        return {"step": number, **sums, **done, "microbatch_tokens": self.budget.tokens} | clock.read(tokens)

    def _accumulate(self, cut: Callable[[int], Sequence[Part]], budget: int) -> dict[str, float]:
        """Adds up the gradient, part by part; returns the means of the loss and of its statistics."""
        parts = cut(budget)
        weights = [self.weigh(part) for part in parts]
        total, sums = sum(weights), dict[str, float]()
        for part, weight in zip(parts, weights, strict=True):
            share = weight / total
            loss, stats = self.loss_of(part)
            (loss * share).backward()
            for key, value in {"loss": loss.detach(), **stats}.items():
                sums[key] = sums.get(key, 0.0) + float(value) * share
        return sums


def trained(*modules: nn.Module) -> nn.ModuleList:
    """Several modules as one, for the optimiser."""
    return nn.ModuleList(modules)
