"""Packing: several short documents in one row, none of which sees another.

Positions begin again at 0 with each document, and transformers makes the attention block-diagonal from that. Not every
architecture does so: `packing_is_exact` compares the log-probs of packed documents with those of the same documents
alone, and where they differ the documents are batched by length instead.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from labkit.models import Encoded, Policy, token_logprobs


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Puts documents of these lengths (tokens) into rows of `capacity` tokens, whole: the longest first, each into the
    first row that has room for it. Returns the documents' numbers, row by row.

    >>> pack([5, 3, 4, 2], 7)
    [[0, 3], [2, 1]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for document in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, free in enumerate(room) if free >= lengths[document]), None)
        if row is None:
            row = len(rows)
            rows.append([])
            room.append(capacity)
        rows[row].append(document)
        room[row] -= lengths[document]
    return rows


def packed_rows(
    documents: Sequence[Sequence[Encoded]], pad_id: int, device: torch.device
) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"], Int[Tensor, "batch time"]]:
    """Rows of documents as tensors: tokens, mask of the replies' tokens, positions; padded at the right.

    The mask is False on the first token of every document: no token of its own document stands before it. The positions
    begin again at 0 with each document and with the padding at the end of the row.
    """
    width = max(sum(len(d) for d in row) for row in documents)
    tokens = torch.full((len(documents), width), pad_id)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    positions = torch.zeros(tokens.shape, dtype=torch.long)
    for r, row in enumerate(documents):
        at = 0
        for document in row:
            end = at + len(document)
            tokens[r, at:end] = torch.tensor(document.ids)
            # The logits at column t - 1 predict the token at column t. At column `at` they are those of the last token
            # of the document before, so that the first token of a document must not count.
            for begin, stop in document.taught:
                mask[r, at + begin : at + stop] = True
            positions[r, at:end] = torch.arange(len(document))
            at = end
        positions[r, at:] = torch.arange(width - at)
    return tokens.to(device), mask.to(device), positions.to(device)


@torch.no_grad()
def packing_is_exact(policy: Policy, tolerance: float = 1e-4) -> bool:
    """Whether a document has the same log-probs behind another document of its row as it has alone.

    `tolerance`: the largest difference allowed on a CPU, in nats per token; on a GPU, which computes in bf16, 0.1.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary = cast(nn.Embedding, policy.model.get_input_embeddings()).weight.shape[0]
    first, second = (Encoded(torch.randint(vocabulary, (n,), generator=generator).tolist(), 1) for n in (7, 9))
    try:
        tokens, _, positions = packed_rows([[first, second]], policy.pad_id, policy.device)  # [1, 7 + 9]
        # The second document stands at columns 7 to 15; its first token, at column 7, does not count.
        packed = token_logprobs(policy.model, tokens, positions=positions)[0, 8:16]
    except TypeError:  # a model without positions
        return False
    alone = token_logprobs(policy.model, torch.tensor([second.ids], device=policy.device))[0, 1:]
    limit = tolerance if policy.device.type == "cpu" else 0.1
    return float((packed - alone).abs().max()) < limit
