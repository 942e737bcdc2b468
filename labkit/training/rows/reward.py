"""Reward models from comparisons: -log sigmoid(r(chosen) - r(rejected)), after Bradley and Terry.

The number is read at each reply's last token, its eos; both replies of a pair are in one micro-batch. What is measured
on held-out pairs: accuracy with its interval, and calibration: of the pairs to which the model gives the chance p,
does a share of p turn out that way?
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.algorithms import bradley_terry_loss
from labkit.errors import UserError
from labkit.evaluation.calibration import calibration_bins, pair_confidence
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded, Policy, RewardModel, pad
from labkit.recipes.schema import Recipe
from labkit.training.loop.loop import Learner
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.data import Given, Left, batch, encode_rows, load_rows
from labkit.training.rows.offline import Offline, refuse_empty
from labkit.training.rows.supervised import Supervised, trained

COLUMNS = ("prompt", "chosen", "rejected")
BINS = 10
SHOWN = ("accuracy", "margin", "reward_chosen", "reward_rejected")


def prepare_reward_model(recipe: Recipe, policy: Policy, given: Given = None, run: Path | None = None) -> Offline:
    """Everything that the training of a reward model needs; the model itself is `learner.parts["reward_head"]` on the
    policy. A column `margin` (a number a row) or the option `margin` (the same for all) asks for a distance.

    Raises UserError for rows that can't be used.
    """
    settings, options, left = recipe.data, recipe.algorithm_options, Left()
    data = load_rows("comparisons", COLUMNS, settings, given, run)
    rows, pairs = encode_rows(policy, data.train, COLUMNS[1:], settings.max_length, left)
    _, test = encode_rows(policy, data.test, COLUMNS[1:], settings.max_length, Left())
    refuse_empty(rows, data.source, left)
    margins = [_margin(row, options.get("margin", 0.0), i) for i, row in enumerate(rows, 1)]
    model = RewardModel(policy)

    def loss_of(part: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, rejected = pair_rewards(model, [pairs[i] for i in part])
        margin = torch.tensor([margins[i] for i in part], device=chosen.device)
        loss, stats = bradley_terry_loss(chosen, rejected, margin, centering=options.get("centering", 0.0))
        return loss, {key: stats[key] for key in SHOWN}

    update = Supervised(recipe, trained(policy.model, model.head), loss_of, len)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        chosen = batch(len(pairs), settings.batch, recipe.seed, number)
        lengths, tokens = pair_lengths(pairs, chosen), sum(len(one) for i in chosen for one in pairs[i])
        return update.step(number, lengths, partial(pair_parts, pairs, chosen), tokens), []

    parts = {"reward_head": model.head, "budget": update.budget}
    return Offline(
        learner=Learner(policy, update.optimizer, step, parts, {"loss": "loss", "accuracy": "accuracy"}),
        dataset=data,
        left=left,
        rows=len(pairs),
        measure=lambda: measure(model, test, update.budget),
    )


def pair_parts(pairs: list[tuple[Encoded, ...]], chosen: list[int], budget: int) -> list[list[int]]:
    """Row numbers cut so that both replies of every pair fit into the budget of tokens."""
    return [[chosen[i] for i in part.tolist()] for part in microbatches(pair_lengths(pairs, chosen), budget)]


def pair_lengths(pairs: list[tuple[Encoded, ...]], chosen: list[int]) -> Tensor:
    """Tokens of each pair, padding included."""
    return torch.tensor([2 * max(len(one) for one in pairs[i]) for i in chosen])


def pair_rewards(model: RewardModel, pairs: list[tuple[Encoded, ...]]) -> tuple[Tensor, Tensor]:
    """Rewards of the chosen and of the rejected replies, [pairs] each, from one pass."""
    rows = [pair[side].ids for side in (0, 1) for pair in pairs]
    tokens, lengths = pad(rows, model.policy.pad_id, model.policy.device)
    chosen, rejected = model.rewards(tokens, lengths).chunk(2)
    return chosen, rejected


@torch.no_grad()
def measure(model: RewardModel, pairs: list[tuple[Encoded, ...]], budget: Budget) -> dict[str, Any] | None:
    """Held-out accuracy (a tie counts one half), loss, mean margin and calibration; None without pairs."""
    if not pairs:
        return None
    margins, everything = torch.zeros(len(pairs)), list(range(len(pairs)))

    def work(tokens: int) -> None:
        for part in pair_parts(pairs, everything, tokens):
            chosen, rejected = pair_rewards(model, [pairs[i] for i in part])
            margins[part] = (chosen - rejected).float().cpu()

    budget.fit(work, pair_lengths(pairs, everything))
    hits = float(((1 + margins.sign()) / 2).sum())
    return {
        "rows": len(pairs),
        "accuracy": hits / len(pairs),
        "interval": list(wilson_interval(hits, len(pairs))),
        "loss": float(torch.nn.functional.softplus(-margins).mean()),
        "margin": float(margins.mean()),
        "calibration": calibration(margins),
    }


def calibration(margins: Tensor, bins: int = BINS) -> list[dict[str, float]]:
    """Predicted against observed chance that the preferred reply is the one to which the model gives more.

    Each pair says p = sigmoid(|margin|), from one half up, and whether it turned out that way; a margin of 0 is half
    right. One entry per bin of p with at least one pair; the bins are equally wide. `predicted`: the mean of p,
    `observed`: the share that turned out so, `count`: pairs.

    >>> calibration(torch.tensor([2.0, 2.0, 2.0, -2.0]))
    [{'predicted': 0.8808, 'observed': 0.75, 'count': 4}]
    """
    rows = calibration_bins(*pair_confidence(margins.numpy()), np.linspace(0.5, 1, bins + 1))
    return [
        {"predicted": round(row["predicted"], 4), "observed": round(row["observed"], 4), "count": row["count"]}
        for row in rows
    ]


def _margin(row: dict[str, Any], default: float, number: int) -> float:
    margin = row.get("margin", default)
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < float("inf"):
        raise UserError(f"row {number}: 'margin' must be a number from 0 up, not {margin!r}")
    return float(margin)
