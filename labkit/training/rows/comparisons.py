"""Reward models from comparisons: -log sigmoid(r(chosen) - r(rejected)), after Bradley and Terry (1952).

The reward is read at each reply's last token, its eos. Held-out pairs give the accuracy with its interval, and the
calibration: of the pairs to which the model gives the chance p, does a share of p turn out that way?
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.algorithms import bradley_terry_loss
from labkit.evaluation.calibration import calibration_bins, pair_confidence
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded, Policy, RewardModel, pad
from labkit.recipes.schema import Recipe
from labkit.training.rows.data import MARGIN, Columns, Row
from labkit.training.rows.trainer import Example, RowTrainer, Stats

BINS = 10
STATISTICS = ("accuracy", "margin", "reward_chosen", "reward_rejected")
Pairs = list[Example[float]]


class BradleyTerry(RowTrainer[float]):
    """Learns from pairs of replies. A column `margin` (one number per row), or the option `margin` (the same number for
    all rows), is the least difference of rewards that is asked for."""

    columns = Columns("comparisons", ("chosen", "rejected"), MARGIN)
    shown = ("loss", "accuracy")
    watched = ("loss", "accuracy", "margin")

    def __init__(self, recipe: Recipe, policy: Policy, reference: Policy | None = None) -> None:
        super().__init__(recipe, policy, reference)
        self.model = RewardModel(policy)

    @property
    def heads(self) -> Mapping[str, nn.Module]:
        """The scalar head, in the file in which `load_reward_model` looks for it."""
        return {"reward_head": self.model.head}

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> float:
        """The margin that the row asks for."""
        return float(row.get("margin", self.recipe.algorithm_options.get("margin", 0.0)))

    def loss(self, part: Pairs) -> tuple[Float[Tensor, ""], Stats]:
        """The mean loss of the pairs, and statistics of their rewards."""
        chosen, rejected = self._rewards(part)
        margin = torch.tensor([pair.target for pair in part], device=chosen.device)
        centering = self.recipe.algorithm_options.get("centering", 0.0)
        loss, stats = bradley_terry_loss(chosen, rejected, margin, centering=centering)
        return loss, {key: stats[key] for key in STATISTICS}

    def evaluate(self, examples: Pairs) -> dict[str, Any]:
        """Accuracy (a tie counts one half), loss without margin, mean difference of rewards, and calibration."""
        margins = torch.zeros(len(examples))

        def differences(part: Pairs) -> Float[Tensor, " pairs"]:
            chosen, rejected = self._rewards(part)
            return (chosen - rejected).float().cpu()

        for numbers, difference in self.in_parts(examples, differences):
            margins[numbers] = difference
        hits = float(((1 + margins.sign()) / 2).sum())
        return {
            "rows": len(examples),
            "accuracy": hits / len(examples),
            "interval": list(wilson_interval(hits, len(examples))),
            "loss": float(torch.nn.functional.softplus(-margins).mean()),
            "margin": float(margins.mean()),
            "calibration": calibration(margins),
        }

    def _rewards(self, part: Pairs) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
        """Rewards of the chosen and of the rejected replies, from one forward pass over both."""
        rows = [pair.replies[side].ids for side in (0, 1) for pair in part]
        tokens, lengths = pad(rows, self.policy.pad_id, self.policy.device)
        chosen, rejected = self.model.rewards(tokens, lengths).chunk(2)
        return chosen, rejected


def calibration(margins: Float[Tensor, " pairs"], bins: int = BINS) -> list[dict[str, float]]:
    """Predicted against observed chance that the preferred reply is the one to which the model gives more.

    For each pair the model says p = sigmoid(|margin|), from one half up, and is right or wrong; a tie counts one half.
    One entry per bin of p that has a pair in it: `predicted` (mean p), `observed` (share that was right), `count`.

    >>> calibration(torch.tensor([2.0, 2.0, 2.0, -2.0]))
    [{'predicted': 0.8808, 'observed': 0.75, 'count': 4}]
    """
    rows = calibration_bins(*pair_confidence(margins.numpy()), np.linspace(0.5, 1, bins + 1))
    return [
        {"predicted": round(row["predicted"], 4), "observed": round(row["observed"], 4), "count": row["count"]}
        for row in rows
    ]
