"""The contract of every trainer that learns from rows of data: `RowTrainer`.

A trainer says what is its own: which columns it reads, what it makes of a row, its loss, and what it measures on
held-out rows. `labkit.training.rows.learner` does the rest, the same for all: data, batches, micro-batches, the
optimiser, memory, checkpoints. A new trainer is a subclass in a file of its own and a line in
`labkit.recipes.trainers.ALGORITHMS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models import Encoded, Policy
from labkit.progress import each
from labkit.recipes.schema import Recipe
from labkit.training.loop.measure import check_finite
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.data import Columns, Dataset, Given, LeftOut, Row, encode_rows, load_rows

Target = TypeVar("Target")
Result = TypeVar("Result")
Stats = dict[str, Tensor]


@dataclass
class Example(Generic[Target]):
    """A row, cut into tokens: its replies, each behind its prompt, which go through the model in one micro-batch.

    `target`: what the row says of its replies (a label, a margin, the marks of the steps), None where it says nothing.
    `reference`: the log-prob in nats of each whole reply under the frozen model, once it is computed.
    """

    replies: tuple[Encoded, ...]
    target: Target
    reference: tuple[float, ...] = ()

    @property
    def tokens(self) -> int:
        """The tokens of all replies, prompts included."""
        return sum(len(reply) for reply in self.replies)

    @property
    def room(self) -> int:
        """The tokens that the replies take in a micro-batch, each padded to the longest of them."""
        return len(self.replies) * max(len(reply) for reply in self.replies)


class RowTrainer(ABC, Generic[Target]):
    """One way to learn from rows. The methods that are not abstract have a default that suits most trainers.

    `columns`: what a row holds. `shown`: metrics on the progress bar. `watched`: the three metrics that a dashboard
    draws. `policy` is trained in place; `reference` is the frozen model that the caller named, if any.
    """

    columns: ClassVar[Columns]
    shown: ClassVar[tuple[str, ...]] = ("loss",)
    watched: ClassVar[tuple[str, str, str]] = ("loss", "grad_norm", "lr")

    def __init__(self, recipe: Recipe, policy: Policy, reference: Policy | None = None) -> None:
        self.recipe, self.policy, self.reference = recipe, policy, reference
        self.budget = Budget(recipe.optimizer.microbatch_tokens, policy.device)

    # ------------------------------------------------------------------------------------------- what it reads

    def load(self, given: Given, run: Path | None) -> Dataset:
        """The rows: those that were `given`, those kept in the folder of a resumed `run`, or the recipe's source."""
        return load_rows(self.columns, self.recipe.data, given, run)

    def encode(self, rows: list[Row], left_out: LeftOut) -> list[Example[Target]]:
        """The rows in tokens; those that can't be used are counted in `left_out`. Raises UserError for a wrong row."""
        usable, encoded = encode_rows(self.policy, rows, self.columns.replies, self.recipe.data.max_length, left_out)
        pairs = zip(usable, encoded, strict=True)
        return [Example(replies, self.target(row, replies)) for row, replies in pairs]

    @abstractmethod
    def target(self, row: Row, replies: tuple[Encoded, ...]) -> Target:
        """What the row says of its replies."""

    def check(self, examples: Sequence[Example[Target]], source: str) -> None:
        """Raises UserError where these training examples together can't be learned from."""

    # ------------------------------------------------------------------------------------------ what it learns

    @property
    def heads(self) -> Mapping[str, nn.Module]:
        """Modules that learn along with the policy and are saved next to it, by the name of their file."""
        return {}

    def prepare(self, folder: Path, splits: Mapping[str, list[Example[Target]]]) -> None:
        """What must be done before the first step and before the first measurement. `folder`: the run folder, in which
        results may be kept for a resumed run. Called again when a run is resumed."""

    def begin_batch(self, batch: list[Example[Target]]) -> None:
        """What must be known of a whole batch before the loss of its parts can be computed. No gradient flows here."""

    def cut(self, batch: list[Example[Target]], tokens: int) -> list[list[Example[Target]]]:
        """The batch in parts, each of at most about so many tokens, padding included."""
        return [[batch[i] for i in numbers] for numbers in cut_numbers(batch, tokens)]

    @abstractmethod
    def loss(self, part: list[Example[Target]]) -> tuple[Float[Tensor, ""], Stats]:
        """The mean loss of a part of a batch, with gradient, and statistics to log, which are means as well."""

    def weight(self, part: list[Example[Target]]) -> float:
        """How much the part's means count in the means of the batch: its rows, or its tokens, or its marks."""
        return len(part)

    def metrics(self, batch: list[Example[Target]]) -> dict[str, float]:
        """Further numbers to log of a batch."""
        return {}

    # ----------------------------------------------------------------------------------------- what it measures

    @abstractmethod
    def evaluate(self, examples: list[Example[Target]]) -> dict[str, Any] | None:
        """What held-out examples (at least one) say of the model as it is; None where they are too few. Called
        without gradient, before training and after it."""

    def in_parts(
        self, examples: list[Example[Target]], work: Callable[[list[Example[Target]]], Result]
    ) -> list[tuple[list[int], Result]]:
        """`work` on all examples, micro-batch by micro-batch: the numbers of each part's examples, and its result.

        Raises NotFiniteError where a result is NaN or infinite.
        """

        def everything(tokens: int) -> list[tuple[list[int], Result]]:
            parts = each(cut_numbers(examples, tokens), f"reading {len(examples)} rows")
            return [(numbers, work([examples[i] for i in numbers])) for numbers in parts]

        results = self.budget.fit(everything, torch.tensor([example.room for example in examples]))
        check_finite([result for _, result in results], "what the model says of held-out rows")
        return results

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of the run's result should know about how the rows were used."""
        return {}

    @classmethod
    def memory(cls, recipe: Recipe, weights: int) -> int:
        """Bytes of the models that lie next to the policy, whose weights take `weights` bytes: a reference."""
        return weights if recipe.reference is not None else 0


def cut_numbers(examples: Sequence[Example[Any]], tokens: int) -> list[list[int]]:
    """The numbers of the examples, cut so that each part has at most about so many tokens, padding included."""
    rooms = torch.tensor([example.room for example in examples])
    return [part.tolist() for part in microbatches(rooms, tokens)]
