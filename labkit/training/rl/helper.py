"""Helpers: the things that an algorithm needs in addition to the policy. Each is a class, next to the code it uses.

A run has the helpers that its recipe needs (`labkit.training.rl.build` chooses them). `rl_step` calls each of them
before the update, and once more after it.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import nn

from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.tasks import Task
from labkit.training.loop.checkpoints import Stateful
from labkit.training.loop.memory import Budget
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.update import Objective


@dataclass
class Setup:
    """The arguments of every helper: the recipe, the policy before training, the task, and what helpers share.

    `given_reference` is the frozen model that the run was given, if any; otherwise the reference is a copy of the
    policy before training. `budget` is the micro-batch budget of the run. Inside the context `sampling_policy`, the
    policy has the weights that draw samples.
    """

    recipe: Recipe
    policy: Policy
    task: Task
    given_reference: Policy | None
    budget: Budget
    sampling_policy: Callable[[], AbstractContextManager[None]] = nullcontext

    @cached_property
    def frozen(self) -> nn.Module:
        """The frozen reference. All helpers that need it share this one."""
        if self.given_reference is not None:
            return self.given_reference.model
        return copy.deepcopy(self.policy.model).requires_grad_(False)


@dataclass(frozen=True)
class Sizes:
    """The bytes of the policy's weights, and of the trained part of them."""

    weights: int
    trained: int


class Helper:
    """Something that an algorithm needs in addition to the policy. A run has a helper if `needed_by(recipe)` is True.

    A subclass stands in the module of the code that it uses, and in the list `labkit.training.rl.build.HELPERS`.
    """

    part: ClassVar[str] = "helpers"
    """The name of the metric (`time_<part>`) under which its seconds count."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """Whether a run of this recipe needs the helper."""
        raise NotImplementedError

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """The bytes of weights and optimiser state that the helper adds to those of the policy."""
        return 0

    def __call__(self, experience: Experience) -> Metrics:
        """Is called before the update: fills the helper's column, and returns metrics."""
        return {}

    def objective(self, objective: Objective) -> Objective:
        """The objective to minimise: the given one or, if the helper has a loss of its own, one that includes it."""
        return objective

    def after(self, experience: Experience) -> Metrics:
        """Is called after the update: returns metrics, and can change the helper's state for the next step."""
        return {}

    @property
    def state(self) -> Mapping[str, Stateful]:
        """The helper's parts that a checkpoint must hold, by the name of their file in the checkpoint."""
        return {}
