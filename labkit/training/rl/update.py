"""From an experience to new weights: the second half of an RL step."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.models import token_logprobs_and_entropy
from labkit.recipes.schema import Recipe
from labkit.training.loop.measure import Tally, check_finite, mismatch, mismatch_metrics
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches, minibatches
from labkit.training.loop.optim import apply_gradients
from labkit.training.rl.experience import Experience
from labkit.training.rl.logprobs import rollout_logprobs

STATISTICS = ("ratio_mean", "clip_fraction", "kl", "entropy", "value_error", "value_clip_fraction")
"""Of what the loss of a micro-batch reports, the numbers that are logged."""

Loss = tuple[Float[Tensor, ""], dict[str, Tensor], Float[Tensor, "rows width"]]


class Trained(Protocol):
    """What `update` needs of a learner."""

    recipe: Recipe
    objective: "Objective"
    optimizer: torch.optim.Optimizer
    budget: Budget

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step."""
        ...


@dataclass
class Objective:
    """What is minimised: the algorithm's policy loss, with its KL and entropy terms, over the rows of an experience."""

    model: nn.Module
    recipe: Recipe

    @property
    def modules(self) -> nn.Module:
        """All that is trained."""
        return self.model

    def rows_with_gradient(self, experience: Experience) -> Bool[Tensor, " batch"]:
        """The rows to compute. A row whose advantages are all 0 counts in the loss's normaliser but has no gradient,
        unless the KL or the entropy of its tokens has one; the recipe may ask for all rows."""
        algorithm = experience.algorithm
        kl_loss = algorithm.kl_coef != 0 and algorithm.kl_placement == "loss"
        if self.recipe.train_zero_advantage or kl_loss or algorithm.entropy_coef != 0:
            return torch.ones_like(experience.kept)
        return (experience.advantages != 0).any(1)

    def loss(self, experience: Experience, rows: Int[Tensor, " rows"], width: int, normalizer: int) -> Loss:
        """The rows' share of the loss, its statistics, and the log-probs [rows, width] that it is made of."""
        tokens, mask = experience.rollouts.tokens[rows, :width], experience.rollouts.mask[rows, :width]
        entropy_gradient = experience.algorithm.entropy_coef != 0
        logprobs, entropy = token_logprobs_and_entropy(
            self.model, tokens, self.recipe.sampling.temperature, entropy_gradient, mask
        )
        loss, stats = self.policy_loss(experience, rows, logprobs, entropy, normalizer)
        return loss, stats, logprobs

    def policy_loss(
        self,
        experience: Experience,
        rows: Int[Tensor, " rows"],
        logprobs: Float[Tensor, "rows width"],
        entropy: Float[Tensor, "rows width"],
        normalizer: int,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """`Preset.loss` on the rows, cut to `width` columns."""
        width = logprobs.shape[1]
        return experience.algorithm.loss(
            logprobs,
            experience.old[rows, :width],
            (experience.advantages * experience.weights)[rows, :width],
            experience.rollouts.mask[rows, :width],
            ref_logprobs=None if experience.ref is None else experience.ref[rows, :width],
            entropy=entropy,
            **self.scale(normalizer),
        )

    def scale(self, normalizer: int) -> dict[str, Any]:
        """What a sum over tokens or rows is divided by, as keywords of the losses."""
        return {"norm_length": self.recipe.sampling.max_new_tokens, "normalizer": normalizer}

    def accumulate(
        self, experience: Experience, rows: Int[Tensor, " rows"], normalizer: int, budget: int
    ) -> tuple[Float[Tensor, ""], Tally, Tally]:
        """Adds up the gradient of the rows' loss, micro-batch by micro-batch of at most `budget` tokens; returns the
        loss, its statistics, and those of the mismatch between sampler and trainer."""
        rollouts, device = experience.rollouts, experience.old.device
        total, stats, gap = torch.zeros((), device=device), Tally(), Tally()
        for part in microbatches(experience.row_lengths[rows], budget):
            chosen = rows[part]
            tokens, width = int(experience.answer_lengths[chosen].sum()), int(experience.row_lengths[chosen].max())
            chosen = chosen.to(device)
            loss, reported, logprobs = self.loss(experience, chosen, width, normalizer)
            loss.backward()
            total += loss.detach()
            stats.add({key: reported[key] for key in STATISTICS if key in reported}, {}, tokens)
            gap.add(*mismatch(logprobs, rollouts.logprobs[chosen, :width], rollouts.mask[chosen, :width]), tokens)
        return total, stats, gap


@dataclass
class Progress:
    """What the optimiser steps of one update report."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    skipped: int = 0
    tally: Tally = field(default_factory=Tally)
    gap: Tally | None = None

    def add(self, loss: Tensor, stats: Tally, gap: Tally, norm: float, skipped: bool) -> None:
        """Counts one optimiser step. Of the mismatch the first counts: before it the weights still were those that
        sampled."""
        self.losses.append(float(loss))
        self.norms.append(norm)
        self.skipped += skipped
        self.tally.merge(stats)
        self.gap = self.gap or gap

    def metrics(self) -> dict[str, float]:
        """Means over the optimiser steps; without any: 0, and a ratio of 1. Raises NotFiniteError where a mean is
        none: then log-probs were NaN, of the policy, the reference or the critic."""
        means = self.tally.means()
        for key, value in means.items():
            check_finite(value, f"{key} of the trained tokens")
        return {
            **{"ratio_mean": 1.0, "clip_fraction": 0.0, "entropy": float("nan")},
            **means,
            **({} if self.gap is None else mismatch_metrics(self.gap)),
            "loss": sum(self.losses) / max(len(self.losses), 1),
            "grad_norm": sum(self.norms) / max(len(self.norms), 1),
            "skipped": self.skipped,
        }


def update(learner: Trained, experience: Experience) -> dict[str, float]:
    """The optimiser steps on one experience; returns statistics.

    `experience.kept` leaves rows out of the loss altogether (DAPO's groups without variance). The ratio is taken to
    `experience.old`, by default the sampler's own log-probs, so that it also corrects for what sampler and trainer
    compute differently; `mismatch_*` and `ess` tell their distance before the first optimiser step. The budget of
    micro-batches is halved where memory does not suffice: the optimiser step then begins anew.
    """
    settings, objective, budget, clock = learner.recipe.optimizer, learner.objective, learner.budget, experience.clock
    kept, progress = experience.kept.cpu(), Progress()
    with_gradient = kept & objective.rows_with_gradient(experience).cpu()
    lr, mask = learner.learning_rate(experience.step), experience.rollouts.mask
    clock.begin("backward", "optimizer")  # also where nothing is trained
    for turn in range(settings.updates):
        for rows in minibatches(kept, settings.minibatches, seed=turn):
            trained = rows[with_gradient[rows]]
            if len(trained) == 0:
                continue
            normalizer = experience.algorithm.normalizer(mask[rows.to(mask.device)])
            work = partial(objective.accumulate, experience, trained, normalizer)
            with clock("backward"):
                done = budget.fit(work, experience.row_lengths[trained], undo=learner.optimizer.zero_grad)
            with clock("optimizer"):
                norm, skipped = apply_gradients(objective.modules, learner.optimizer, lr, settings.max_grad_norm)
            progress.add(*done, norm, skipped)
    if progress.gap is None:
        progress.gap = sampled_mismatch(learner, experience)
    return progress.metrics() | {
        "lr": lr,
        "trained_rows": int(with_gradient.sum()),
        "trained_positions": int(experience.row_lengths[with_gradient].sum()) * settings.updates,
        "microbatch_tokens": budget.tokens,
    }


def sampled_mismatch(learner: Trained, experience: Experience) -> Tally:
    """The distance of sampler and trainer on a few rows, where nothing was trained that could tell it."""
    rollouts, budget, recipe = experience.rollouts, learner.budget, learner.recipe
    few = torch.arange(len(rollouts))[: max(1, budget.tokens // int(experience.row_lengths.max()))]
    own = rollout_logprobs(learner.objective.model, rollouts, recipe.sampling.temperature, budget, few)
    few, gap = few.to(rollouts.tokens.device), Tally()
    gap.add(*mismatch(own[few], rollouts.logprobs[few], rollouts.mask[few]), 1)
    return gap
