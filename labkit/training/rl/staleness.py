"""Samples from an older policy, as in asynchronous training: the sampler uses the weights of k steps ago."""

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
    """The trained weights of the last `staleness` steps. A checkpoint keeps them, so that a run can be resumed.

    The weights are copied into the model's own tensors and back. The tensors are never replaced, so that other parts
    that share their memory stay correct.
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
        """True if the recipe asks for samples from an older policy."""
        return recipe.staleness > 0

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """One copy of the trained weights per step of age."""
        return recipe.staleness * sizes.trained

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Gives the model the oldest kept weights inside the context, and its own weights again afterwards.

        In the first steps, the oldest weights are those with which the run began.
        """
        now = self._copy()
        try:
            self._become(self.kept[0] if self.kept else now)
            yield
        finally:
            self._become(now)

    def __call__(self, experience: Experience) -> Metrics:
        """Keeps a copy of the weights before this step's update.

        This helper must be called last, because the helpers before it may still draw samples.
        """
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
        """The kept weights, as the file `past` of a checkpoint."""
        return {"past": self}

    def state_dict(self) -> dict[str, Any]:
        """The kept weights, by number and name; the oldest have number 0."""
        return {f"{age}:{name}": value for age, one in enumerate(self.kept) for name, value in one.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replaces the kept weights by the saved ones."""
        self.kept.clear()
        for age in range(len(state) // len(self.weights)):
            self.kept.append({name: state[f"{age}:{name}"] for name in self.weights})
