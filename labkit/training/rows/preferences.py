"""Learning from comparisons without a reward model: DPO, IPO, SimPO, ORPO and their kin (KTO: see `kto`).

Log-probs are sums over the reply's tokens, eos included, prompt left out. The reference's are computed once, before
the first step, and kept in the run folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor

from labkit.algorithms import PreferenceKind, preference_loss
from labkit.algorithms.preference import REFERENCE_FREE
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded
from labkit.training.rows.data import Columns, Row
from labkit.training.rows.reference import keep_reference_logprobs, reference_logprobs, reply_logprobs
from labkit.training.rows.trainer import Example, RowTrainer, Stats

Pairs = list[Example[None]]


class Preferences(RowTrainer[None]):
    """Learns from pairs of replies with `preference_loss`; the recipe's algorithm is its kind."""

    columns = Columns("comparisons", ("chosen", "rejected"))
    shown = ("loss", "accuracy", "margin")
    watched = ("accuracy", "margin", "loss")

    @property
    def kind(self) -> PreferenceKind:
        """The loss."""
        return cast(PreferenceKind, self.recipe.algorithm)  # the recipe was checked

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> None:
        """Which reply is preferred, the columns say."""

    def prepare(self, folder: Path, splits: Mapping[str, Pairs]) -> None:
        """The log-probs of all replies under the reference: the caller's, or the policy before its first step."""
        if self.kind not in REFERENCE_FREE:
            keep_reference_logprobs(self.reference or self.policy, splits, self.budget, folder)

    def loss(self, part: Pairs) -> tuple[Float[Tensor, ""], Stats]:
        """The mean loss of the pairs, and statistics of their implicit rewards."""
        # One forward pass over both sides: first all chosen replies, then all rejected ones.
        logprobs, lengths = reply_logprobs(self.policy, [pair.replies[side] for side in (0, 1) for pair in part])
        chosen, rejected = logprobs.chunk(2)
        free = self.kind in REFERENCE_FREE
        ref_chosen, ref_rejected = (None, None) if free else reference_logprobs(part, self.policy.device)
        loss, stats = preference_loss(
            chosen,
            rejected,
            ref_chosen,
            ref_rejected,
            kind=self.kind,
            chosen_lengths=lengths[: len(part)],
            rejected_lengths=lengths[len(part) :],
            **self.recipe.algorithm_options,
        )
        return loss, {key: value for key, value in stats.items() if key != "pairs"}

    def evaluate(self, examples: Pairs) -> dict[str, Any]:
        """Means of the loss and of its statistics, and the accuracy's interval."""
        parts = [(len(numbers), *result) for numbers, result in self.in_parts(examples, self.loss)]
        means = {key: sum(n * float(s[key]) for n, _, s in parts) / len(examples) for key in parts[0][2]}
        hits = min(round(2 * means["accuracy"] * len(examples)) / 2, len(examples))  # whole and half pairs again
        loss = sum(n * float(x) for n, x, _ in parts) / len(examples)
        return {"rows": len(examples), **means, "interval": list(wilson_interval(hits, len(examples))), "loss": loss}
