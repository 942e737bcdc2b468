"""The way of CUDA on a CPU: captured steps that are replaced by the steps themselves, and CUDA's rounding of sizes."""

import copy
from collections.abc import Callable

import pytest
import torch

from labkit.models import Policy
from labkit.rollouts import Rollouts
from labkit.sampling import workspace
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.slots import Slots
from labkit.sampling.stepping import GraphStepper
from tests.sampling.small_models import small_policy

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


# --------------------------------------------------------------------------- policies and prompts for calls in a row

CONTEXT = 384  # tokens: three buckets of columns
SHORT = "1+2:"


def ending(context: int = CONTEXT) -> Policy:
    """A policy whose rows end at all times, so that many of them move to other slots."""
    policy = small_policy("llama", seed=5, max_position_embeddings=context)
    policy.eos_ids = frozenset(range(4, 10))
    return policy


def like(policy: Policy) -> Policy:
    """The same policy with an engine of its own."""
    other = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.name)
    other.eos_ids = policy.eos_ids
    return other


def text(length: int) -> str:
    """A prompt of about so many tokens."""
    return "5,6,1->30:" + ",7" * max(0, (length - 10) // 2)


def same(ours: Rollouts, fresh: Rollouts) -> None:
    """Raises AssertionError unless both hold the same tokens, and the same log-probs up to rounding."""
    assert torch.equal(ours.tokens, fresh.tokens) and torch.equal(ours.mask, fresh.mask)
    assert torch.equal(ours.truncated, fresh.truncated) and ours.completions == fresh.completions
    torch.testing.assert_close(ours.logprobs, fresh.logprobs, rtol=0, atol=1e-4)
