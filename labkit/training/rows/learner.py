"""Everything that the trainers for rows share: one optimiser step over a batch that is cut into micro-batches.

    for each step:
        take the rows of the step                          batch
        cut them into micro-batches                        trainer.cut
        add up the gradient, micro-batch by micro-batch    trainer.loss, trainer.weight
        take one optimiser step                            apply_gradients

What differs from trainer to trainer is in the class of each (`labkit.training.rows.trainer`).
"""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor, nn

from labkit.errors import UserError
from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.recipes.trainers import ALGORITHMS
from labkit.training.loop.loop import Learner
from labkit.training.loop.measure import Stopwatch, check_finite, read_together
from labkit.training.loop.optim import apply_gradients, learning_rate, make_optimizer
from labkit.training.rows.data import Dataset, Given, LeftOut, batch
from labkit.training.rows.trainer import Example, RowTrainer, Target


def row_trainer(algorithm: str) -> type[RowTrainer[Any]]:
    """The class that learns from rows by an algorithm, imported when it is first asked for. Raises UserError for an
    algorithm that learns from samples."""
    entry = ALGORITHMS[algorithm].rows if algorithm in ALGORITHMS else None
    if entry is None:
        raise UserError(f"algorithm {algorithm!r} learns from samples of its own, not from rows of data")
    if isinstance(entry, str):
        module, _, name = entry.partition(":")
        return getattr(import_module(module), name)
    return entry


def prepare_rows(
    recipe: Recipe, policy: Policy, given: Given = None, run: Path | None = None, reference: Policy | None = None
) -> "RowLearner[Any]":
    """Everything that a run on rows of data needs: the recipe's trainer, its rows in tokens, and the optimiser.

    `given`: rows of the caller's; `run`: the folder of a run that is resumed; `reference`: the frozen model of a
    preference loss, by default the policy as it is when the run begins. Raises UserError for rows that can't be used.
    """
    trainer = row_trainer(recipe.algorithm)(recipe, policy, reference)
    return RowLearner(trainer, trainer.load(given, run))


class RowLearner(Generic[Target]):
    """A trainer with its rows and its optimiser: what `labkit.training.train` runs. `left_out`: rows not used."""

    def __init__(self, trainer: RowTrainer[Target], dataset: Dataset) -> None:
        self.trainer, self.dataset, self.left_out = trainer, dataset, LeftOut()
        self.train: list[Example[Target]] = trainer.encode(dataset.train, self.left_out)
        self.test: list[Example[Target]] = trainer.encode(dataset.test, LeftOut())
        if not self.train:
            why = "; ".join(f"{count} {reason}" for reason, count in self.left_out.counts.items())
            raise UserError(f"no row of {dataset.source} can be trained on: {why}")
        trainer.check(self.train, dataset.source)
        model, heads = trainer.policy.model, trainer.heads.values()
        self.modules: nn.Module = nn.ModuleList([model, *heads]) if heads else model
        settings = trainer.recipe.optimizer
        self.optimizer = make_optimizer(self.modules, settings.lr, settings.betas, settings.weight_decay)

    @property
    def learner(self) -> Learner:
        """What the training loop takes."""
        trainer = self.trainer
        parts = {**trainer.heads, "budget": trainer.budget}
        shown = {name: name for name in trainer.shown}
        return Learner(trainer.policy, self.optimizer, lambda number: (self.step(number), []), parts, shown)

    def prepare(self, folder: Path) -> None:
        """What must be done before the first step, in the run folder."""
        self.trainer.prepare(folder, {"train": self.train, "test": self.test})

    def step(self, number: int) -> dict[str, float]:
        """Optimiser step `number` (from 0) on its batch; returns its metrics.

        Where memory does not suffice, the step begins anew with smaller micro-batches: the gradient is that of the
        whole batch, however it is cut. Raises RunError where a single row does not fit, NotFiniteError where the
        model gives NaN.
        """
        trainer, recipe, settings, clock = self.trainer, self.trainer.recipe, self.trainer.recipe.optimizer, Stopwatch()
        chosen = [self.train[i] for i in batch(len(self.train), recipe.data.batch, recipe.seed, number)]
        lr = learning_rate(number, recipe.steps, settings.lr, settings.warmup, settings.schedule)
        with clock("train"):
            trainer.begin_batch(chosen)
            rooms = torch.tensor([example.room for example in chosen])
            means = trainer.budget.fit(partial(self._accumulate, chosen), rooms, undo=self.optimizer.zero_grad)
            check_finite(means["loss"], "the loss of the batch")
            norm, skipped = apply_gradients(self.modules, self.optimizer, lr, settings.max_grad_norm)
        tokens = sum(example.tokens for example in chosen)
        done = {"grad_norm": norm, "skipped": int(skipped), "lr": lr, "tokens": tokens}
        done["microbatch_tokens"] = trainer.budget.tokens
        return {"step": number, **means, **done, **trainer.metrics(chosen)} | clock.read(tokens)

    def _accumulate(self, chosen: list[Example[Target]], tokens: int) -> dict[str, float]:
        """Adds up the gradient in parts of so many tokens; returns the means of the loss and of its statistics."""
        parts = self.trainer.cut(chosen, tokens)
        weights = [self.trainer.weight(part) for part in parts]
        total, seen, means = sum(weights), list[tuple[str, Tensor, float]](), dict[str, float]()
        for part, weight in zip(parts, weights, strict=True):
            share = weight / total
            loss, stats = self.trainer.loss(part)
            (loss * share).backward()
            seen += [(key, value.detach(), share) for key, value in {"loss": loss, **stats}.items()]
        for (key, _, share), value in zip(seen, read_together([value for _, value, _ in seen]), strict=True):
            means[key] = means.get(key, 0.0) + value * share
        return means

    @torch.no_grad()
    def evaluate_held_out(self) -> dict[str, Any] | None:
        """What the held-out rows say of the model as it is; None without any."""
        return self.trainer.evaluate(self.test) if self.test else None

    def describe(self) -> dict[str, Any]:
        """What the run learned from, for its result."""
        return {
            "source": self.dataset.source,
            "rows": len(self.train),
            "held_out": len(self.dataset.test),
            **({"left_out": self.left_out.counts} if self.left_out.counts else {}),
            **self.trainer.facts,
        }
