"""The least time that a device could need: by its own measured rates, for what must be computed and moved.

Left out, so that a ceiling is a bound and not a prediction: softmax, norms, sampling, launches, Python. The
bandwidth is that of memory: where weights and cache fit into the processor's caches, a side may read faster.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from labkit.bench.race import Work, clock
from labkit.runs import processor

# Dense bf16 matmul operations per second, from the makers' data sheets (where those count sparsity: half of it). The
# first name that is part of the device's own counts.
NOMINAL_FLOPS = {
    "H100 PCIe": 756e12,
    "H100": 989.4e12,
    "H200": 989.4e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165.2e12,
}


@dataclass(frozen=True)
class DeviceRates:
    """What the device does when it does nothing else: bytes moved and matmul operations, each a second."""

    bytes_per_second: float
    flops_per_second: float


@dataclass(frozen=True)
class ModelCosts:
    """What one token costs in a forward pass.

    `matmul_parameters` N: weights that every token is multiplied with (an input embedding is only looked up).
    `attention_width`: layers x query heads x head_dim. `cache_bytes`: keys and values of a token, all layers.
    """

    matmul_parameters: int
    weight_bytes: int
    attention_width: int
    cache_bytes: int


def _fastest(work: Callable[[], object], device: torch.device, times: int) -> float:
    seconds = []
    for _ in range(times):
        start = clock(device)
        work()
        seconds.append(clock(device) - start)
    return min(seconds)


@functools.cache
def measure_rates(device: torch.device, dtype: torch.dtype, copy_mib: int = 0, size: int = 0) -> DeviceRates:
    """Measured on the spot, best of 5: copying a big buffer (read and write counted), and one square matmul.

    bytes/s = 2 x buffer / seconds; flops/s = 2 x size^3 / seconds. Sizes in MiB and columns; 0 chooses them.
    """
    big = device.type != "cpu"
    copy_mib, size = copy_mib or (2048 if big else 256), size or (8192 if big else 2048)
    source = torch.ones(copy_mib * 2**18, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    copying = _fastest(lambda: target.copy_(source), device, 5)
    left = torch.randn(size, size, device=device).to(dtype)
    out = left @ left
    multiplying = _fastest(lambda: torch.matmul(left, left, out=out), device, 5)
    return DeviceRates(2 * source.nbytes / copying, 2 * size**3 / multiplying)


def model_costs(model: PreTrainedModel, dtype: torch.dtype) -> ModelCosts:
    """The costs of a model that computes (and caches) in `dtype`."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    parameters = model.num_parameters()
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    matmul = parameters if tied else parameters - embedding.weight.numel()
    return ModelCosts(
        matmul_parameters=matmul,
        weight_bytes=matmul * model.dtype.itemsize,
        attention_width=config.num_hidden_layers * heads * head_dim,
        cache_bytes=2 * config.num_hidden_layers * kv_heads * head_dim * dtype.itemsize,
    )


def decode_seconds(work: Work, costs: ModelCosts, rates: DeviceRates) -> float:
    """The least time to sample `work`: each prompt prefilled once, each row gone when it has ended.

    A decoding step over r rows whose contexts sum to C tokens takes the longer of
    (2 N r + 4 width C) / flops and (weight bytes + cache bytes x C) / bandwidth.
    The prefill of prompts of p tokens: (2 N sum p + 2 width sum p^2) / flops, or the weights' bytes.
    """
    prompts, lengths = np.array(work.prompts), np.array(work.lengths)
    flops = 2 * costs.matmul_parameters * prompts.sum() + 2 * costs.attention_width * (prompts**2).sum()
    prefill = max(flops / rates.flops_per_second, costs.weight_bytes / rates.bytes_per_second)
    steps = np.arange(1, lengths.max())  # the first token comes from the prefill's logits
    alive = lengths[:, None] > steps
    rows = alive.sum(0)
    context = (alive * (np.array(work.prompt_of_row)[:, None] + steps)).sum(0)
    compute = (2 * costs.matmul_parameters * rows + 4 * costs.attention_width * context) / rates.flops_per_second
    memory = (costs.weight_bytes + costs.cache_bytes * context) / rates.bytes_per_second
    return float(prefill + np.maximum(compute, memory).sum())


def train_flops(work: Work, costs: ModelCosts) -> float:
    """Operations of forward and backward: 6 N T + 6 width T^2 for a row of T tokens. What is computed again is not
    counted twice.

    T includes the prompt. Causal attention sees half the row on average: 4 width T^2 / 2 forward, and twice
    that backward.
    """
    trained = np.array(work.trained or [True] * len(work.lengths), dtype=bool)
    total = (np.array(work.prompt_of_row) + np.array(work.lengths))[trained].astype(float)
    return float(6 * costs.matmul_parameters * total.sum() + 6 * costs.attention_width * (total**2).sum())


def train_seconds(work: Work, costs: ModelCosts, rates: DeviceRates) -> float:
    """The least time for forward and backward: `train_flops` at the measured rate."""
    return train_flops(work, costs) / rates.flops_per_second


def compute_dtype(model: PreTrainedModel) -> torch.dtype:
    """What forward passes compute in: on CUDA they run under bfloat16 autocast."""
    return torch.bfloat16 if model.device.type == "cuda" else model.dtype


def ceilings(model: PreTrainedModel) -> tuple[Callable[[Work], float], Callable[[Work], float]]:
    """The least seconds to sample and to train a piece of work with this model on its device."""
    dtype = compute_dtype(model)
    costs, rates = model_costs(model, dtype), measure_rates(model.device, dtype)
    return lambda work: decode_seconds(work, costs, rates), lambda work: train_seconds(work, costs, rates)


def device_facts(model: PreTrainedModel) -> dict[str, Any]:
    """The device as the ceilings see it: its name, what it computes in, and its rates.

    `bytes_per_second` and `flops_per_second` are measured here; `nominal_flops_per_second` is the maker's number for
    dense bfloat16, None where it is not known.
    """
    dtype = compute_dtype(model)
    rates = measure_rates(model.device, dtype)
    name = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else processor()
    return {
        "name": name,
        "dtype": str(dtype).removeprefix("torch."),
        "bytes_per_second": rates.bytes_per_second,
        "flops_per_second": rates.flops_per_second,
        "nominal_flops_per_second": nominal_flops(name) if dtype == torch.bfloat16 else None,
    }


def nominal_flops(name: str) -> float | None:
    """The maker's rate for dense bfloat16 of a device, by its name.

    >>> nominal_flops("NVIDIA H100 80GB HBM3"), nominal_flops("Intel(R) Xeon(R) CPU")
    (989400000000000.0, None)
    """
    return next((rate for part, rate in NOMINAL_FLOPS.items() if part in name), None)
