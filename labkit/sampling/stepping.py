"""Decoding steps of all slots: operation by operation, or as a CUDA graph that was captured once.

A decoding step of a small model runs hundreds of small kernels. If Python starts them one by one, the GPU waits for
Python before each of them. A graph starts them all with one call. But a captured graph has fixed shapes, addresses and
options. So slots, cache and weights are static buffers that are filled in place. There is one graph per bucket of rows
and columns, per set of sampling options, and per set of eos tokens. A bucket can have more rows than are in use: the
tokens that these rows draw are ignored.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from labkit.sampling.choose import SamplingOptions
from labkit.sampling.fused import FusedDecoder, Spans
from labkit.sampling.slots import Slots
from labkit.sampling.ways import Decoder

Replay = Callable[[], None]
COLUMN_BUCKET = 128  # the number of columns of a graph is a multiple of this


def one_step(decoder: Decoder, slots: Slots, spans: Spans) -> None:
    """Feeds the newest token of each slot to the model, and draws the next token."""
    rows = spans[-1][0]
    logits = decoder.step(slots.last[:rows], slots.positions(rows), spans)
    slots.draw(slice(0, rows), logits)


class Stepper:
    """Runs steps operation by operation."""

    def __init__(self, decoder: Decoder, slots: Slots) -> None:
        self.decoder, self.slots = decoder, slots
        self.on_cpu = slots.last.device.type == "cpu"
        # New rows are admitted when at most this share of the slots is in use: see `batching`.
        self.refill_share = 0.5 if self.on_cpu else 0.9

    def look_every(self, texts: bool) -> int:
        """The number of steps between two looks at the rows, to see which have ended.

        `texts`: each look also searches texts for stop strings, which takes longer than reading flags.
        """
        if self.on_cpu:
            return 4 if texts else 1
        return 16

    def run(self, spans: Spans, steps: int) -> None:
        """Runs so many steps on the slots and columns of `spans`."""
        for _ in range(steps):
            one_step(self.decoder, self.slots, spans)


class GraphStepper(Stepper):
    """Replays recorded steps. `record` turns a function without arguments into a function that replays it."""

    def __init__(
        self, decoder: FusedDecoder, slots: Slots, record: Callable[[Callable[[], None]], Replay] | None = None
    ) -> None:
        super().__init__(decoder, slots)
        self.fused = decoder
        self.record = record or CudaRecorder().record
        self.graphs: dict[tuple, tuple[Replay, Tensor, Tensor | None]] = {}

    def run(self, spans: Spans, steps: int) -> None:
        replay = self.graph(spans[-1][0], max(columns for _, columns in spans))
        for _ in range(steps):
            replay()

    def graph(self, rows: int, columns: int) -> Replay:
        """The graph of the smallest bucket that holds so many rows and columns. The first request captures it."""
        rows = min(row_bucket(rows), self.slots.size)
        columns = min(-(-columns // COLUMN_BUCKET) * COLUMN_BUCKET, self.fused.columns)
        unwritten = self.slots.unwritten
        key: tuple[int, int, SamplingOptions, tuple[int, ...], int]
        key = (rows, columns, self.slots.options, self.slots.eos_ids, id(unwritten))
        if key not in self.graphs:
            spans = ((rows, columns),)
            before = [tensor.clone() for tensor in self.slots.belongings]
            replay = self.record(lambda: one_step(self.decoder, self.slots, spans))
            for tensor, old in zip(self.slots.belongings, before, strict=True):  # recording drew tokens
                tensor.copy_(old)
            # The graph reads these tensors, so they must not be freed before it.
            self.graphs[key] = (replay, self.slots.eos, unwritten)
        return self.graphs[key][0]


class CudaRecorder:
    """Records CUDA graphs. All graphs share the memory of their intermediate results."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream()

    def record(self, function: Callable[[], None]) -> Replay:
        """Runs the function twice, so that libraries initialise themselves, then captures it; returns its `replay`."""
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
    """The smallest bucket for so many rows. Buckets are powers of two.

    Each capture waits for the device and empties PyTorch's cache of memory. So a few wide buckets are better than many
    narrow ones: 1024 rows that end one by one need 11 captures for each bucket of columns.

    >>> [row_bucket(rows) for rows in (1, 3, 33, 64, 65, 500)]
    [1, 4, 64, 64, 128, 512]
    """
    return 1 << (rows - 1).bit_length()
