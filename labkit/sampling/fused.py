"""Prefill and decoding steps of Llama-shaped models, in fewer and larger operations than transformers' own.

In a step of a small model, the overhead of many small operations takes as much time as the arithmetic. Here one matrix
product gives queries, keys and values, and another gives gate and up. Query heads that share keys attend together. The
results equal those of transformers up to rounding (tested).

The cache is static: it is allocated once and kept for the next call. For each layer it holds keys and values,
[2, slots, heads, columns, head_dim]. A token's column is its position in its own row. So rows of different ages can be
decoded together, and a new row can take any slot.

The module serves the families Llama, Qwen2, Qwen3 and OLMo 2, on the CPU and on CUDA. All other models take `plain` or
`own`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from torch import Tensor

from labkit.models.trunk import CausalLM
from labkit.sampling.room import Room, Shape
from labkit.sampling.weights import Layer, Norm, Stack, serves

Attend = Callable[[int, Room], Tensor]
Spans = tuple[tuple[int, int], ...]  # (the end of a range of slots, how many columns its rows attend to)
VIEWED = 4  # views of the cache that are kept have a multiple of so many columns, so that several steps can use them


@dataclass
class Prefilled:
    """Prompts after their forward pass: next-token logits, lengths, and the keys and values of each layer.

    Heads of keys come before heads of values in `past`.
    """

    logits: Float[Tensor, "prompts vocab"]
    lengths: Int[Tensor, " prompts"]
    past: list[Float[Tensor, "prompts heads columns head_dim"]]


class FusedDecoder:
    """The model as the sampler uses it.

    `prefill` reads prompts, `fill` puts them into slots, and `step` decodes one token per slot.
    """

    joins = True  # new rows can join rows that are being decoded

    def __init__(self, model: CausalLM, dtype: torch.dtype | None = None) -> None:
        config, body = model.config, model.model
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.embedding = body.embed_tokens.weight
        self.device, own = self.embedding.device, self.embedding.dtype
        # As under autocast: float32 between the layers, bfloat16 inside their products.
        mixed = self.device.type == "cuda" and own == torch.float32
        self.dtype = dtype or (torch.bfloat16 if mixed else own)
        self.layers = [Layer(layer, self.dtype, self.head_dim) for layer in body.layers]
        self.norm = Norm(body.norm, self.dtype, config.model_type == "olmo2", followed=True)
        self.head = Stack([model.lm_head.weight], self.dtype)
        self.shape = Shape(
            body.embed_tokens.embedding_dim, self.heads, self.kv_heads, self.head_dim, config.intermediate_size
        )
        self.unseen = torch.tensor(float("-inf"), dtype=self.dtype, device=self.device)
        self.seen = torch.zeros_like(self.unseen)
        on_cpu = self.device.type == "cpu"
        self.keeps_views = on_cpu  # not on CUDA, where a captured graph must own its buffers
        exact = self.dtype in (torch.float32, torch.float64)
        self.attention = _attention_in_products if on_cpu and exact else _attention
        self.rooms: dict[int, Room] = {}
        self.views: dict[tuple[int, int, int], list[tuple[Tensor, ...]]] = {}
        self.cache: list[Float[Tensor, "2 slots kv_heads columns head_dim"]] = []
        self.by_slot: list[Float[Tensor, "slots columns 2 kv_heads head_dim"]] = []  # the same memory
        self.size = self.columns = 0

    serves = staticmethod(serves)

    def load(self, model: CausalLM) -> None:
        """Copies the model's present weights into the decoder's buffers, in place: see `weights`."""
        body = model.model
        for layer, source in zip(self.layers, body.layers, strict=True):
            layer.load(source)
        self.norm.load(body.norm)
        self.head.load([model.lm_head.weight], self.norm.folded)
        self.embedding = body.embed_tokens.weight
        self.rotary = body.rotary_emb

    def reserve(self, size: int, columns: int) -> bool:
        """Makes room for `size` slots of `columns` columns. Returns True if it allocated new buffers for them."""
        if self.holds(size, columns):
            return False
        size, columns = max(size, self.size), max(columns, self.columns)
        self.release()  # the old memory is freed before the new is allocated
        self.size, self.columns = size, columns
        shape = (2, self.size, self.kv_heads, self.columns, self.head_dim)
        self.cache = [_zeros(shape, self.dtype, self.device) for _ in self.layers]
        self.by_slot = [cache.permute(1, 3, 0, 2, 4) for cache in self.cache]
        self.rows = torch.arange(self.size, device=self.device)
        # The angles of all positions, in float32 or better.
        positions = torch.arange(self.columns, device=self.device)
        cos, sin = self.rotary(self.embedding[:1], positions[None])
        precise = torch.promote_types(cos.dtype, torch.float32)
        self.turns = torch.complex(*(x[0, :, None, : self.head_dim // 2].to(precise) for x in (cos, sin)))
        self.positions = positions
        return True

    def holds(self, size: int, columns: int) -> bool:
        """Whether the buffers have room for `size` slots of `columns` columns."""
        return size <= self.size and columns <= self.columns

    def release(self) -> None:
        """Frees the buffers of all slots."""
        self.cache, self.by_slot, self.rooms, self.views = [], [], {}, {}
        self.size = self.columns = 0

    def bytes_of(self, size: int, columns: int) -> int:
        """The memory that the keys and values of `size` slots of `columns` columns would take, in bytes."""
        return 2 * len(self.layers) * size * self.kv_heads * columns * self.head_dim * self.dtype.itemsize

    @property
    def bytes(self) -> int:
        """The memory of the keys and values of all slots, in bytes."""
        return sum(cache.nbytes for cache in self.cache)

    def prefill(self, tokens: Int[Tensor, "prompts time"], lengths: Int[Tensor, " prompts"]) -> Prefilled:
        """Reads prompts in one forward pass. They are right-padded, so causal attention needs no mask."""
        prompts, time = tokens.shape
        past: list[Tensor] = []

        def attend(layer: int, room: Room) -> Tensor:
            by_row = room.by_head.view(prompts, time, -1, self.head_dim).transpose(1, 2)
            q, k, v = by_row.split((self.heads, self.kv_heads, self.kv_heads), 1)
            past.append(by_row[:, self.heads :].clone())
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
            return attended.transpose(1, 2).reshape(prompts * time, -1)

        positions = self.positions[:time].repeat(prompts)
        x = self._layers(F.embedding(tokens.flatten(), self.embedding), positions, attend)
        last = torch.arange(prompts, device=self.device) * time + lengths - 1
        return Prefilled(self._logits(x[last]), lengths, past)

    def fill(self, prompts: Prefilled, index: Int[Tensor, " rows"], first: int) -> None:
        """Copies the keys and values of prompt index[i] into slot first + i."""
        for cache, past in zip(self.cache, prompts.past, strict=True):
            rows = past[index].unflatten(1, (2, self.kv_heads)).transpose(0, 1)
            cache[:, first : first + len(index), :, : past.shape[2]] = rows

    def step(
        self, tokens: Int[Tensor, " rows"], positions: Int[Tensor, " rows"], spans: Spans
    ) -> Float[Tensor, "rows vocab"]:
        """Feeds tokens[i] to slot i, for the first slots; returns the logits of the next token.

        `spans` divides these slots into ranges: (where a range ends, how many columns its rows attend to).
        """
        written = (self.rows[: len(tokens)], positions)
        parts = []
        for (begin, end), columns in _ranges(spans):
            columns = min(-(-columns // VIEWED) * VIEWED, self.columns) if self.keeps_views else columns
            unseen = self.positions[:columns] > positions[begin:end, None]
            bias = torch.where(unseen, self.unseen, self.seen)[:, None]
            parts.append((slice(begin, end), self.keys_and_values(begin, end, columns), bias))

        def attend(layer: int, room: Room) -> Tensor:
            self.by_slot[layer].index_put_(written, room.kv)
            attended = [self.attention(room.q[rows], *seen[layer], bias=bias) for rows, seen, bias in parts]
            return attended[0] if len(attended) == 1 else torch.cat(attended)

        return self._logits(self._layers(F.embedding(tokens, self.embedding), positions, attend))

    def keys_and_values(self, begin: int, end: int, columns: int) -> list[tuple[Tensor, ...]]:
        """For each layer, the keys and the values of these slots, [slots x kv_heads, columns, head_dim] each."""
        key = (begin, end, columns)
        if key in self.views:
            return self.views[key]
        views = [tuple(cache[:, begin:end, :, :columns].flatten(1, 2)) for cache in self.cache]
        if self.keeps_views:
            self.views = {key: views} if len(self.views) > 1 else self.views | {key: views}
        return views

    def room(self, n: int) -> Room:
        """Buffers for n tokens. On the CPU, a step with as many tokens as the step before it gets the same buffers."""
        if n in self.rooms:
            return self.rooms[n]
        self.rooms = {}  # free the old memory before the new is allocated
        room = Room(self.shape, n, self.dtype, self.embedding.dtype, self.device)
        if self.keeps_views:
            self.rooms[n] = room
        return room

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"], columns: int) -> None:
        """Copies the rows `movers` into the slots `holes`, so that the first `rows` slots hold all rows that stay.

        None of these rows has more than `columns` columns.
        """
        for cache in self.cache:
            cache[:, holes, :, :columns] = cache[:, movers, :, :columns]

    def _layers(self, x: Float[Tensor, "n hidden"], positions: Int[Tensor, " n"], attend: Attend) -> Tensor:
        """Runs all layers. Prefill and step differ only in `attend(layer, room)`."""
        turns, room = self.turns[positions], self.room(len(x))
        for number, layer in enumerate(self.layers):
            h = x if layer.input_norm is None else layer.input_norm(x, room)
            _product(h.to(self.dtype), layer.qkv, layer.qkv_bias, room.qkv)
            if layer.q_norm is not None:
                _normalise(room.q, layer.q_norm)
            if layer.k_norm is not None:
                _normalise(room.k, layer.k_norm)
            _rotate(room, turns)
            x = _add_product(x, attend(number, room), layer.out, layer.out_bias, layer.post_attention_norm)
            h = x if layer.mlp_norm is None else layer.mlp_norm(x, room)
            _product(h.to(self.dtype), layer.gate_up, None, room.gate_up)
            x = _add_product(x, F.silu(room.gate).mul_(room.up), layer.down, None, layer.post_mlp_norm)
        return x

    def _logits(self, x: Float[Tensor, "n hidden"]) -> Float[Tensor, "n vocab"]:
        return _product(self.norm(x).to(self.dtype), self.head.transposed)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of zeros. A masked column is multiplied by 0, so it must hold a finite number: 0 * infinity is NaN.

    On the CPU the memory comes from NumPy. The operating system then fills a page with zeros at its first use, so pages
    that are never used cost nothing.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def _ranges(spans: Spans) -> list[tuple[tuple[int, int], int]]:
    """The begin, the end and the columns of each range, from spans that hold its end and its columns.

    >>> _ranges(((3, 64), (8, 20)))
    [((0, 3), 64), ((3, 8), 20)]
    """
    begins = [0, *(end for end, _ in spans)]
    return [((begin, end), columns) for begin, (end, columns) in zip(begins, spans, strict=False)]


def _normalise(x: Float[Tensor, "n heads dim"], norm: Norm) -> None:
    """Applies the norm in place. The length of its weight decides: per head (Qwen3), or all heads at once (OLMo 2)."""
    together = norm.value.numel() != x.shape[-1]
    x.copy_(norm(x.flatten(1) if together else x).view(x.shape))


def _product(
    x: Float[Tensor, "n inner"], matrix: Float[Tensor, "inner m"], bias: Tensor | None = None, out: Tensor | None = None
) -> Float[Tensor, "n m"]:
    return torch.mm(x, matrix, out=out) if bias is None else torch.addmm(bias, x, matrix, out=out)


def _add_product(
    x: Float[Tensor, "n m"], h: Float[Tensor, "n inner"], matrix: Tensor, bias: Tensor | None, norm: Norm | None
) -> Float[Tensor, "n m"]:
    """x + norm(h @ matrix + bias). It is one operation if there is no norm, no bias and no rounding in between."""
    if norm is None and bias is None and x.dtype == h.dtype == torch.float32:
        return torch.addmm(x, h, matrix)
    h = _product(h, matrix, bias)
    return x + (h if norm is None else norm(h))


def _rotate(room: Room, turns: Complex[Tensor, "n 1 half"]) -> None:
    """Rotary position embedding (Su et al., 2021) of queries and keys, in place.

    The two numbers of a pair that turns are one complex number (`weights` puts them next to each other), so that one
    product turns them.
    """
    if room.turned is not None:
        room.turned.mul_(turns)
    else:  # turn in float32, so that there is only one rounding
        room.pairs.copy_(torch.view_as_real(torch.view_as_complex(room.pairs.float()) * turns))


def _attention(
    q: Float[Tensor, "n heads dim"],
    keys: Float[Tensor, "n_x_kv_heads columns dim"],
    values: Float[Tensor, "n_x_kv_heads columns dim"],
    bias: Float[Tensor, "n 1 columns"],
) -> Float[Tensor, "n heads_x_dim"]:
    """softmax(q keys / sqrt(dim) + bias) values.

    Query heads that share a key head are treated as several queries of this one head, so the keys are not copied.
    """
    n = len(q)
    keys, values = keys.unflatten(0, (n, -1)), values.unflatten(0, (n, -1))
    q = q.unflatten(1, (keys.shape[1], -1))
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=bias[:, None]).reshape(n, -1)


def _attention_in_products(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """The same as `_attention`, written as two batched matrix products.

    This is faster on a CPU: there PyTorch's attention handles one head of one row at a time, and with one new token
    per row that is very little work per call.
    """
    n, _, dim = q.shape
    scores = torch.bmm((q * dim**-0.5).view(len(keys), -1, dim), keys.transpose(1, 2))
    scores.view(n, -1, keys.shape[1]).add_(bias)
    return torch.bmm(scores.softmax(-1), values).view(n, -1)
