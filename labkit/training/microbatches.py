"""Cutting a batch of ragged rows into micro-batches of about the same work."""

import torch
from jaxtyping import Int
from torch import Tensor

# A CPU is fastest where a micro-batch's activations stay in its cache; a GPU where its units are filled.
DEFAULT_BUDGET = {"cpu": 2048, "cuda": 16384}


def token_budget(asked: int | None, device: torch.device) -> int:
    """The micro-batch budget in tokens: what the recipe asks for, or the device's default."""
    return asked or DEFAULT_BUDGET.get(device.type, 8192)


def microbatches(lengths: Int[Tensor, " rows"], budget: int) -> list[Int[Tensor, " part"]]:
    """Row numbers, cut so that rows x longest row stays within `budget` tokens; a longer row stands alone.

    Rows of about the same length share a micro-batch, so that little is spent on padding. Longest first: what does
    not fit into memory fails at once, and not hours into a run.

    >>> [part.tolist() for part in microbatches(torch.tensor([5, 100, 6, 50]), 120)]
    [[1], [3, 2], [0]]
    """
    parts: list[list[int]] = []
    longest = 0
    for row in lengths.argsort(descending=True, stable=True).tolist():
        if parts and (len(parts[-1]) + 1) * longest <= budget:
            parts[-1].append(row)
        else:
            parts.append([row])
            longest = int(lengths[row])
    return [torch.tensor(part, device=lengths.device) for part in parts]
