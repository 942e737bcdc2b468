"""Steps of all slots: operation by operation, or as a CUDA graph that was captured once.

A decoding step of a small model is hundreds of small kernels. Started one by one from Python, each waits for Python; a
graph starts them all with one call. What a graph is captured with is fixed: shapes, addresses, options. So slots,
cache and weights are static buffers that are filled in place, and there is one graph for each bucket of rows and
columns, each option of sampling and set of eos tokens. Rows of a bucket that are not in use draw what nobody reads.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from labkit.sampling.choose import SamplingOptions
from labkit.sampling.fused import FusedDecoder, Spans
from labkit.sampling.slots import Slots
from labkit.sampling.ways import Decoder

Replay = Callable[[], None]
COLUMN_BUCKET = 128  # columns of a graph are a multiple of this


def one_step(decoder: Decoder, slots: Slots, spans: Spans) -> None:
    """Feeds the newest token of each slot to the model and draws the next."""
    rows = spans[-1][0]
    logits = decoder.step(slots.last[:rows], slots.positions(rows), spans)
    slots.draw(slice(0, rows), logits)


class Stepper:
    """Steps that are computed operation by operation."""

    def __init__(self, decoder: Decoder, slots: Slots) -> None:
        self.decoder, self.slots = decoder, slots
        self.on_cpu = slots.last.device.type == "cpu"
        # Newcomers wait for half of the slots on a CPU: see `batching`.
        self.refill_share = 0.5 if self.on_cpu else 0.9

    def look_every(self, texts: bool) -> int:
        """After how many steps somebody looks who has ended. Looking for texts costs more than for flags."""
        if self.on_cpu:
            return 4 if texts else 1
        return 16

    def run(self, spans: Spans, steps: int) -> None:
        """So many steps of the slots and columns in `spans`."""
        for _ in range(steps):
            one_step(self.decoder, self.slots, spans)


class GraphStepper(Stepper):
    """Steps that are replayed. `record`: makes something that can be replayed of a function without arguments."""

    def __init__(
        self, decoder: FusedDecoder, slots: Slots, record: Callable[[Callable[[], None]], Replay] | None = None
    ) -> None:
        super().__init__(decoder, slots)
        self.record = record or CudaRecorder().record
        self.graphs: dict[tuple, tuple[Replay, Tensor, Tensor | None]] = {}

    def run(self, spans: Spans, steps: int) -> None:
        replay = self.graph(spans[-1][0], max(columns for _, columns in spans))
        for _ in range(steps):
            replay()

    def graph(self, rows: int, columns: int) -> Replay:
        """The graph of the smallest bucket that holds so many rows and columns; captured if it is the first time."""
        rows = min(row_bucket(rows), self.slots.size)
        columns = min(-(-columns // COLUMN_BUCKET) * COLUMN_BUCKET, self.decoder.columns)
        unwritten = self.slots.unwritten
        key: tuple[int, int, SamplingOptions, tuple[int, ...], int]
        key = (rows, columns, self.slots.options, self.slots.eos_ids, id(unwritten))
        if key not in self.graphs:
            spans = ((rows, columns),)
            before = [tensor.clone() for tensor in self.slots.belongings]
            replay = self.record(lambda: one_step(self.decoder, self.slots, spans))
            for tensor, old in zip(self.slots.belongings, before, strict=True):  # recording drew tokens
                tensor.copy_(old)
            # The graph reads these tensors: they must not be freed.
            self.graphs[key] = (replay, self.slots.eos, unwritten)
        return self.graphs[key][0]


class CudaRecorder:
    """Records CUDA graphs, all of which share the memory of their intermediate results."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream()

    def record(self, function: Callable[[], None]) -> Replay:
        """Runs the function twice, so that libraries set themselves up, then captures it; returns `replay`."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(2):
                function()
        torch.cuda.current_stream().wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            function()
        return graph.replay


def row_bucket(rows: int) -> int:
    """Powers of two up to 64, multiples of 64 beyond.

    >>> [row_bucket(rows) for rows in (1, 3, 33, 64, 65, 500)]
    [1, 4, 64, 64, 128, 512]
    """
    return 1 << (rows - 1).bit_length() if rows <= 64 else -(-rows // 64) * 64
