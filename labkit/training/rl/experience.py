"""What an RL step learns from: scored rollouts, and the columns that algorithms need beside rewards.

A column is filled by a helper (`labkit.training.rl.helper`): log-probs under a frozen reference, a critic's values, the
reward of a greedy answer. So `rl_step` needs no branch per algorithm, and a run pays only for what it needs.
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

    `algorithm`: the recipe's, with the KL coefficient of this step. `old`: the log-probs that the policy's ratio is
    taken to, and `weights`: factors of the advantages that correct for the sampler (`OwnLogprobs` changes both; by
    default the sampler's own log-probs and ones). `ref`: log-probs under the frozen reference, `kl`: the k1 estimate of
    each token's KL from it. `values`: what the critic expects before each token. `process`: a reward for each token.
    `greedy` [batch]: for each row, the reward of its prompt's greedy answer.

    From these `rl_step` computes `advantages` and `returns` [batch, time], and `kept` [batch]: the rows to train on.
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
        """Takes over what was computed of the rewards."""
        self.advantages, self.returns, self.kept = advantages, returns, kept

    @property
    def sequence_kl(self) -> Float[Tensor, " batch"] | None:
        """The KL estimate of each whole answer, in nats; None without a reference."""
        return None if self.kl is None else self.kl.sum(1)

    @cached_property
    def row_lengths(self) -> Int[Tensor, " batch"]:
        """Tokens of each row with its prompt. On the CPU, so that cutting the batch does not wait for a GPU."""
        return self.rollouts.total_lengths.cpu()

    @cached_property
    def answer_lengths(self) -> Int[Tensor, " batch"]:
        """Tokens of each row without its prompt, on the CPU."""
        return self.rollouts.mask.sum(1).cpu()
