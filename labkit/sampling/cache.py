"""A key-value cache whose rows can leave: allocated once, written in place, shrunk without copying what stays."""

from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class RowLayer(CacheLayerMixin):
    """One layer's keys and values, [rows, heads, columns, head_dim], of which `rows` and `length` are in use."""

    is_sliding = False
    is_compileable = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.length, self.rows = capacity, 0, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, heads, _, head_dim = key_states.shape
        self.rows = rows
        self.keys = key_states.new_empty(rows, heads, self.capacity, head_dim)
        self.values = value_states.new_empty(rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self,
        key_states: Float[Tensor, "rows heads new head_dim"],
        value_states: Float[Tensor, "rows heads new value_dim"],
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """Appends the new columns and returns all columns in use, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        self.keys[: self.rows, :, self.length : end] = key_states
        self.values[: self.rows, :, self.length : end] = value_states
        self.length = end
        return self.keys[: self.rows, :, :end], self.values[: self.rows, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity


class RowCache(Cache):
    """The cache of a whole model, for `past_key_values=`.

    Prefill with one row a prompt, `expand` it to one row a sample, and `keep` the rows that are still being sampled.
    """

    def __init__(self, layers: int, prompt_columns: int) -> None:
        super().__init__(layers=[RowLayer(prompt_columns) for _ in range(layers)])

    def expand(self, n: int, extra_columns: int) -> None:
        """Repeats each row n times and makes room for `extra_columns` more columns."""
        for layer in self.layers:
            for name in ("keys", "values"):
                old = getattr(layer, name)
                rows, heads, columns, dim = old.shape
                new = old.new_empty(rows * n, heads, columns + extra_columns, dim)
                new[:, :, :columns] = old.repeat_interleave(n, 0)
                setattr(layer, name, new)
            layer.rows, layer.capacity = layer.rows * n, layer.capacity + extra_columns

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"]) -> None:
        """Shrinks to the first `rows` rows, after the rows `movers` were copied into the rows `holes`."""
        for layer in self.layers:
            if len(holes):
                for buffer in (layer.keys, layer.values):
                    buffer[holes, :, : layer.length] = buffer[movers, :, : layer.length]
            layer.rows = rows


def compaction(alive: Tensor) -> tuple[int, Tensor, Tensor]:
    """How to close the gaps: (rows that stay, rows of the front that finished, rows of the back that replace them).

    Only as many rows are copied as finished in the front part, so that leaving costs next to nothing.

    >>> import torch
    >>> compaction(torch.tensor([True, False, True, False, True]))
    (3, tensor([1]), tensor([4]))
    """
    rows = int(alive.sum())
    holes = (~alive[:rows]).nonzero().squeeze(1)
    movers = alive[rows:].nonzero().squeeze(1) + rows
    return rows, holes, movers
