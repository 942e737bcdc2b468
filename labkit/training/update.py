"""From scored rollouts to new weights: the second half of an RL step."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.algorithms import Preset, value_loss
from labkit.models import token_logprobs, token_logprobs_and_entropy
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.training.critic import Critic
from labkit.training.microbatches import microbatches, token_budget
from labkit.training.optim import apply_gradients

SHOWN = ("ratio_mean", "clip_fraction", "kl", "ess", "entropy", "value_error", "value_clip_fraction")


@dataclass
class Judged:
    """A critic with what it said of a batch when that was sampled, and with the returns that it should have said."""

    critic: Critic
    old_values: Float[Tensor, "batch time"]
    returns: Float[Tensor, "batch time"]

    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probs, entropy and values: `Critic.forward`."""
        return self.critic(*inputs)

    def loss(
        self, values: Tensor, rows: Tensor, width: int, mask: Tensor, preset: Preset, **scale: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The critic's loss on some rows: `value_loss`."""
        old, returns = self.old_values[rows, :width], self.returns[rows, :width]
        return value_loss(values, old, returns, mask, preset.value_clip, aggregate=preset.aggregate, **scale)


@dataclass
class Tally:
    """Statistics of micro-batches, averaged over tokens, and maxima."""

    sums: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)
    tokens: float = 0.0

    def add(self, stats: dict[str, Tensor], maxima: dict[str, Tensor], tokens: int) -> None:
        """Counts one micro-batch of so many tokens."""
        self.tokens += tokens
        for key, value in stats.items():
            self.sums[key] = self.sums.get(key, 0.0) + float(value) * tokens
        for key, value in maxima.items():
            self.maxima[key] = max(self.maxima.get(key, 0.0), float(value))

    def means(self) -> dict[str, float]:
        """Token means and maxima by name."""
        return {key: value / max(self.tokens, 1.0) for key, value in self.sums.items()} | self.maxima


@torch.no_grad()
def reference_logprobs(
    reference: nn.Module, rollouts: Rollouts, temperature: float, microbatch_tokens: int | None
) -> Float[Tensor, "batch time"]:
    """Log-probs of the rollouts' tokens under a frozen model."""
    found = torch.zeros_like(rollouts.logprobs)
    budget = token_budget(microbatch_tokens, rollouts.tokens.device)
    for part in microbatches(rollouts.total_lengths, budget):
        width = int(rollouts.total_lengths[part].max())
        found[part, :width] = token_logprobs(reference, rollouts.tokens[part, :width], temperature)
    return found


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rollouts: Rollouts,
    advantages: Float[Tensor, " batch"] | Float[Tensor, "batch time"],
    kept: Bool[Tensor, " batch"],
    recipe: Recipe,
    preset: Preset,
    lr: float,
    ref_logprobs: Float[Tensor, "batch time"] | None = None,
    critic: Judged | None = None,
) -> dict[str, float]:
    """The optimiser steps on one batch of rollouts; returns statistics. `critic` learns along with the policy.

    `kept` leaves rows out of the loss altogether (DAPO's groups without variance). Rows with advantage 0 count in
    the loss's normaliser but have no gradient, so they are not computed unless the recipe says so or a KL loss needs
    them. The old log-probs are the sampler's own: the ratio then also corrects for what sampler and trainer compute
    differently (`mismatch_*`: their distance before the first optimiser step; `ess`: what it costs).
    """
    settings = recipe.optimizer
    kl_loss = preset.kl_coef != 0 and preset.kl_placement == "loss"
    needs_all = recipe.train_zero_advantage or kl_loss or preset.entropy_coef != 0 or critic is not None
    by_token = advantages if advantages.dim() == 2 else advantages[:, None].expand(rollouts.mask.shape)
    with_gradient = kept if needs_all else kept & (by_token != 0).any(1)
    budget = token_budget(settings.microbatch_tokens, rollouts.tokens.device)
    tally, mismatch = Tally(), Tally()
    norms, skipped, loss_sum, updates = [], 0, 0.0, 0
    for turn in range(settings.updates):
        for rows in minibatches(kept, settings.minibatches, seed=turn):
            normalizer = preset.normalizer(rollouts.mask[rows])
            trained = rows[with_gradient[rows]]
            if len(trained) == 0:
                continue
            for part in microbatches(rollouts.total_lengths[trained], budget):
                chosen = trained[part]
                width = int(rollouts.total_lengths[chosen].max())
                mask, old = rollouts.mask[chosen, :width], rollouts.logprobs[chosen, :width]
                forward = token_logprobs_and_entropy if critic is None else critic.forward
                logprobs, entropy, *values = forward(
                    model, rollouts.tokens[chosen, :width], recipe.sampling.temperature, preset.entropy_coef != 0
                )
                scale = {"norm_length": recipe.sampling.max_new_tokens, "normalizer": normalizer}
                loss, stats = preset.loss(
                    logprobs,
                    old,
                    by_token[chosen, :width],
                    mask,
                    ref_logprobs=None if ref_logprobs is None else ref_logprobs[chosen, :width],
                    entropy=entropy,
                    **scale,
                )
                if critic is not None:
                    error, judged = critic.loss(values[0], chosen, width, mask, preset, **scale)
                    loss, stats = loss + preset.value_coef * error, stats | judged
                loss.backward()
                loss_sum += float(loss.detach())
                tokens = int(mask.sum())
                tally.add({key: stats[key] for key in SHOWN if key in stats}, {}, tokens)
                if updates == 0:  # the weights are still those that sampled
                    gap = (logprobs.detach() - old)[mask].abs()
                    mismatch.add({"mismatch_mean": gap.mean()}, {"mismatch_max": gap.max()}, tokens)
            modules = model if critic is None else nn.ModuleList([model, critic.critic])
            norm, bad = apply_gradients(modules, optimizer, lr, settings.max_grad_norm)
            updates += 1
            skipped += bad
            norms.append(norm)
    return {
        **{"ratio_mean": 1.0, "clip_fraction": 0.0, "ess": 1.0, "entropy": float("nan")},
        **{"mismatch_mean": 0.0, "mismatch_max": 0.0},
        **tally.means(),
        **mismatch.means(),
        "loss": loss_sum / max(updates, 1),
        "grad_norm": sum(norms) / max(len(norms), 1),
        "skipped": skipped,
        "trained_rows": int(with_gradient.sum()),
        "trained_positions": int(rollouts.total_lengths[with_gradient].sum()) * settings.updates,
    }


def minibatches(kept: Bool[Tensor, " batch"], count: int, seed: int) -> list[Int[Tensor, " part"]]:
    """The kept rows in `count` parts of about the same size, shuffled (seeded) where there is more than one."""
    rows = kept.nonzero().squeeze(1)
    if count > 1:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        rows = rows[order.to(rows.device)]
    return [part for part in rows.chunk(count) if len(part)]
