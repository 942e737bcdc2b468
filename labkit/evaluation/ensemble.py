"""Several reward models as one, which is careful where they disagree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.errors import UserError
from labkit.evaluation.selection import ScoresAnswers


@dataclass
class Ensemble:
    """The mean of the members' standardised scores, minus `coef` times their variance (Coste et al. 2024, UWO).

    A reward model has no zero and no unit, so the scores of each member are put on one scale first: that of its scores
    of the replies in `rows`, comparisons {"prompt", "chosen", "rejected"}. The scale is fixed, or rewards would mean
    something else at each step of a training run. Raises UserError for fewer than two members, and for a member that
    gives all replies one score.
    """

    members: Sequence[ScoresAnswers]
    rows: Sequence[Mapping[str, str]]
    coef: float = 1.0

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise UserError("an ensemble has at least two reward models")
        prompts = [row["prompt"] for row in self.rows for _ in range(2)]
        known = self._raw(prompts, [row[side] for row in self.rows for side in ("chosen", "rejected")])
        self.middle, self.spread = known.mean(1, keepdim=True), known.std(1, keepdim=True, correction=0)
        if not (self.spread > 0).all():
            raise UserError("a member of the ensemble gives all replies one score: train it first")

    def standardised(self, prompts: list[str], completions: list[str]) -> Float[Tensor, "members batch"]:
        """Each member's scores, in its standard deviations above its mean over `rows`."""
        return (self._raw(prompts, completions) - self.middle) / self.spread

    def score(self, prompts: list[str], completions: list[str]) -> Float[Tensor, " batch"]:
        """The careful reward of each completion."""
        scores = self.standardised(prompts, completions)
        return scores.mean(0) - self.coef * scores.var(0, correction=0)

    def _raw(self, prompts: list[str], completions: list[str]) -> Float[Tensor, "members batch"]:
        return torch.stack([torch.as_tensor(member.score(prompts, completions)) for member in self.members]).double()
