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
"""The statistics of a micro-batch's loss that are logged."""

Loss = tuple[Float[Tensor, ""], dict[str, Tensor], Float[Tensor, "rows width"]]


class Trained(Protocol):
    """The attributes of a learner that `update` needs."""

    recipe: Recipe
    objective: "Objective"
    optimizer: torch.optim.Optimizer
    budget: Budget

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step."""
        ...


@dataclass
class Objective:
    """The loss to minimise: the algorithm's policy loss, with its KL and entropy terms, over rows of an experience."""

    model: nn.Module
    recipe: Recipe

    @property
    def modules(self) -> nn.Module:
        """All modules that are trained."""
        return self.model

    def rows_with_gradient(self, experience: Experience) -> Bool[Tensor, " batch"]:
        """True for the rows whose loss must be computed.

        A row whose advantages are all 0 counts in the normaliser of the loss, but has no gradient, unless the loss has
        a KL or an entropy term. The recipe may ask for all rows (`train_zero_advantage`).
        """
        algorithm = experience.algorithm
        kl_loss = algorithm.kl_coef != 0 and algorithm.kl_placement == "loss"
        if self.recipe.train_zero_advantage or kl_loss or algorithm.entropy_coef != 0:
            return torch.ones_like(experience.kept)
        return (experience.advantages != 0).any(1)

    def loss(self, experience: Experience, rows: Int[Tensor, " rows"], width: int, normalizer: int) -> Loss:
        """The rows' share of the loss, its statistics, and the log-probs [rows, width] from which it was computed.

        The numbers of the rows are on the CPU.
        """
        mask = experience.host_mask[rows, :width]
        rows = rows.to(experience.old.device)
        tokens = experience.rollouts.tokens[rows, :width]
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
        """`Preset.loss` of the rows, for the columns of `logprobs`."""
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
        """The keyword arguments of the losses that say by what a sum over tokens or rows is divided."""
        return {"norm_length": self.recipe.sampling.max_new_tokens, "normalizer": normalizer}

    def accumulate(
        self, experience: Experience, rows: Int[Tensor, " rows"], normalizer: int, budget: int
    ) -> tuple[Float[Tensor, ""], Tally, Tally]:
        """Adds up the gradient of the rows' loss, in micro-batches of at most `budget` tokens.

        Returns the loss, its statistics, and the statistics of the mismatch between sampler and trainer.
        """
        rollouts, device = experience.rollouts, experience.old.device
        total, stats, gap = torch.zeros((), device=device), Tally(), Tally()
        for part in microbatches(experience.row_lengths[rows], budget):
            chosen = rows[part]
            tokens, width = int(experience.answer_lengths[chosen].sum()), int(experience.row_lengths[chosen].max())
            loss, reported, logprobs = self.loss(experience, chosen, width, normalizer)
            chosen = chosen.to(device)
            loss.backward()
            total += loss.detach()
            stats.add({key: reported[key] for key in STATISTICS if key in reported}, {}, tokens)
            gap.add(*mismatch(logprobs, rollouts.logprobs[chosen, :width], rollouts.mask[chosen, :width]), tokens)
        return total, stats, gap


@dataclass
class Progress:
    """Collects the statistics of the optimiser steps of one update."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    skipped: int = 0
    tally: Tally = field(default_factory=Tally)
    gap: Tally | None = None

    def add(self, loss: Tensor, stats: Tally, gap: Tally, norm: float, skipped: bool) -> None:
        """Adds one optimiser step. Only the first step's mismatch is kept: the later ones compare changed weights."""
        self.losses.append(float(loss))
        self.norms.append(norm)
        self.skipped += skipped
        self.tally.merge(stats)
        self.gap = self.gap or gap

    def metrics(self) -> dict[str, float]:
        """The means over the optimiser steps. If there was no step: 0, and a ratio of 1.

        Raises NotFiniteError if a mean is NaN or infinite: then the policy, the reference or the critic gave NaN.
        """
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
    """Takes the optimiser steps on one experience; returns statistics.

    Rows where `experience.kept` is False are no part of the loss (DAPO's groups without variance). The ratio compares
    the policy with `experience.old`. By default these are the sampler's own log-probs, so that the ratio also corrects
    for differences between sampler and trainer; `mismatch_*` and `ess` measure these before the first optimiser step.
    If there is not enough memory, the micro-batch budget is halved and the optimiser step starts again. Raises
    NotFiniteError if the statistics are NaN or infinite.
    """
    settings, objective, budget, clock = learner.recipe.optimizer, learner.objective, learner.budget, experience.clock
    kept, progress = experience.kept.cpu(), Progress()
    with_gradient = kept & objective.rows_with_gradient(experience).cpu()
    lr, mask = learner.learning_rate(experience.step), experience.rollouts.mask
    clock.begin("backward", "optimizer")  # every step reports these times, also if it trains no row
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
    """The mismatch of sampler and trainer on a few rows. It is used if the update trained no row."""
    rollouts, budget, recipe = experience.rollouts, learner.budget, learner.recipe
    few = torch.arange(len(rollouts))[: max(1, budget.tokens // int(experience.row_lengths.max()))]
    own = rollout_logprobs(learner.objective.model, rollouts, recipe.sampling.temperature, budget, few)
    few, gap = few.to(rollouts.tokens.device), Tally()
    gap.add(*mismatch(own[few], rollouts.logprobs[few], rollouts.mask[few]), 1)
    return gap
