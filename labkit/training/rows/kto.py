"""KTO: learning from single replies that were marked good or bad (Ethayarajh et al. 2024).

The loss compares each reply's log-ratio to the reference with a reference point, the same for a whole batch: the mean
log-ratio of MISMATCHED rows, each prompt of the batch with the reply of the next one.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.algorithms import kto_loss, kto_reference_point
from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded, Policy
from labkit.recipes.schema import Recipe
from labkit.training.rows.data import LABEL, Columns, Row
from labkit.training.rows.reference import keep_reference_logprobs, logprobs_of, reference_logprobs, reply_logprobs
from labkit.training.rows.trainer import Example, RowTrainer, Stats

STATISTICS = (
    "accuracy",
    "margin",
    "reward_desirable",
    "reward_undesirable",
    "reference_point",
    "logprob_chosen",
    "logprob_rejected",
)
Replies = list[Example[bool]]


class KTO(RowTrainer[bool]):
    """Learns from replies with a `label`. The reference is kept at hand for the whole run: every batch has mismatched
    rows of its own, whose log-probs it is asked for."""

    columns = Columns("feedback", ("completion",), LABEL)
    shown = ("loss", "accuracy", "margin")
    watched = ("accuracy", "margin", "loss")

    def __init__(self, recipe: Recipe, policy: Policy, reference: Policy | None = None) -> None:
        super().__init__(recipe, policy, reference)
        if reference is None:
            reference = Policy(copy.deepcopy(policy.model).requires_grad_(False), policy.tokenizer, "frozen")
        self.frozen = reference
        self.reference_point: Float[Tensor, ""] = torch.zeros((), device=policy.device)
        self.good_share = 0.5

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> bool:
        """Whether the reply was marked good."""
        return bool(row["label"])

    def check(self, examples: Sequence[Example[bool]], source: str) -> None:
        """Raises UserError where all replies have the same mark."""
        marks = {example.target for example in examples}
        if len(marks) == 1:
            raise UserError(
                f"all {len(examples)} rows of {source} have the label {marks.pop()}: KTO learns from the difference of "
                "good and bad answers and needs both"
            )

    def prepare(self, folder: Path, splits: Mapping[str, Replies]) -> None:
        """The log-probs of all replies under the reference."""
        keep_reference_logprobs(self.frozen, splits, self.budget, folder)

    @torch.no_grad()
    def begin_batch(self, batch: Replies) -> None:
        """The batch's reference point, in nats, and its share of replies marked good."""
        self.good_share = sum(example.target for example in batch) / len(batch)
        replies = [example.replies[0] for example in batch]
        rows = [mismatched(one, other) for one, other in zip(replies, [*replies[1:], replies[0]], strict=True)]
        rows = [row for row in rows if len(row) <= self.policy.context_length]
        if rows:
            ours, theirs = (logprobs_of(model, rows, self.budget) for model in (self.policy, self.frozen))
            self.reference_point = kto_reference_point(ours, theirs)
        else:
            self.reference_point = torch.zeros((), device=self.policy.device)

    def loss(self, part: Replies) -> tuple[Float[Tensor, ""], Stats]:
        """The mean loss of the replies, and statistics of their implicit rewards."""
        logprobs, _ = reply_logprobs(self.policy, [example.replies[0] for example in part])
        return self._loss(part, logprobs)

    def evaluate(self, examples: Replies) -> dict[str, Any] | None:
        """The loss of all held-out replies as one batch, its statistics, and the accuracy's interval; None for fewer
        than two replies, which give no mismatched rows."""
        if len(examples) < 2:
            return None
        logprobs = logprobs_of(self.policy, [example.replies[0] for example in examples], self.budget)
        self.begin_batch(examples)
        loss, stats = self._loss(examples, logprobs)
        hits = min(round(2 * float(stats["accuracy"]) * len(examples)) / 2, len(examples))
        return {
            "rows": len(examples),
            **{key: float(value) for key, value in stats.items()},
            "interval": list(wilson_interval(hits, len(examples))),
            "loss": float(loss),
        }

    def _loss(self, part: Replies, logprobs: Float[Tensor, " rows"]) -> tuple[Float[Tensor, ""], Stats]:
        (reference,) = reference_logprobs(part, self.policy.device)
        desirable = torch.tensor([example.target for example in part], device=self.policy.device)
        loss, stats = kto_loss(logprobs, reference, desirable, self.reference_point, **self.recipe.algorithm_options)
        # A part's share of a mean over the batch's good (bad) replies: parts count by their rows. NaN without any.
        with torch.no_grad():
            good, bad = (torch.where(side, logprobs, 0.0).mean() for side in (desirable, ~desirable))
            stats["logprob_chosen"] = (
                good / self.good_share if self.good_share > 0 else torch.full_like(good, torch.nan)
            )
            stats["logprob_rejected"] = (
                bad / (1 - self.good_share) if self.good_share < 1 else torch.full_like(bad, torch.nan)
            )
        return loss, {key: stats[key] for key in STATISTICS}

    @classmethod
    def memory(cls, recipe: Recipe, weights: int) -> int:
        """The reference, which the caller has named or which is a copy of the policy."""
        return weights


def mismatched(prompt_of: Encoded, reply_of: Encoded) -> Encoded:
    """One row's prompt with another row's reply."""
    shift = prompt_of.start - reply_of.start
    turns = tuple((begin + shift, end + shift) for begin, end in reply_of.turns)
    return Encoded(prompt_of.ids[: prompt_of.start] + reply_of.ids[reply_of.start :], prompt_of.start, turns=turns)
