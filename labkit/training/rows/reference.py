"""Log-probs of whole replies, under the policy and under the frozen reference of the preference losses.

The reference's are computed once, before the first step, and kept in the run folder.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from labkit.models import Encoded, Policy, pad, token_logprobs
from labkit.progress import each
from labkit.training.loop.measure import check_finite
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.trainer import Example

CACHE = "reference_logprobs.safetensors"


def reply_mask(rows: Sequence[Encoded], tokens: Int[Tensor, "rows time"]) -> Bool[Tensor, "rows time"]:
    """True on the replies' tokens of right-padded rows (of several turns: the assistant's), eos included; never on a
    row's first token, which nothing predicts."""
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, encoded in enumerate(rows):
        for begin, end in encoded.taught:
            mask[row, begin:end] = True
    return mask.to(tokens.device)


def reply_logprobs(policy: Policy, rows: list[Encoded]) -> tuple[Float[Tensor, " rows"], Int[Tensor, " rows"]]:
    """Log-prob (nats) of each row's reply, summed over its tokens, and the number of these. Differentiable."""
    tokens, _ = pad([row.ids for row in rows], policy.pad_id, policy.device)  # [rows, time]
    mask = reply_mask(rows, tokens)
    # Column t of the log-probs [rows, time] is about the token at column t, as the mask is: no shift is left to do.
    return torch.where(mask, token_logprobs(policy.model, tokens), 0.0).sum(1), mask.sum(1)


@torch.no_grad()
def logprobs_of(policy: Policy, rows: list[Encoded], budget: Budget) -> Float[Tensor, " rows"]:
    """`reply_logprobs` of many rows, in micro-batches, without gradient. Raises NotFiniteError for NaN."""
    lengths = torch.tensor([len(row) for row in rows])

    def compute(tokens: int) -> Tensor:
        logprobs = torch.zeros(len(rows), device=policy.device)
        for part in each(microbatches(lengths, tokens), f"log-probs of {len(rows)} replies"):
            logprobs[part.to(policy.device)] = reply_logprobs(policy, [rows[i] for i in part.tolist()])[0]
        return logprobs

    logprobs = budget.fit(compute, lengths)
    check_finite(logprobs, f"the log-prob of a reply under model {policy.name!r}")
    return logprobs


def keep_reference_logprobs(
    policy: Policy, splits: Mapping[str, list[Example[Any]]], budget: Budget, folder: Path
) -> None:
    """Fills in `reference` of every example: the log-probs of its replies under the frozen model `policy`.

    They are read from the run folder where an earlier part of the run has kept them there for the same rows; else they
    are computed and kept.
    """
    file, rows = folder / CACHE, _fingerprint(splits)
    table = _read(file, rows)
    if table is None:
        table = {split: _table(policy, examples, budget) for split, examples in splits.items()}
        aside = file.with_name(f".{file.name}.part")
        save_file({**{split: logprobs.cpu() for split, logprobs in table.items()}, "rows": rows}, aside)
        aside.replace(file)
    for split, examples in splits.items():
        for example, logprobs in zip(examples, table[split].T.tolist(), strict=True):
            example.reference = tuple(logprobs)


def reference_logprobs(part: list[Example[Any]], device: torch.device) -> Float[Tensor, "replies rows"]:
    """The kept log-probs (nats) of a part's replies: for pairs one line for the chosen and one for the rejected."""
    return torch.tensor([example.reference for example in part], device=device).T


def _table(policy: Policy, examples: list[Example[Any]], budget: Budget) -> Float[Tensor, "replies rows"]:
    sides = [logprobs_of(policy, list(side), budget) for side in zip(*(e.replies for e in examples), strict=True)]
    return torch.stack(sides) if sides else torch.zeros(0, 0)


def _read(file: Path, rows: Tensor) -> dict[str, Tensor] | None:
    """The log-probs that a file keeps of these rows; None where there are none, or of other rows."""
    if not file.exists():
        return None
    try:
        table = load_file(file)
    except SafetensorError:  # a run that was killed left half of the file
        return None
    return table if table.pop("rows", torch.zeros(0)).tolist() == rows.tolist() else None


def _fingerprint(splits: Mapping[str, list[Example[Any]]]) -> Tensor:
    """A hash of all rows' tokens, as numbers from 0 to 255."""
    text = repr([(split, [[one.ids for one in e.replies] for e in examples]) for split, examples in splits.items()])
    return torch.tensor(list(hashlib.blake2b(text.encode(), digest_size=16).digest()), dtype=torch.uint8)
