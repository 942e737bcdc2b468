"""A decoding step of Llama-shaped models with fewer, larger operations than transformers' own.

On a small model a step spends as much time in the overhead of many small operations as in arithmetic. Here queries,
keys and values come from one matrix product, gate and up from another; heads that share keys attend together; the
normalisation is one operation. The numbers are the same up to rounding (tested).

Families: Llama, Qwen2 and Qwen3 on the CPU. All others, and CUDA, take transformers' own forward pass.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.sampling.cache import RowCache

FAMILIES = ("llama", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer; matrices that meet the same input are stacked."""

    input_norm: nn.Module
    qkv: Tensor
    qkv_bias: Tensor | None
    q_norm: nn.Module | None
    k_norm: nn.Module | None
    out: nn.Linear
    mlp_norm: nn.Module
    gate_up: Tensor
    down: nn.Linear


class FusedDecoder:
    """Decoding steps for one call of `sample`: it stacks copies of the weights as they are now."""

    def __init__(self, model: nn.Module) -> None:
        config, self.body, self.head = model.config, model.model, model.lm_head
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.layers = [_stack(layer) for layer in self.body.layers]

    @staticmethod
    def serves(model: nn.Module) -> bool:
        """Whether this model is one whose arithmetic is written out here."""
        config = model.config
        windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
        return (
            config.model_type in FAMILIES
            and config.hidden_act == "silu"
            and not getattr(config, "mlp_bias", False)
            and not windowed
            and model.device.type == "cpu"
        )

    def step(
        self,
        tokens: Int[Tensor, " rows"],
        cache: RowCache,
        columns: Bool[Tensor, "rows length"] | None,
        positions: Int[Tensor, " rows"],
    ) -> Float[Tensor, "rows vocab"]:
        """Feeds one token a row; returns the logits of the next. `columns`: which of the cache's columns are real,
        the new one included; None: all."""
        rows, groups = len(tokens), self.heads // self.kv_heads
        x = self.body.embed_tokens(tokens)
        cos, sin = (t[:, 0, None, :] for t in self.body.rotary_emb(x, positions[:, None]))
        bias = None
        if columns is not None:
            bias = torch.zeros(columns.shape, dtype=x.dtype).masked_fill_(~columns, float("-inf"))[:, None, None]
        for layer, past in zip(self.layers, cache.layers, strict=True):
            qkv = F.linear(self._norm(layer.input_norm, x), layer.qkv, layer.qkv_bias)
            qkv = qkv.view(rows, self.heads + 2 * self.kv_heads, self.head_dim)
            q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), 1)
            if layer.q_norm is not None:
                q, k = self._norm(layer.q_norm, q), self._norm(layer.k_norm, k)
            keys, values = past.update(_rotate(k, cos, sin)[:, :, None], v[:, :, None])
            # Query heads that share a key head stand as that head's queries, so that keys need no copies.
            q = _rotate(q, cos, sin).view(rows, self.kv_heads, groups, self.head_dim)
            attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias)
            x = x + layer.out(attended.reshape(rows, -1))
            gate, up = F.linear(self._norm(layer.mlp_norm, x), layer.gate_up).chunk(2, -1)
            x = x + layer.down(F.silu(gate) * up)
        return self.head(self._norm(self.body.norm, x))

    def _norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        return F.rms_norm(x, norm.weight.shape, norm.weight, self.eps)


def _stack(layer: nn.Module) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
    return Layer(
        input_norm=layer.input_layernorm,
        qkv=torch.cat([p.weight for p in qkv]),
        qkv_bias=torch.cat([p.bias for p in qkv]) if attention.q_proj.bias is not None else None,
        q_norm=getattr(attention, "q_norm", None),
        k_norm=getattr(attention, "k_norm", None),
        out=attention.o_proj,
        mlp_norm=layer.post_attention_layernorm,
        gate_up=torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=mlp.down_proj,
    )


def _rotate(
    x: Float[Tensor, "rows heads dim"], cos: Float[Tensor, "rows 1 dim"], sin: Float[Tensor, "rows 1 dim"]
) -> Float[Tensor, "rows heads dim"]:
    """Rotary position embedding (Su et al., 2021), in the half-split layout of Llama."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin
