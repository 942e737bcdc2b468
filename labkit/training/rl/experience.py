"""The data of an RL step: scored rollouts, and the columns that algorithms need in addition to rewards.

A helper (`labkit.training.rl.helper`) fills each column: log-probs under a frozen reference, a critic's values, the
reward of a greedy answer. So `rl_step` needs no branch per algorithm, and a run computes only the columns it needs.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms import Preset
from labkit.rollouts import Rollouts
from labkit.training.loop.measure import Stopwatch

Metrics = dict[str, Any]


@dataclass
class Experience:
    """Scored rollouts, and the columns that helpers fill: [batch, time] tensors, 0 outside `rollouts.mask`.

    - `algorithm`: the recipe's algorithm, with the KL coefficient of this step.
    - `old`: log-probs (nats) in the denominator of the policy's ratio; by default those of the sampler.
    - `weights`: factors of the advantages that correct for the sampler; by default 1. `OwnLogprobs` changes both.
    - `ref`: log-probs (nats) under the frozen reference; `kl`: the k1 estimate of each token's KL from it.
    - `values`: the return that the critic expects before each token is chosen.
    - `process`: the reward of each token, from a process reward model.
    - `greedy` [batch]: for each row, the reward of the greedy answer to its prompt.

    From these, `rl_step` computes `advantages` and `returns` [batch, time], and `kept` [batch]: the rows to train on.
    """

    rollouts: Rollouts
    algorithm: Preset
    step: int
    clock: Stopwatch
    old: Float[Tensor, "batch time"] = field(init=False)
    weights: Float[Tensor, "batch time"] = field(init=False)
    ref: Float[Tensor, "batch time"] | None = None
    kl: Float[Tensor, "batch time"] | None = None
    values: Float[Tensor, "batch time"] | None = None
    process: Float[Tensor, "batch time"] | None = None
    greedy: Float[Tensor, " batch"] | None = None
    advantages: Float[Tensor, "batch time"] = field(init=False)
    returns: Float[Tensor, "batch time"] = field(init=False)
    kept: Bool[Tensor, " batch"] = field(init=False)

    def __post_init__(self) -> None:
        self.old, self.weights = self.rollouts.logprobs, torch.ones_like(self.rollouts.logprobs)

    def take(self, advantages: Tensor, returns: Tensor, kept: Tensor) -> None:
        """Stores what `rl_step` computed from the rewards."""
        self.advantages, self.returns, self.kept = advantages, returns, kept

    @property
    def sequence_kl(self) -> Float[Tensor, " batch"] | None:
        """The KL estimate of each whole answer, in nats; None without a reference."""
        return None if self.kl is None else self.kl.sum(1)

    @cached_property
    def row_lengths(self) -> Int[Tensor, " batch"]:
        """The tokens of each row with its prompt, on the CPU, so that cutting the batch does not wait for a GPU."""
        return self.rollouts.total_lengths.cpu()

    @cached_property
    def host_mask(self) -> Bool[Tensor, "batch time"]:
        """`rollouts.mask` on the CPU, copied once for all micro-batches of a step."""
        return self.rollouts.mask.cpu()

    @cached_property
    def answer_lengths(self) -> Int[Tensor, " batch"]:
        """The tokens of each row without its prompt, on the CPU."""
        return self.host_mask.sum(1)
