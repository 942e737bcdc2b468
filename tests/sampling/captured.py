"""The way of CUDA on a CPU: captured steps that are replaced by the steps themselves, and CUDA's rounding of sizes."""

from collections.abc import Callable

import pytest

from labkit.sampling import workspace
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.slots import Slots
from labkit.sampling.stepping import GraphStepper

SHARE = 16 * 384 * 256  # bytes that the cache may take: 16 rows of 384 tokens of a small model


class Recorded(GraphStepper):
    """The steps of CUDA on a CPU: recording runs the function twice and remembers it, as a graph is warmed up."""

    def __init__(self, decoder: FusedDecoder, slots: Slots) -> None:
        self.recorded = self.replayed = 0
        super().__init__(decoder, slots, self.remember)
        self.on_cpu, self.refill_share = False, 0.9

    def remember(self, function: Callable[[], None]) -> Callable[[], None]:
        """What a recorder of graphs does, with the function itself in place of the graph."""
        self.recorded += 1
        function()
        function()

        def replay() -> None:
            self.replayed += 1
            function()

        return replay


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sample` takes the way of CUDA: buffers of rounded sizes that are kept, whole buckets of rows, graphs.

    A CPU raises IndexError where CUDA would end the process: for a position outside the cache.
    """
    monkeypatch.setattr(workspace, "captures", lambda device: True)
    monkeypatch.setattr(workspace, "GraphStepper", Recorded)
    monkeypatch.setattr(workspace, "cache_share", lambda device: SHARE)
