"""The working memory of `sample`: decoder, slots and stepper. It is kept for the next call where this saves time."""

import sys
from threading import RLock
from weakref import WeakKeyDictionary

import torch
from torch import nn

from labkit.errors import RunError
from labkit.models.trunk import CausalLM
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.own import Recompute
from labkit.sampling.slots import Slots
from labkit.sampling.stepping import COLUMN_BUCKET, GraphStepper, Stepper, row_bucket
from labkit.sampling.ways import Decoder, decoder_of
from labkit.sampling.weights import untouched

CPU_SLOTS = 256
CUDA_SLOTS = 1024
CUDA_SHARE = 0.25  # the keys and values of all slots may take at most this share of a GPU's memory
# The system must clear each page of new memory before use. On a CPU this takes a fifth of a call of `tiny` (measured).
# So small caches are kept on a CPU, and larger ones are freed after the call.
CPU_KEPT_BYTES = 256 * 2**20

_kept: "WeakKeyDictionary[nn.Module, Workspace]" = WeakKeyDictionary()
# For models with which `sample` ran out of memory: slots x columns with which to try again.
_affordable: "WeakKeyDictionary[nn.Module, int]" = WeakKeyDictionary()
_told: set[str] = set()


class Workspace:
    """Static buffers for one model, and the graphs that were captured with them."""

    def __init__(self, model: CausalLM) -> None:
        self.lock = RLock()
        self.signature = signature(model)
        self.decoder: Decoder = decoder_of(model)(model)
        self.slots: Slots | None = None
        self.stepper: Stepper | None = None

    def prepare(self, model: CausalLM, size: int, steps: int, columns: int) -> None:
        """Loads the present weights, and makes room for `size` rows of `columns` tokens, of which `steps` are drawn.

        Buffers only grow, so that later calls find room. But rows and columns of different calls multiply: if the cache
        would take more than its share of the device's memory, it is made anew, and as large as this call needs it.
        """
        graphs = captures(model.device)
        if graphs:  # round up to whole buckets, so that the next call probably finds enough room
            size, steps, columns = row_bucket(size), _rounded(steps), _rounded(columns)
        if isinstance(self.decoder, FusedDecoder):
            self.decoder.load(model)
        fits = self.slots is not None and self.slots.size >= size and self.slots.steps >= steps
        fits = fits and self.stepper is not None  # it is missing if an earlier call was interrupted here
        if isinstance(self.decoder, FusedDecoder) and not self.decoder.holds(size, columns):
            fits, self.stepper = False, None  # its graphs read buffers that are replaced now
            grown = max(size, self.decoder.size), max(columns, self.decoder.columns)
            if self.decoder.bytes_of(*grown) > cache_share(model.device):
                self.decoder.release()
                self.slots = None
        self.decoder.reserve(size, columns)
        if not graphs and isinstance(self.decoder, FusedDecoder) and self.decoder.bytes > CPU_KEPT_BYTES:
            _kept.pop(model, None)  # then this workspace is freed after the call
        if not fits:
            size, steps = (max(size, self.slots.size), max(steps, self.slots.steps)) if self.slots else (size, steps)
            self.slots = Slots(size, steps, model.device)
            if graphs and isinstance(self.decoder, FusedDecoder):
                self.stepper = GraphStepper(self.decoder, self.slots)
            else:
                self.stepper = Stepper(self.decoder, self.slots)


def workspace(model: CausalLM) -> Workspace:
    """The workspace of this model. The next call gets the same one, unless it was too large to keep."""
    if not FusedDecoder.serves(model):  # it has no static buffers, and keeping it would keep the model alive
        return Workspace(model)
    if model not in _kept or _kept[model].signature != signature(model):
        _kept[model] = Workspace(model)
    return _kept[model]


def release_workspaces() -> None:
    """Frees the memory that `sample` keeps between calls (cache, weights, graphs)."""
    _kept.clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def captures(device: torch.device) -> bool:
    """Whether steps on this device are captured as graphs, which need buffers of rounded sizes that stay."""
    return device.type == "cuda"


def keeps_buffers(model: CausalLM) -> bool:
    """Whether `sample` keeps buffers of this model between calls, whatever their size."""
    return captures(model.device) and FusedDecoder.serves(model)


def signature(model: CausalLM) -> tuple:
    """Facts about the model. If one of them has changed, its old workspace no longer fits."""
    weight = model.get_input_embeddings().weight
    return (weight.device, weight.dtype, weight.data_ptr(), weight.shape, FusedDecoder.serves(model))


def cache_share(device: torch.device) -> float:
    """The most memory (bytes) that keys and values of all slots may take on a device.

    A CPU has no limit: there, pages of the cache that are never used cost nothing.
    """
    if device.type != "cuda":
        return float("inf")
    return torch.cuda.get_device_properties(device).total_memory * CUDA_SHARE


def default_slots(model: CausalLM, columns: int) -> int:
    """The default of the most rows that are decoded at once.

    On the CPU it is 256 (measured). On CUDA it is 1024, or the largest bucket of rows whose keys and values take no
    more than a quarter of the GPU's memory.
    """
    if not captures(model.device):
        return CPU_SLOTS
    fitting = int(min(CUDA_SLOTS, max(1, cache_share(model.device) // _slot_bytes(model, columns))))
    return 1 << (fitting.bit_length() - 1)


def affordable_slots(model: CausalLM, size: int, columns: int) -> int:
    """`size` slots, or fewer where that many of so many columns would exceed what memory was found to hold."""
    return min(size, max(1, _affordable[model] // columns)) if model in _affordable else size


def fewer_slots(model: CausalLM, size: int, columns: int) -> int:
    """After `size` slots of so many columns ran out of memory: frees what is kept, and returns half of the slots.

    Later calls begin with no more than that. Says so in one line on standard error. Raises RunError for one slot.
    """
    release_workspaces()
    if size == 1:
        raise RunError(
            f"out of memory while sampling a single row of {columns} tokens: lower max_new_tokens, shorten the "
            "prompts, or take a smaller model"
        )
    half = size // 2
    _affordable[model] = half * columns
    print(
        f"labkit: out of memory while sampling in {size} slots; going on with {half}: the samples stay the same (to "
        f"begin with it: slots={half})",
        file=sys.stderr,
    )
    return half


def sampler_bytes(model: CausalLM, rows: int, columns: int) -> tuple[int, bool]:
    """The memory (bytes) that `sample` takes in addition to the model, and whether it keeps it for the next call.

    The memory holds a copy of the weights, and the keys and values of `rows` rows of `columns` tokens.
    """
    rows = row_bucket(rows) if captures(model.device) else rows
    cache = min(rows, default_slots(model, columns)) * _slot_bytes(model, columns)
    if not FusedDecoder.serves(model):
        return cache, False
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    copied = sum(p.numel() for p in model.parameters()) - (0 if head is embedding else embedding.numel())
    return copied * _itemsize(model) + cache, captures(model.device) or cache <= CPU_KEPT_BYTES


def _slot_bytes(model: CausalLM, columns: int) -> int:
    """The memory of one row's keys and values, in bytes."""
    config = model.config.get_text_config()
    all_heads = getattr(config, "num_attention_heads", None) or 1  # Mamba has none: its state counts as one head
    heads = getattr(config, "num_key_value_heads", None) or all_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // all_heads
    columns = _rounded(columns) if captures(model.device) else columns
    return 2 * config.num_hidden_layers * heads * head_dim * columns * _itemsize(model)


def _itemsize(model: CausalLM) -> int:
    """The bytes of one number in the sampler, whose dtype `FusedDecoder` chooses."""
    return 2 if model.device.type == "cuda" and model.dtype == torch.float32 else model.dtype.itemsize


def tell_if_plain(model: CausalLM) -> None:
    """Prints one line, once per type of model, if `sample` uses transformers' own forward pass."""
    kind = f"a {model.config.model_type} model" if untouched(model) else "a model with hooks or modules of its own"
    if not FusedDecoder.serves(model) and kind not in _told:
        _told.add(kind)
        slow = decoder_of(model) is Recompute
        why = "reads the whole text again for each token, which is slow" if slow else "is slower"
        print(
            f"labkit: sampling from {kind} takes transformers' own forward pass, which {why}: "
            f"{'no cache' if slow else 'no fused steps'}, no refilling of slots, no CUDA graphs",
            file=sys.stderr,
        )


def _rounded(columns: int) -> int:
    return -(-columns // COLUMN_BUCKET) * COLUMN_BUCKET
