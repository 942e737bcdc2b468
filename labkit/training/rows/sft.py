"""Supervised fine-tuning: the policy learns to continue each prompt as a demonstration does.

The loss is the mean negative log-prob (nats a token) of the replies' tokens, their eos included; the prompt is read,
not learnt. Every token of a batch weighs the same. Documents are packed into rows where the architecture keeps them
apart (`packing`), else batched by length: the loss is the same.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.models import Encoded, Policy, pad, token_logprobs
from labkit.recipes.schema import Recipe
from labkit.training.loop.loop import Learner
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.data import Given, Left, batch, encode_rows, load_rows
from labkit.training.rows.offline import Offline, refuse_empty
from labkit.training.rows.packing import pack, packed_rows, packing_is_exact
from labkit.training.rows.supervised import Supervised

COLUMNS = ("prompt", "completion")
Packed = tuple[Tensor, Tensor, Tensor | None]  # tokens, mask, positions

# Packed rows are at least this long: enough documents to fill them, attention still short.
ROW = 256


def prepare_sft(recipe: Recipe, policy: Policy, given: Given = None, run: Path | None = None) -> Offline:
    """Everything that a run of SFT needs: the data, cut into tokens, and the learner.

    Raises UserError for rows that can't be used.
    """
    settings, left = recipe.data, Left()
    data = load_rows("demonstrations", COLUMNS, settings, given, run)
    rows, encoded = encode_rows(policy, data.train, ("completion",), settings.max_length, left)
    _, held_out = encode_rows(policy, data.test, ("completion",), settings.max_length, Left())
    refuse_empty(rows, data.source, left)
    documents, test = [one for (one,) in encoded], [one for (one,) in held_out]
    packing = settings.packing and packing_is_exact(policy)

    def loss_of(part: Packed) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, mask, positions = part
        logprobs = token_logprobs(policy.model, tokens, positions=positions)
        return -torch.where(mask, logprobs, 0.0).sum() / mask.sum(), {}

    def weigh(part: Packed) -> float:
        return float(part[1].sum())

    update = Supervised(recipe, policy.model, loss_of, weigh)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        chosen = [documents[i] for i in batch(len(documents), settings.batch, recipe.seed, number)]
        lengths = torch.tensor([len(document) for document in chosen])
        metrics = update.step(number, lengths, lambda budget: cut(chosen, policy, budget, packing), int(lengths.sum()))
        return metrics | {"trained_tokens": sum(len(one) - max(one.start, 1) for one in chosen)}, []

    return Offline(
        learner=Learner(policy, update.optimizer, step, {"budget": update.budget}, {"loss": "loss"}),
        dataset=data,
        left=left,
        rows=len(documents),
        measure=lambda: measure(policy, test, update.budget),
        facts={"packed": packing},
    )


def cut(documents: list[Encoded], policy: Policy, budget: int, packing: bool) -> list[Packed]:
    """Documents as micro-batches of at most about `budget` tokens, packed or of like lengths."""
    lengths = [len(document) for document in documents]
    found: list[Packed] = []
    if packing:
        rows = pack(lengths, max(min(ROW, budget), *lengths))
        filled = torch.tensor([sum(lengths[d] for d in row) for row in rows])
        for part in microbatches(filled, budget):
            members = [[documents[d] for d in rows[r]] for r in part.tolist()]
            found.append(packed_rows(members, policy.pad_id, policy.device))
        return found
    for part in microbatches(torch.tensor(lengths), budget):
        members = [documents[d] for d in part.tolist()]
        tokens, _ = pad([document.ids for document in members], policy.pad_id, policy.device)
        found.append((tokens, reply_mask(members, tokens), None))
    return found


def reply_mask(documents: list[Encoded], tokens: Tensor) -> Tensor:
    """True on the replies' tokens of right-padded rows, [batch, time]; never on a row's first token."""
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    starts = torch.tensor([max(document.start, 1) for document in documents], device=tokens.device)
    ends = torch.tensor([len(document) for document in documents], device=tokens.device)
    return (columns >= starts[:, None]) & (columns < ends[:, None])


@torch.no_grad()
def measure(policy: Policy, documents: list[Encoded], budget: Budget) -> dict[str, Any] | None:
    """Loss (nats a token) and perplexity of held-out replies; None without any."""
    if not documents:
        return None

    def mean_loss(tokens_at_once: int) -> float:
        total, count = 0.0, 0
        for tokens, mask, _ in cut(documents, policy, tokens_at_once, packing=False):
            total -= float(token_logprobs(policy.model, tokens)[mask].sum())
            count += int(mask.sum())
        return total / count

    loss = torch.tensor(budget.fit(mean_loss, torch.tensor([len(document) for document in documents])))
    return {"rows": len(documents), "loss": float(loss), "perplexity": float(loss.exp())}
