"""Prefill and decoding steps of Llama-shaped models, in fewer and larger operations than transformers' own.

On a small model a step spends as much time in the overhead of many small operations as in arithmetic. Here queries,
keys and values come from one matrix product, gate and up from another; heads that share keys attend together. The
numbers are transformers' up to rounding (tested).

The cache is static: allocated once, [slots, heads, columns, head_dim] for each layer, and kept for the next call. A
token's column is its position in its own row, so rows of all ages stand side by side and a newcomer can take any slot.

Families: Llama, Qwen2, Qwen3 and OLMo 2, on the CPU and on CUDA. All others take `plain`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from labkit.sampling.weights import Layer, Norm, Stack, serves

Attend = Callable[[int, Tensor], Tensor]
Spans = tuple[tuple[int, int], ...]  # (end of a range of slots, columns that its rows look at)


@dataclass
class Prefilled:
    """Prompts that were read: next-token logits, lengths, and for each layer keys and values of all columns."""

    logits: Float[Tensor, "prompts vocab"]
    lengths: Int[Tensor, " prompts"]
    past: list[Float[Tensor, "prompts heads columns head_dim"]]


class FusedDecoder:
    """The model as seen by the sampler: `prefill` prompts, `place` them into slots, `step` by a token a slot."""

    joins = True  # newcomers can join rows that are under way

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None) -> None:
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
        self.cache: list[Float[Tensor, "slots heads columns head_dim"]] = []
        self.size = self.columns = 0

    serves = staticmethod(serves)

    def load(self, model: nn.Module) -> None:
        """Refreshes the weights in place: see `weights`."""
        body = model.model
        for layer, source in zip(self.layers, body.layers, strict=True):
            layer.load(source)
        self.norm.load(body.norm)
        self.head.load([model.lm_head.weight], self.norm.folded)
        self.embedding = body.embed_tokens.weight
        self.rotary = body.rotary_emb

    def reserve(self, size: int, columns: int) -> bool:
        """Makes room for so many slots of so many columns; says whether anything was moved for it."""
        if size <= self.size and columns <= self.columns:
            return False
        self.size, self.columns = max(size, self.size), max(columns, self.columns)
        self.cache = []  # given back before more is asked for
        shape = (self.size, 2 * self.kv_heads, self.columns, self.head_dim)
        self.cache = [_zeros(shape, self.dtype, self.device) for _ in self.layers]
        self.rows = torch.arange(self.size, device=self.device)
        # Angles of all positions. Float32, where the model rotates in float32.
        places = torch.arange(self.columns, device=self.device)
        cos, sin = self.rotary(self.embedding[:1], places[None])
        precise = torch.promote_types(cos.dtype, torch.float32)
        self.turns = torch.complex(*(x[0, :, None, : self.head_dim // 2].to(precise) for x in (cos, sin)))
        self.places = places
        return True

    @property
    def bytes(self) -> int:
        """Memory of the keys and values of all slots."""
        return sum(cache.nbytes for cache in self.cache)

    def prefill(self, tokens: Int[Tensor, "prompts time"], lengths: Int[Tensor, " prompts"]) -> Prefilled:
        """Reads prompts, right-padded: causal attention then needs no mask."""
        prompts, time = tokens.shape
        past: list[Tensor] = []

        def attend(layer: int, qkv: Tensor) -> Tensor:
            by_row = qkv.view(prompts, time, -1, self.head_dim).transpose(1, 2)
            q, k, v = by_row.split((self.heads, self.kv_heads, self.kv_heads), 1)
            past.append(by_row[:, self.heads :])
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
            return attended.transpose(1, 2).reshape(prompts * time, -1)

        places = self.places[:time].repeat(prompts)
        x = self._layers(F.embedding(tokens.flatten(), self.embedding), places, attend)
        last = torch.arange(prompts, device=self.device) * time + lengths - 1
        return Prefilled(self._logits(x[last]), lengths, past)

    def place(self, prompts: Prefilled, index: Int[Tensor, " rows"], first: int) -> None:
        """Copies the keys and values of prompt index[i] into slot first + i."""
        for cache, past in zip(self.cache, prompts.past, strict=True):
            cache[first : first + len(index), :, : past.shape[2]] = past[index]

    def step(
        self, tokens: Int[Tensor, " rows"], positions: Int[Tensor, " rows"], spans: Spans
    ) -> Float[Tensor, "rows vocab"]:
        """Feeds one token to each of the first slots; returns the logits of the next.

        `spans` divides these slots into ranges: (where one ends, how many columns its rows look at).
        """
        rows, groups = self.rows[: len(tokens)], self.heads // self.kv_heads
        biases = []
        for (begin, end), columns in _ranges(spans):
            unseen = self.places[:columns] > positions[begin:end, None]
            bias = torch.zeros(unseen.shape, dtype=self.dtype, device=self.device)
            biases.append(bias.masked_fill_(unseen, float("-inf"))[:, None, None])

        def attend(layer: int, qkv: Tensor) -> Tensor:
            cache = self.cache[layer]
            cache[rows, :, positions] = qkv[:, self.heads :]
            # Query heads that share a key head stand as that head's queries, so that keys need no copies.
            q = qkv[:, : self.heads].view(len(qkv), self.kv_heads, groups, self.head_dim)
            attended = []
            for ((begin, end), columns), bias in zip(_ranges(spans), biases, strict=True):
                keys, values = cache[begin:end, :, :columns].split(self.kv_heads, 1)
                attended.append(F.scaled_dot_product_attention(q[begin:end], keys, values, attn_mask=bias))
            return (attended[0] if len(attended) == 1 else torch.cat(attended)).reshape(len(qkv), -1)

        return self._logits(self._layers(F.embedding(tokens, self.embedding), positions, attend))

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"], columns: int) -> None:
        """The rows `movers`, none longer than `columns`, move into the slots `holes`; the first `rows` stay."""
        for cache in self.cache:
            cache[holes, :, :columns] = cache[movers, :, :columns]

    def _layers(self, x: Float[Tensor, "n hidden"], positions: Int[Tensor, " n"], attend: Attend) -> Tensor:
        """All layers; `attend(layer, qkv)` is what prefill and step do differently."""
        turns = self.turns[positions]
        for number, layer in enumerate(self.layers):
            h = x if layer.input_norm is None else layer.input_norm(x)
            qkv = _product(h.to(self.dtype), layer.qkv, layer.qkv_bias)
            qkv = qkv.view(len(x), self.heads + 2 * self.kv_heads, self.head_dim)
            if layer.q_norm is not None:
                _normalise(qkv[:, : self.heads], layer.q_norm)
                _normalise(qkv[:, self.heads : self.heads + self.kv_heads], layer.k_norm)
            _rotate(qkv[:, : self.heads + self.kv_heads], turns)
            x = _add_product(x, attend(number, qkv), layer.out, layer.out_bias, layer.post_attention_norm)
            h = x if layer.mlp_norm is None else layer.mlp_norm(x)
            gate, up = _product(h.to(self.dtype), layer.gate_up).chunk(2, -1)
            x = _add_product(x, F.silu(gate).mul_(up), layer.down, None, layer.post_mlp_norm)
        return x

    def _logits(self, x: Float[Tensor, "n hidden"]) -> Float[Tensor, "n vocab"]:
        return _product(self.norm(x).to(self.dtype), self.head.transposed)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros, because what a masked column holds is multiplied by 0, and 0 times infinity is no number.

    On the CPU from NumPy, which leaves the writing of zeros to the system: only pages that are used are ever touched.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def _ranges(spans: Spans) -> list[tuple[tuple[int, int], int]]:
    """From where each range ends to where it begins and ends.

    >>> _ranges(((3, 64), (8, 20)))
    [((0, 3), 64), ((3, 8), 20)]
    """
    begins = [0, *(end for end, _ in spans)]
    return [((begin, end), columns) for begin, (end, columns) in zip(begins, spans, strict=False)]


def _normalise(x: Float[Tensor, "n heads dim"], norm: Norm) -> None:
    """In place: each head (Qwen3), or all heads together (OLMo 2), as the norm's weight is long."""
    together = norm.value.numel() != x.shape[-1]
    x.copy_(norm(x.flatten(1) if together else x).view(x.shape))


def _product(x: Float[Tensor, "n inner"], matrix: Float[Tensor, "inner m"], bias: Tensor | None = None) -> Tensor:
    return torch.mm(x, matrix) if bias is None else torch.addmm(bias, x, matrix)


def _add_product(
    x: Float[Tensor, "n m"], h: Float[Tensor, "n inner"], matrix: Tensor, bias: Tensor | None, norm: Norm | None
) -> Float[Tensor, "n m"]:
    """x + norm(h @ matrix + bias), in one operation where there is neither norm nor bias nor rounding in between."""
    if norm is None and bias is None and x.dtype == h.dtype == torch.float32:
        return torch.addmm(x, h, matrix)
    h = _product(h, matrix, bias)
    return x + (h if norm is None else norm(h))


def _rotate(x: Float[Tensor, "n heads dim"], turns: Complex[Tensor, "n 1 half"]) -> None:
    """Rotary position embedding (Su et al., 2021), in place. The two numbers that turn together stand side by side
    (`weights` puts them there), so they are one complex number, and turning it is one product."""
    pairs = (*x.shape[:2], -1, 2)
    if x.dtype == torch.float32 or x.dtype == torch.float64:
        torch.view_as_complex(x.view(pairs)).mul_(turns)
    else:  # in float32, rounded once
        x.copy_(torch.view_as_real(torch.view_as_complex(x.float().view(pairs)) * turns).flatten(-2))
