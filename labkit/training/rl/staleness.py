"""Samples of an older policy, as asynchronous training has them: the sampler works with the weights of k steps ago."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class PastPolicies:
    """The trained weights of the last `age` steps; a checkpoint keeps them, so that a run can be resumed.

    Weights are copied into the model and back, never exchanged: whoever shares their memory stays right.
    """

    def __init__(self, model: nn.Module, age: int) -> None:
        self.weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.kept: deque[dict[str, Tensor]] = deque(maxlen=age)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Inside, the model is the oldest one kept (in the first steps: the one that the run began with); afterwards it
        is itself again, and is kept. Once a step."""
        now = {name: value.detach().clone() for name, value in self.weights.items()}
        try:
            self._become(self.kept[0] if self.kept else now)
            yield
        finally:
            self._become(now)
        self.kept.append(now)

    @torch.no_grad()
    def _become(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self.weights.items():
            value.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """The weights kept, the oldest with number 0."""
        return {f"{age}:{name}": value for age, one in enumerate(self.kept) for name, value in one.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes them over."""
        self.kept.clear()
        for age in range(len(state) // len(self.weights)):
            self.kept.append({name: state[f"{age}:{name}"] for name in self.weights})
