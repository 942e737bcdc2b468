"""Cuts a batch of rows of different lengths into micro-batches of about the same amount of work."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

# In tokens. A CPU is fastest if the activations of a micro-batch fit into its cache; a GPU, if all its units are busy.
DEFAULT_BUDGET = {"cpu": 2048, "cuda": 16384}
PADDING = 0.15  # the largest share of a row that should be padding


def token_budget(asked: int | None, device: torch.device) -> int:
    """The micro-batch budget in tokens: what the recipe asks for, or the device's default."""
    return asked or DEFAULT_BUDGET.get(device.type, 8192)


def microbatches(lengths: Int[Tensor, " rows"], budget: int) -> list[Int[Tensor, " part"]]:
    """The row numbers in parts. In each part, rows x longest row is at most `budget` tokens; a longer row stays alone.

    Rows of about the same length share a part, so that little time is spent on padding. If more than `PADDING` of a row
    would be padding, and the present part is already a quarter full, the row begins a new part. The longest rows come
    first, so that a batch that does not fit into memory fails at once.

    >>> [part.tolist() for part in microbatches(torch.tensor([5, 100, 6, 50]), 120)]
    [[1], [3], [2, 0]]
    """
    parts: list[list[int]] = []
    longest = 0
    sizes = lengths.tolist()
    for row in lengths.argsort(descending=True, stable=True).tolist():
        filled = len(parts[-1]) * longest if parts else 0
        full = not parts or filled + longest > budget
        if full or (sizes[row] < (1 - PADDING) * longest and 4 * filled >= budget):
            parts.append([row])
            longest = sizes[row]
        else:
            parts[-1].append(row)
    return [torch.tensor(part, device=lengths.device) for part in parts]


def minibatches(kept: Bool[Tensor, " batch"], count: int, seed: int) -> list[Int[Tensor, " part"]]:
    """The kept rows in `count` parts of about the same size. If there are several parts, `seed` shuffles the rows."""
    rows = kept.nonzero().squeeze(1)
    if count > 1:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        rows = rows[order.to(rows.device)]
    return [part for part in rows.chunk(count) if len(part)]
