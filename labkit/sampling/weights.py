"""The weights of a Llama-shaped model as the fused decoder wants them: stacked, in the dtype of decoding, in place.

Matrices that meet the same input stand in one buffer, so that one product does for three. The buffers are copies that
`load` refreshes in place at the start of every call of `sample`: an optimiser step is seen at once, LoRA adapters are
seen merged, and a CUDA graph finds them where it found them before. On CUDA the copies of float32 weights are bfloat16,
rounded as autocast would round them, but once a call and not once a token: a decoding step on few rows is as fast as
its weights can be read. (135 million weights: 0.8 GB moved a call, under a millisecond on an H100.)
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAMILIES = ("llama", "qwen2", "qwen3", "olmo2")


def serves(model: nn.Module) -> bool:
    """Whether the arithmetic of this model is written out here."""
    config = model.config
    if (
        config.model_type not in FAMILIES
        or model.device.type not in ("cpu", "cuda")
        or not model.dtype.is_floating_point
    ):
        return False
    rope = getattr(config, "rope_parameters", None) or {}
    # Dynamic and long rope turn by angles that depend on the longest row.
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
    )


class Stack:
    """One matrix (or bias) made of several that meet the same input; `load` copies them in."""

    def __init__(self, parts: Sequence[Tensor], dtype: torch.dtype) -> None:
        self.value = torch.empty(
            sum(len(part) for part in parts), *parts[0].shape[1:], dtype=dtype, device=parts[0].device
        )

    def load(self, parts: Sequence[Tensor]) -> None:
        for part, rows in zip(parts, self.value.split([len(part) for part in parts]), strict=True):
            rows.copy_(part)


class Norm:
    """RMS normalisation (Zhang and Sennrich, 2019): x / rms(x) * weight."""

    def __init__(self, norm: nn.Module, dtype: torch.dtype, rounds_last: bool) -> None:
        weight = norm.weight
        self.value, self.eps, self.rounds_last = torch.empty_like(weight), norm.variance_epsilon, rounds_last
        self.by_parts = weight.device.type == "cpu" and weight.dtype == dtype == torch.float32
        # |x| = rms(x) sqrt(d): the root of d is taken into the weight, and eps * d under the root by `hypot`.
        self.root = len(weight) ** 0.5 if self.by_parts else 1.0
        self.floor = torch.tensor(self.eps**0.5 * self.root, device=weight.device)

    def load(self, norm: nn.Module) -> None:
        torch.mul(norm.weight, self.root, out=self.value)

    def __call__(self, x: Tensor) -> Tensor:
        if self.by_parts:  # on the CPU, four small operations are faster than PyTorch's own, which makes six of it
            size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            return (x / torch.hypot(size, self.floor)).mul_(self.value)
        if x.dtype == self.value.dtype:
            return F.rms_norm(x, self.value.shape, self.value, self.eps)
        if self.rounds_last:  # OLMo
            return F.rms_norm(x.float(), self.value.shape, self.value.float(), self.eps).to(x.dtype)
        return F.rms_norm(x.float(), self.value.shape, None, self.eps).to(x.dtype) * self.value


class Layer:
    """The weights of one layer. Llama and Qwen normalise what enters attention and MLP, OLMo 2 what leaves them."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        matrices, norms = _parts(layer)
        last = "post_mlp_norm" in norms
        self.matrices = {name: Stack(parts, dtype) for name, parts in matrices.items()}
        self.norms = {name: Norm(norm, dtype, last) for name, norm in norms.items()}
        self.qkv, self.out, self.gate_up, self.down = (
            self.matrices[name].value for name in ("qkv", "out", "gate_up", "down")
        )
        self.qkv_bias, self.out_bias = (
            self.matrices[name].value if name in self.matrices else None for name in ("qkv_bias", "out_bias")
        )
        self.input_norm, self.q_norm, self.k_norm, self.post_attention_norm, self.mlp_norm, self.post_mlp_norm = (
            self.norms.get(name)
            for name in ("input_norm", "q_norm", "k_norm", "post_attention_norm", "mlp_norm", "post_mlp_norm")
        )

    def load(self, layer: nn.Module) -> None:
        """Copies the weights as they are now."""
        matrices, norms = _parts(layer)
        for name, parts in matrices.items():
            self.matrices[name].load(parts)
        for name, norm in norms.items():
            self.norms[name].load(norm)


def _parts(layer: nn.Module) -> tuple[dict[str, list[Tensor]], dict[str, nn.Module]]:
    """What a layer of transformers is made of, under this module's names."""
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
