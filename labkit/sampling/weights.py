"""The weights of a Llama-shaped model, arranged for the fused decoder: stacked, in the dtype of decoding, in place.

Matrices that multiply the same input stand in one buffer, so that one product replaces three. Work on a weight is done
once per call instead of once per token: the rows of queries and keys are put into the order in which rotary embedding
pairs them, and on the CPU a norm's weight is multiplied into the matrix that follows it.

The buffers are copies. `load` refreshes them in place at the start of every call of `sample`. So the sampler sees each
optimiser step at once, it sees LoRA adapters merged, and a CUDA graph finds the buffers at the same addresses. On CUDA
the copies of float32 weights are bfloat16, rounded as autocast rounds them, but once per call and not once per token.
This matters because a decoding step on few rows is limited by the time to read the weights. (For 135 million weights a
call moves 0.8 GB, which takes less than a millisecond on an H100.)
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.trunk import CausalLM, touched
from labkit.sampling.room import Room

FAMILIES = ("llama", "qwen2", "qwen3", "olmo2")
FOLLOWED = {"qkv": "input_norm", "gate_up": "mlp_norm"}  # matrix: the norm before it, where the model has one


def serves(model: CausalLM) -> bool:
    """Whether the fused decoder can compute this model."""
    config = model.config
    if (
        config.model_type not in FAMILIES
        or model.device.type not in ("cpu", "cuda")
        or not model.dtype.is_floating_point
    ):
        return False
    rope = getattr(config, "rope_parameters", None) or {}
    # The angles of dynamic and long rope depend on the longest row, so they are not served.
    plain_rope = rope.get("rope_type") in ("default", "linear", "llama3", "yarn")
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return (
        plain_rope
        and rope.get("partial_rotary_factor", 1.0) == 1.0
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and not windowed
        and config.hidden_act == "silu"
        and not getattr(config, "mlp_bias", False)
        and all(isinstance(p.data, Tensor) and p.is_floating_point() for p in model.parameters())
        and untouched(model)
    )


def untouched(model: CausalLM) -> bool:
    """Whether a forward pass computes exactly what the model's class defines, since the fused decoder copies only that.

    False if there is a hook, a replaced `forward`, or a module from a package other than torch, transformers and peft.
    """
    known = ("torch", "transformers", "peft")
    return not any(touched(m) or type(m).__module__.partition(".")[0] not in known for m in model.modules())


class Stack:
    """One matrix (or bias) made of several that multiply the same input. `load` copies the parts into it.

    The first `turned` parts hold queries and keys, in heads of `head_dim` rows. Rotary embedding turns the rows i and
    i + head_dim / 2 of a head as a pair, and here the two rows of a pair stand next to each other. This does not change
    the products of queries and keys, because both have the same order.
    """

    def __init__(self, parts: Sequence[Tensor], dtype: torch.dtype, turned: int = 0, head_dim: int = 0) -> None:
        self.value = torch.empty(
            sum(len(part) for part in parts), *parts[0].shape[1:], dtype=dtype, device=parts[0].device
        )
        self.transposed = self.value.T if self.value.ndim == 2 else self.value
        self.turned, self.head_dim = turned, head_dim

    def load(self, parts: Sequence[Tensor], scale: Tensor | None = None) -> None:
        """Copies the parts. `scale` holds a factor per column: the weight of the norm before the matrix."""
        for i, (part, rows) in enumerate(zip(parts, self.value.split([len(part) for part in parts]), strict=True)):
            rows.copy_(paired(part, self.head_dim) if i < self.turned else part)
        if scale is not None:
            self.value.mul_(scale)


class Norm:
    """RMS normalisation (Zhang and Sennrich, 2019): x / rms(x) * weight.

    On the CPU it is computed in fewer operations than PyTorch's own norm, which runs six. If a matrix follows the norm
    (`followed`), the norm does not multiply by its weight there: the columns of the matrix are multiplied by `folded`.
    """

    def __init__(self, norm: CausalLM, dtype: torch.dtype, rounds_last: bool, followed: bool = False) -> None:
        weight = norm.weight
        self.value, self.eps, self.rounds_last = torch.empty_like(weight), norm.variance_epsilon, rounds_last
        self.by_parts = weight.device.type == "cpu" and weight.dtype == dtype == torch.float32
        # |x| = rms(x) sqrt(d). So the weight is multiplied by sqrt(d), and `hypot` adds eps * d under the root.
        self.root = len(weight) ** 0.5 if self.by_parts else 1.0
        self.floor = torch.tensor(self.eps**0.5 * self.root, device=weight.device)
        self.folded = self.value if followed and self.by_parts else None

    def load(self, norm: CausalLM, head_dim: int = 0) -> None:
        """Copies the present weight. `head_dim`: for a norm of queries or keys, the rows of a head; see `Stack`."""
        torch.mul(paired(norm.weight, head_dim) if head_dim else norm.weight, self.root, out=self.value)

    def __call__(self, x: Tensor, room: Room | None = None) -> Tensor:
        if self.by_parts:
            length, normed = (None, None) if room is None else (room.length, room.normed)
            length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, out=length)
            x = torch.div(x, torch.hypot(length, self.floor, out=length), out=normed)
            return x if self.folded is not None else x.mul_(self.value)
        if x.dtype == self.value.dtype:
            return F.rms_norm(x, self.value.shape, self.value, self.eps)
        if self.rounds_last:  # OLMo
            return F.rms_norm(x.float(), self.value.shape, self.value.float(), self.eps).to(x.dtype)
        return F.rms_norm(x.float(), self.value.shape, None, self.eps).to(x.dtype) * self.value


class Layer:
    """The weights of one layer. Llama and Qwen normalise the input of attention and MLP, OLMo 2 their output."""

    def __init__(self, layer: CausalLM, dtype: torch.dtype, head_dim: int) -> None:
        matrices, norms = _parts(layer)
        last = "post_mlp_norm" in norms
        self.head_dim = head_dim
        self.matrices = {
            name: Stack(parts, dtype, 2 if name.startswith("qkv") else 0, head_dim) for name, parts in matrices.items()
        }
        self.norms = {name: Norm(norm, dtype, last, name in FOLLOWED.values()) for name, norm in norms.items()}
        self.qkv, self.out, self.gate_up, self.down = (
            self.matrices[name].transposed for name in ("qkv", "out", "gate_up", "down")
        )
        self.qkv_bias, self.out_bias = (
            self.matrices[name].value if name in self.matrices else None for name in ("qkv_bias", "out_bias")
        )
        self.input_norm, self.q_norm, self.k_norm, self.post_attention_norm, self.mlp_norm, self.post_mlp_norm = (
            self.norms.get(name)
            for name in ("input_norm", "q_norm", "k_norm", "post_attention_norm", "mlp_norm", "post_mlp_norm")
        )

    def load(self, layer: CausalLM) -> None:
        """Copies the present weights."""
        matrices, norms = _parts(layer)
        for name, norm in norms.items():
            self.norms[name].load(norm, self.head_dim if name in ("q_norm", "k_norm") else 0)
        for name, parts in matrices.items():
            before = self.norms.get(FOLLOWED.get(name, ""))
            self.matrices[name].load(parts, before.folded if before else None)


def paired(weight: Float[Tensor, " rows *width"], head_dim: int) -> Float[Tensor, " rows *width"]:
    """The rows of each head in the order 0, half, 1, half + 1, ...: the two rows of a pair stand next to each other.

    >>> paired(torch.arange(8.0), 4).int().tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    return weight.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)


def _parts(layer: CausalLM) -> tuple[dict[str, list[Tensor]], dict[str, nn.Module]]:
    """The matrices, biases and norms of a layer of transformers, under this module's names."""
    attention, mlp = layer.self_attn, layer.mlp
    qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
    matrices = {
        "qkv": [module.weight for module in qkv],
        "out": [attention.o_proj.weight],
        "gate_up": [mlp.gate_proj.weight, mlp.up_proj.weight],
        "down": [mlp.down_proj.weight],
    }
    if attention.q_proj.bias is not None:
        matrices["qkv_bias"] = [module.bias for module in qkv]
    if attention.o_proj.bias is not None:
        matrices["out_bias"] = [attention.o_proj.bias]
    if hasattr(layer, "post_feedforward_layernorm"):
        norms = {
            "post_attention_norm": layer.post_attention_layernorm,
            "post_mlp_norm": layer.post_feedforward_layernorm,
        }
    else:
        norms = {"input_norm": layer.input_layernorm, "mlp_norm": layer.post_attention_layernorm}
    if hasattr(attention, "q_norm"):
        norms |= {"q_norm": attention.q_norm, "k_norm": attention.k_norm}
    return matrices, norms
