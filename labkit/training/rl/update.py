"""From scored rollouts to new weights: the second half of an RL step."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.algorithms import Preset, importance_weights, value_loss
from labkit.models import token_logprobs, token_logprobs_and_entropy
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.training.loop.measure import Stopwatch, Tally, mismatch, mismatch_metrics
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.loop.optim import apply_gradients
from labkit.training.rl.critic import Critic

SHOWN = ("ratio_mean", "clip_fraction", "kl", "entropy", "value_error", "value_clip_fraction")


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


@torch.no_grad()
def reference_logprobs(
    model: nn.Module,
    rollouts: Rollouts,
    temperature: float,
    budget: Budget | int | None = None,
    rows: Int[Tensor, " rows"] | None = None,
) -> Float[Tensor, "batch time"]:
    """Log-probs of the rollouts' chosen tokens under a model as it is: a frozen reference, or the policy before its
    update; 0 outside the mask, and where `rows` are named, in all others. `budget`: tokens of a micro-batch."""
    device, lengths = rollouts.tokens.device, rollouts.total_lengths.cpu()
    rows = torch.arange(len(rollouts)) if rows is None else rows
    budget = budget if isinstance(budget, Budget) else Budget(budget, device)

    def compute(tokens: int) -> Tensor:
        found = torch.zeros_like(rollouts.logprobs)
        for part in microbatches(lengths[rows], tokens):
            width, chosen = int(lengths[rows[part]].max()), rows[part].to(device)
            inputs, mask = rollouts.tokens[chosen, :width], rollouts.mask[chosen, :width]
            found[chosen, :width] = token_logprobs(model, inputs, temperature, mask=mask)
        return found

    return budget.fit(compute, lengths[rows])


@dataclass
class Batch:
    """What the loss of a batch is made of. `old`: the log-probs that the ratio is taken to.

    `lengths` and `counts`: tokens of each row with and without its prompt, on the CPU, so that cutting the batch does
    not wait for a GPU.
    """

    model: nn.Module
    rollouts: Rollouts
    advantages: Float[Tensor, "batch time"]
    old: Float[Tensor, "batch time"]
    ref: Float[Tensor, "batch time"] | None
    critic: Judged | None
    recipe: Recipe
    preset: Preset
    lengths: Int[Tensor, " batch"] = field(init=False)
    counts: Int[Tensor, " batch"] = field(init=False)

    def __post_init__(self) -> None:
        self.lengths, self.counts = self.rollouts.total_lengths.cpu(), self.rollouts.mask.sum(1).cpu()

    def accumulate(self, rows: Int[Tensor, " rows"], normalizer: int, budget: int) -> tuple[Tensor, Tally, Tally]:
        """Adds up the gradient of the rows' loss, micro-batch by micro-batch; returns the loss, its statistics, and
        those of the mismatch between sampler and trainer."""
        total, stats, gap = torch.zeros((), device=self.old.device), Tally(), Tally()
        for part in microbatches(self.lengths[rows], budget):
            chosen = rows[part]
            tokens, width = int(self.counts[chosen].sum()), int(self.lengths[chosen].max())
            chosen = chosen.to(self.old.device)
            loss, found, logprobs = self.loss(chosen, width, normalizer)
            loss.backward()
            total += loss.detach()
            stats.add({key: found[key] for key in SHOWN if key in found}, {}, tokens)
            sampler, mask = self.rollouts.logprobs[chosen, :width], self.rollouts.mask[chosen, :width]
            gap.add(*mismatch(logprobs, sampler, mask), tokens)
        return total, stats, gap

    def loss(
        self, rows: Int[Tensor, " rows"], width: int, normalizer: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor], Float[Tensor, "rows width"]]:
        """The rows' share of the loss, its statistics, and the log-probs that it is made of."""
        preset, mask = self.preset, self.rollouts.mask[rows, :width]
        forward = token_logprobs_and_entropy if self.critic is None else self.critic.forward
        temperature, with_gradient = self.recipe.sampling.temperature, self.preset.entropy_coef != 0
        logprobs, entropy, *values = forward(
            self.model, self.rollouts.tokens[rows, :width], temperature, with_gradient, mask
        )
        scale = {"norm_length": self.recipe.sampling.max_new_tokens, "normalizer": normalizer}
        loss, stats = preset.loss(
            logprobs,
            self.old[rows, :width],
            self.advantages[rows, :width],
            mask,
            ref_logprobs=None if self.ref is None else self.ref[rows, :width],
            entropy=entropy,
            **scale,
        )
        if self.critic is not None:
            error, judged = self.critic.loss(values[0], rows, width, mask, preset, **scale)
            loss, stats = loss + preset.value_coef * error, stats | judged
        return loss, stats, logprobs


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
    *,
    own_logprobs: Float[Tensor, "batch time"] | None = None,
    budget: Budget | None = None,
    clock: Stopwatch | None = None,
) -> dict[str, float]:
    """The optimiser steps on one batch of rollouts; returns statistics. `critic` learns along with the policy.

    `kept` leaves rows out of the loss altogether (DAPO's groups without variance). Rows with advantage 0 count in
    the loss's normaliser but have no gradient, so they are not computed unless the recipe says so or a KL loss needs
    them.

    The old log-probs are the sampler's own: the ratio then also corrects for what sampler and trainer compute
    differently. With `preset.importance_cap` they are the trainer's, `own_logprobs` from before the update (needed
    then), and each token is weighed by `importance_weights`. Either way `mismatch_*` and `ess` tell the distance of
    sampler and trainer before the first optimiser step.

    `budget` is halved where memory does not suffice: the optimiser step then begins anew. `clock` measures the parts.
    """
    settings, device = recipe.optimizer, rollouts.tokens.device
    clock, budget = clock or Stopwatch(device), budget or Budget(settings.microbatch_tokens, device)
    clock.add("backward", 0.0)  # also where nothing is trained
    clock.add("optimizer", 0.0)
    by_token = advantages if advantages.dim() == 2 else advantages[:, None].expand(rollouts.mask.shape)
    kl_loss = preset.kl_coef != 0 and preset.kl_placement == "loss"
    needs_all = recipe.train_zero_advantage or kl_loss or preset.entropy_coef != 0 or critic is not None
    with_gradient = kept if needs_all else kept & (by_token != 0).any(1)
    kept, with_gradient = kept.cpu(), with_gradient.cpu()
    old, corrected = rollouts.logprobs, {}
    if preset.importance_cap is not None:
        if own_logprobs is None:
            raise ValueError("importance_cap needs own_logprobs: reference_logprobs(model, ...) before the update")
        weights = importance_weights(own_logprobs, old, rollouts.mask, preset.importance_cap)
        corrected["importance_capped"] = float((weights >= preset.importance_cap)[rollouts.mask].float().mean())
        old, by_token = own_logprobs, by_token * weights
    batch = Batch(model, rollouts, by_token, old, ref_logprobs, critic, recipe, preset)
    modules = model if critic is None else nn.ModuleList([model, critic.critic])
    losses, norms, skipped, tally, gap = [], [], 0, Tally(), None
    for turn in range(settings.updates):
        for rows in minibatches(kept, settings.minibatches, seed=turn):
            trained = rows[with_gradient[rows]]
            if len(trained) == 0:
                continue
            work = partial(batch.accumulate, trained, preset.normalizer(rollouts.mask[rows.to(device)]))
            with clock("backward"):
                loss, stats, measured = budget.fit(work, batch.lengths[trained], undo=optimizer.zero_grad)
            with clock("optimizer"):
                norm, bad = apply_gradients(modules, optimizer, lr, settings.max_grad_norm)
            tally.merge(stats)
            gap = gap or measured  # of the first optimiser step: before it the weights were still those that sampled
            losses.append(float(loss))
            norms.append(norm)
            skipped += bad
    if gap is None:  # nothing to learn; how far apart sampler and trainer are is measured all the same, on a few rows
        few = torch.arange(len(rollouts))[: max(1, budget.tokens // int(batch.lengths.max()))]
        own = reference_logprobs(model, rollouts, recipe.sampling.temperature, budget, few)
        few = few.to(device)
        gap = Tally()
        gap.add(*mismatch(own[few], rollouts.logprobs[few], rollouts.mask[few]), 1)
    return {
        **{"ratio_mean": 1.0, "clip_fraction": 0.0, "entropy": float("nan")},
        **tally.means(),
        **mismatch_metrics(gap),
        **corrected,
        "loss": sum(losses) / max(len(losses), 1),
        "grad_norm": sum(norms) / max(len(norms), 1),
        "skipped": skipped,
        "trained_rows": int(with_gradient.sum()),
        "trained_positions": int(batch.lengths[with_gradient].sum()) * settings.updates,
        "microbatch_tokens": budget.tokens,
    }


def minibatches(kept: Bool[Tensor, " batch"], count: int, seed: int) -> list[Int[Tensor, " part"]]:
    """The kept rows in `count` parts of about the same size, shuffled (seeded) where there is more than one."""
    rows = kept.nonzero().squeeze(1)
    if count > 1:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        rows = rows[order.to(rows.device)]
    return [part for part in rows.chunk(count) if len(part)]
