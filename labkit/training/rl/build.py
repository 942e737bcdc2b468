"""Builds the learner of an RL run from its recipe, and makes the choices once, so that `rl_step` has no branches."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from labkit.models import Policy, train_with
from labkit.recipes.schema import Recipe
from labkit.runs import Run
from labkit.tasks import Task
from labkit.training.loop.checkpoints import Stateful
from labkit.training.loop.loop import Learner, Observer, train_loop
from labkit.training.loop.measure import records
from labkit.training.loop.memory import Budget
from labkit.training.loop.optim import make_optimizer
from labkit.training.rl.critic import Values
from labkit.training.rl.greedy import GreedyBaseline
from labkit.training.rl.helper import Helper, Setup, Sizes
from labkit.training.rl.longest import try_longest
from labkit.training.rl.process import ProcessReward
from labkit.training.rl.reference import OwnLogprobs, Reference
from labkit.training.rl.staleness import PastPolicies
from labkit.training.rl.step import RLLearner, rl_step
from labkit.training.rl.update import Objective

HELPERS: tuple[type[Helper], ...] = (GreedyBaseline, Reference, Values, OwnLogprobs, ProcessReward, PastPolicies)
"""All helpers, in the order in which `rl_step` calls them. A new helper takes one class, and its name here."""


def make_rl_learner(recipe: Recipe, policy: Policy, task: Task, reference: Policy | None = None) -> RLLearner:
    """Everything that `rl_step` needs. If a reference is needed but not given, it is a copy of the present policy."""
    settings, budget = recipe.optimizer, Budget(recipe.optimizer.microbatch_tokens, policy.device)
    setup = Setup(recipe, policy, task, reference, budget)
    helpers = [kind(setup) for kind in HELPERS if kind.needed_by(recipe)]
    train_with(policy.model, settings.gradient_checkpointing, settings.compile)
    objective = Objective(policy.model, recipe)
    for helper in helpers:
        objective = helper.objective(objective)
    optimizer = make_optimizer(objective.modules, settings.lr, settings.betas, settings.weight_decay)
    return RLLearner(
        recipe, policy, task, recipe.preset(), objective, optimizer, budget, helpers, setup.sampling_policy
    )


def make_learner(recipe: Recipe, policy: Policy, task: Task, reference: Policy | None = None) -> Learner:
    """The learner of an RL run, for the loop that all trainers share: step, parts of a checkpoint, shown metrics."""
    learner = make_rl_learner(recipe, policy, task, reference)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        experience, metrics = rl_step(learner, number)
        rollouts, advantages = experience.rollouts, experience.advantages
        return metrics, records(rollouts, advantages, number, recipe.rollouts_logged, policy, experience.process)

    parts: Mapping[str, Stateful] = {"budget": learner.budget}
    for helper in learner.helpers:
        parts = {**parts, **helper.state}
    shown = {"reward_mean": "reward", "pass_rate": "passed", "gold_mean": "gold", "response_length": "length"}
    return Learner(policy, learner.optimizer, step, parts, shown, begin=partial(try_longest, learner))


def helper_bytes(recipe: Recipe, sizes: Sizes) -> int:
    """The bytes of weights and optimiser state that the helpers of a run add to those of the policy."""
    return sum(kind.memory(recipe, sizes) for kind in HELPERS if kind.needed_by(recipe))


def train_rl(
    recipe: Recipe,
    run: Run,
    policy: Policy,
    task: Task,
    observer: Observer | None = None,
    progress: bool = True,
    reference: Policy | None = None,
) -> int:
    """Trains `policy` in place, from the run's newest checkpoint on; returns the number of steps done so far."""
    return train_loop(recipe, run, make_learner(recipe, policy, task, reference), observer, progress)
