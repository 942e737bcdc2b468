"""The buffers into which each layer writes its matrix products, and the views of these buffers.

In a small model, making a view takes as much time as an addition. So on a CPU the views are made once, and all layers
use them, in every step that has as many rows; see `FusedDecoder.room`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """The sizes of a model that its layers share."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int  # of the MLP


class Room:
    """Buffers for `n` tokens. Each layer overwrites the numbers of the layer before it."""

    def __init__(self, shape: Shape, n: int, dtype: torch.dtype, stream: torch.dtype, device: torch.device) -> None:
        heads, kv_heads, dim = shape.heads, shape.kv_heads, shape.head_dim
        options = {"dtype": dtype, "device": device}
        # The normalised residual stream. Its dtype may differ from that of the products.
        self.normed: Float[Tensor, "n hidden"] = torch.empty(n, shape.hidden, dtype=stream, device=device)
        self.length: Float[Tensor, "n 1"] = torch.empty(n, 1, dtype=stream, device=device)
        self.qkv: Float[Tensor, "n heads_x_dim"] = torch.empty(n, (heads + 2 * kv_heads) * dim, **options)
        self.by_head = self.qkv.view(n, heads + 2 * kv_heads, dim)
        self.q, self.k = self.by_head[:, :heads], self.by_head[:, heads : heads + kv_heads]
        self.kv = self.by_head[:, heads:].view(n, 2, kv_heads, dim)
        # The two numbers that rotary embedding turns together stand next to each other, as one complex number.
        self.pairs = self.by_head[:, : heads + kv_heads].unflatten(-1, (-1, 2))
        self.turned = torch.view_as_complex(self.pairs) if dtype in (torch.float32, torch.float64) else None
        self.gate_up: Float[Tensor, "n 2_inner"] = torch.empty(n, 2 * shape.inner, **options)
        self.gate, self.up = self.gate_up.chunk(2, -1)
