"""What a pass through a model computes and moves, what a device's roofline makes of it, and what fits in its memory.

The roofline (Williams, Waterman and Patterson, 2009): work of intensity I operations per byte runs at most at
min(matmul rate, I x bandwidth); the two meet at the ridge.
"""

from dataclasses import dataclass

import numpy as np

from labkit.bench.ceiling import DeviceRates, ModelCosts
from labkit.bench.race import Work

H100 = DeviceRates(bytes_per_second=3.35e12, flops_per_second=989e12)
"""The maker's numbers for one H100 SXM: HBM3, dense bfloat16. Real programs stay below both."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a Llama-like model's configuration that decide what it costs."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    qkv_bias: bool = False

    @property
    def parameters(self) -> int:
        """All weights: embedding, layers (attention, gated MLP, two norms), last norm, and a head where it is its own.

        >>> f"{SHAPES['SmolLM2-135M'].parameters:,}"
        '134,515,008'
        """
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.hidden * (2 * queries + 2 * keys) + (queries + 2 * keys) * self.qkv_bias
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def costs(self, bytes_per_number: int = 2) -> ModelCosts:
        """What a token costs, with weights and cache in numbers of so many bytes (2: bfloat16).

        >>> SHAPES["SmolLM2-135M"].costs().cache_bytes
        23040
        """
        matmul = self.parameters - (0 if self.tied else self.vocabulary * self.hidden)
        return ModelCosts(
            matmul_parameters=matmul,
            weight_bytes=matmul * bytes_per_number,
            attention_width=self.layers * self.heads * self.head_dim,
            cache_bytes=2 * self.layers * self.kv_heads * self.head_dim * bytes_per_number,
        )


SHAPES = {
    "SmolLM2-135M": Shape(30, 576, 1536, 9, 3, 64, 49152, tied=True),
    "Qwen2.5-0.5B": Shape(24, 896, 4864, 14, 2, 64, 151936, tied=True, qkv_bias=True),
    "Qwen2.5-1.5B": Shape(28, 1536, 8960, 12, 2, 128, 151936, tied=True, qkv_bias=True),
    "Qwen2.5-7B": Shape(28, 3584, 18944, 28, 4, 128, 152064, tied=False, qkv_bias=True),
    "Llama-3.1-8B": Shape(32, 4096, 14336, 32, 8, 128, 128256, tied=False),
}
"""From the published configurations."""


def pass_work(costs: ModelCosts, rows: int, new: int, columns: int) -> tuple[float, float]:
    """Operations and bytes of one forward pass: `rows` rows, `new` tokens each, `columns` cached columns behind it.

    Operations: 2 N a token, and 4 x width for each pair of a query and a column that it sees (causal: a new token does
    not see those after it). Bytes: the weights once, and each row's cache once. Activations are left out.

    >>> tiny = ModelCosts(matmul_parameters=100, weight_bytes=400, attention_width=8, cache_bytes=16)
    >>> pass_work(tiny, rows=2, new=1, columns=10)  # 2 x (200 + 32 x 10), 400 + 2 x 10 x 16
    (1040.0, 720.0)
    """
    seen = new * (columns - (new - 1) / 2)
    flops = rows * (2.0 * costs.matmul_parameters * new + 4 * costs.attention_width * seen)
    return flops, float(costs.weight_bytes + rows * columns * costs.cache_bytes)


def attainable(intensity: float, rates: DeviceRates) -> float:
    """The roof: operations per second that work of this intensity (operations per byte) can reach.

    >>> attainable(10, DeviceRates(bytes_per_second=5, flops_per_second=100))
    50
    """
    return min(rates.flops_per_second, intensity * rates.bytes_per_second)


def ridge(rates: DeviceRates) -> float:
    """The intensity from which on arithmetic, and not memory, is the limit.

    >>> f"{ridge(H100):.0f} operations per byte"
    '295 operations per byte'
    """
    return rates.flops_per_second / rates.bytes_per_second


def least_seconds(passes: list[tuple[int, int, int]], costs: ModelCosts, rates: DeviceRates) -> float:
    """What a list of forward passes (rows, new, columns) takes at least: each at the slower of its two limits."""
    work = [pass_work(costs, *each) for each in passes]
    return sum(max(flops / rates.flops_per_second, moved / rates.bytes_per_second) for flops, moved in work)


def sampling_passes(work: Work) -> list[tuple[int, int, int]]:
    """The passes (rows, new, columns) that sampling needs: each prompt once, then one a step for the rows that go on.

    `columns` of a step is the rounded mean over its rows.

    >>> sampling_passes(Work(prompts=[4], lengths=[3, 1]))  # the first tokens come from the prompt's pass
    [(1, 4, 4), (1, 1, 5), (1, 1, 6)]
    """
    lengths, starts = np.array(work.lengths), np.array(work.prompt_of_row)
    passes = [(1, prompt, prompt) for prompt in work.prompts]
    for step in range(1, int(lengths.max())):
        alive = lengths > step
        passes.append((int(alive.sum()), 1, round(float(starts[alive].mean())) + step))
    return passes


def decode_ceiling(costs: ModelCosts, rows: int, context: int, rates: DeviceRates) -> float:
    """Tokens a second of a decoding step at most, at this batch and mean context.

    >>> f"{decode_ceiling(SHAPES['SmolLM2-135M'].costs(), 256, 384, H100):,.0f}"
    '338,443'
    """
    return rows / least_seconds([(rows, 1, context)], costs, rates)


def training_memory(shape: Shape, rows: int, length: int, logit_tokens: int | None = None) -> dict[str, float]:
    """Bytes of RL on one device: bfloat16 compute over float32 weights, AdamW, gradient checkpointing.

    `rows` samples of `length` tokens (prompt included) are drawn at once. `logit_tokens`: over how many tokens logits
    exist at the same time; None: all of 8 rows, the micro-batch of a plain loop. Activations are the inputs
    of the layers; left out is what a layer holds while it is computed, and the allocator's slack.

    >>> f"{training_memory(SHAPES['SmolLM2-135M'], 1024, 512)['logits'] / 1e9:.2f}"
    '0.81'
    """
    tokens = 8 * length
    return {
        "weights": 4.0 * shape.parameters,
        "bf16 copy": 2.0 * shape.parameters,
        "gradients": 4.0 * shape.parameters,
        "AdamW": 8.0 * shape.parameters,
        "activations": 2.0 * shape.layers * tokens * shape.hidden,
        "logits": 4.0 * (tokens if logit_tokens is None else logit_tokens) * shape.vocabulary,
        "KV cache": float(rows * length * shape.costs().cache_bytes),
    }
