"""A key-value cache whose rows can leave. It is allocated once and written in place, and it shrinks with few copies."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class RowLayer(CacheLayerMixin):
    """One layer's keys and values, [rows, heads, columns, head_dim].

    The first `rows` rows and the first `length` columns are in use.
    """

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

    Prefill writes one row per prompt. `expand` makes one row per sample, and `keep` drops the rows that have ended.
    """

    # Each layer is a RowLayer. transformers declares a list of its own layer type, and Python's type rules do not let
    # a subclass narrow the type of a list.
    layers: list[Any]

    def __init__(self, layers: int, columns: int) -> None:
        super().__init__(layers=[RowLayer(columns) for _ in range(layers)])

    def expand(self, index: Int[Tensor, " rows"], columns: int) -> "RowCache":
        """A new cache with room for `columns` columns. Its row i is a copy of this cache's row index[i]."""
        new = RowCache(len(self.layers), columns)
        for layer, old in zip(new.layers, self.layers, strict=True):
            layer.rows, layer.length, layer.is_initialized = len(index), old.length, True
            for name in ("keys", "values"):
                source = getattr(old, name)[:, :, : old.length]
                target = source.new_empty(len(index), source.shape[1], columns, source.shape[3])
                target[:, :, : old.length] = source[index]
                setattr(layer, name, target)
        return new

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"]) -> None:
        """Copies the rows `movers` into the rows `holes`, then shrinks the cache to its first `rows` rows."""
        for layer in self.layers:
            if len(holes):
                for buffer in (layer.keys, layer.values):
                    buffer[holes, :, : layer.length] = buffer[movers, :, : layer.length]
            layer.rows = rows
