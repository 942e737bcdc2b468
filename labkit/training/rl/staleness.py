"""Samples of an older policy, as asynchronous training has them: the sampler works with the weights of k steps ago."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from labkit.recipes.schema import Recipe
from labkit.training.loop.checkpoints import Stateful
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.helper import Helper, Setup, Sizes


class PastPolicies(Helper):
    """The trained weights of the last `staleness` steps; a checkpoint keeps them, so that a run can be resumed.

    Weights are copied into the model and back, never exchanged, so that other parts which share their memory stay
    right.
    """

    part = "sample"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        parameters = setup.policy.model.named_parameters()
        self.weights = {name: value for name, value in parameters if value.requires_grad}
        self.kept: deque[dict[str, Tensor]] = deque(maxlen=setup.recipe.staleness)
        setup.sampling_policy = self.sampling

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """Where samples are to be some steps old."""
        return recipe.staleness > 0

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """A copy of the trained weights for each step of age."""
        return recipe.staleness * sizes.trained

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Inside, the model has the oldest weights that are kept (in the first steps: those that the run began with);
        afterwards it has its own again."""
        now = self._copy()
        try:
            self._become(self.kept[0] if self.kept else now)
            yield
        finally:
            self._become(now)

    def __call__(self, experience: Experience) -> Metrics:
        """Keeps the weights of before this step's update. The last of the helpers to be called: those before it may
        still sample."""
        self.kept.append(self._copy())
        return {}

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.weights.items()}

    @torch.no_grad()
    def _become(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self.weights.items():
            value.copy_(weights[name])

    @property
    def state(self) -> Mapping[str, Stateful]:
        """The weights that are kept."""
        return {"past": self}

    def state_dict(self) -> dict[str, Any]:
        """The weights that are kept, the oldest with number 0."""
        return {f"{age}:{name}": value for age, one in enumerate(self.kept) for name, value in one.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes the weights over."""
        self.kept.clear()
        for age in range(len(state) // len(self.weights)):
            self.kept.append({name: state[f"{age}:{name}"] for name in self.weights})
