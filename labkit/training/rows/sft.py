"""Supervised fine-tuning: the policy learns to continue each prompt as a demonstration does.

The loss is the mean negative log-prob (nats per token) of the replies' tokens, their eos included; the prompt is read,
not learnt. Every token of a batch weighs the same. Documents are packed into rows where the architecture keeps them
apart (`packing`), else batched by length: the loss is the same.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.models import Encoded, Policy, token_logprobs
from labkit.recipes.schema import Recipe
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.data import Columns, Row
from labkit.training.rows.packing import pack, packed_rows, packing_is_exact
from labkit.training.rows.trainer import Example, RowTrainer, Stats

Documents = list[Example[None]]

# Packed rows are at least this long: enough documents to fill them, attention still short.
ROW = 256


class SFT(RowTrainer[None]):
    """Learns from demonstrations. A part of a batch is a list of rows; a packed row has several replies."""

    columns = Columns("demonstrations", ("completion",))

    def __init__(self, recipe: Recipe, policy: Policy, reference: Policy | None = None) -> None:
        super().__init__(recipe, policy, reference)
        self.packing = recipe.data.packing and packing_is_exact(policy)

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> None:
        """A demonstration is right as it is."""

    def cut(self, batch: Documents, tokens: int) -> list[Documents]:
        """Packed rows, in parts of at most about so many tokens; without packing, documents of like lengths."""
        if not self.packing:
            return super().cut(batch, tokens)
        lengths = [document.tokens for document in batch]
        members = pack(lengths, max(min(ROW, tokens), *lengths))
        rows = [Example(tuple(batch[i].replies[0] for i in row), None) for row in members]
        filled = torch.tensor([row.tokens for row in rows])
        return [[rows[r] for r in part.tolist()] for part in microbatches(filled, tokens)]

    def loss(self, part: Documents) -> tuple[Float[Tensor, ""], Stats]:
        """Mean negative log-prob of the replies' tokens, nats per token."""
        logprobs, mask = self._logprobs(part, self.packing)
        return -torch.where(mask, logprobs, 0.0).sum() / mask.sum(), {}

    def weight(self, part: Documents) -> float:
        """The number of tokens that count in the loss."""
        return sum(taught_tokens(row) for row in part)

    def metrics(self, batch: Documents) -> dict[str, float]:
        """The number of tokens that the batch was trained on."""
        return {"trained_tokens": sum(taught_tokens(document) for document in batch)}

    def evaluate(self, examples: Documents) -> dict[str, Any]:
        """Loss (nats per token) and perplexity of held-out replies."""

        def sums(part: Documents) -> tuple[float, int]:
            logprobs, mask = self._logprobs(part, packed=False)
            return float(logprobs[mask].sum()), int(mask.sum())

        parts = [result for _, result in self.in_parts(examples, sums)]
        loss = torch.tensor(-sum(total for total, _ in parts) / sum(count for _, count in parts))
        return {"rows": len(examples), "loss": float(loss), "perplexity": float(loss.exp())}

    @property
    def facts(self) -> dict[str, Any]:
        """Whether documents were packed."""
        return {"packed": self.packing}

    def _logprobs(self, part: Documents, packed: bool) -> tuple[Float[Tensor, "rows time"], Bool[Tensor, "rows time"]]:
        """Log-probs (nats) of the tokens of a part's rows, and the mask of those that count in the loss."""
        rows = [row.replies for row in part]
        tokens, mask, positions = packed_rows(rows, self.policy.pad_id, self.policy.device)
        # Column t of both is about the token at column t; `token_logprobs` has shifted the logits [rows, time, vocab]:
        # those at column t - 1 predict the token at column t.
        return token_logprobs(self.policy.model, tokens, positions=positions if packed else None), mask


def taught_tokens(row: Example[None]) -> int:
    """The tokens of a row that count in the loss: those of its replies, but never the first of a document, since no
    token of its own document stands before it."""
    return sum(end - begin for document in row.replies for begin, end in document.taught)
