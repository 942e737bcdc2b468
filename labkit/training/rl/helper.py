"""Helpers: what an algorithm needs beside the policy, one class for each, next to what it wraps.

A run has the helpers that its recipe needs (`labkit.training.rl.build` chooses them); `rl_step` asks each of them
before the update and once more after it.
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
    """What helpers are built from: the recipe, the policy as it begins, the task, and what helpers share.

    `given_reference`: the frozen model that the run was given; by default it is the policy as it begins. `budget`: the
    micro-batch budget of the run. `sampling_policy`: a context in which the policy has the weights that sample.
    """

    recipe: Recipe
    policy: Policy
    task: Task
    given_reference: Policy | None
    budget: Budget
    sampling_policy: Callable[[], AbstractContextManager[None]] = nullcontext

    @cached_property
    def frozen(self) -> nn.Module:
        """The frozen reference, one for all helpers that need it."""
        if self.given_reference is not None:
            return self.given_reference.model
        return copy.deepcopy(self.policy.model).requires_grad_(False)


@dataclass(frozen=True)
class Sizes:
    """Bytes of the policy's weights, and of those of them that are trained."""

    weights: int
    trained: int


class Helper:
    """Something beside the policy that an algorithm needs. A run has those whose `needed_by(recipe)` is true.

    A subclass stands next to what it wraps, and is named once, in `labkit.training.rl.build.HELPERS`.
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
        """Bytes of weights and optimiser state that the helper adds to a run, beside the policy's own."""
        return 0

    def __call__(self, experience: Experience) -> Metrics:
        """Before the update: fills the helper's column; returns metrics."""
        return {}

    def objective(self, objective: Objective) -> Objective:
        """What is minimised, with the helper's own loss where it has one; `objective`: without it."""
        return objective

    def after(self, experience: Experience) -> Metrics:
        """After the update: returns metrics; steers what the next step will use."""
        return {}

    @property
    def state(self) -> Mapping[str, Stateful]:
        """What a checkpoint must hold of it, by the name of the checkpoint's file."""
        return {}
