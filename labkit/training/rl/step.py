"""Reinforcement learning for language models: the whole loop.

    for each step:
        draw prompts                                    task.sample
        sample a group of completions for each          sample
        score every completion                          score
        add what the algorithm needs besides rewards    helpers (`labkit.training.rl.helper`)
        turn rewards into advantages                    algorithm.token_advantages
        take optimiser steps on the policy loss         update (`labkit.training.rl.update`)

There is no branch per algorithm: REINFORCE, RLOO, GRPO, Dr.GRPO, DAPO and PPO are presets of the same pure functions
(`labkit.algorithms.PRESETS`). Some algorithms need more than rewards: a frozen reference, a critic, a greedy answer.
Each of these is a helper, and `labkit.training.rl.build` chooses the helpers of a run once, before the first step.

Some things are simple on purpose. Sampling and training take turns on one device, so no weights are transferred, and
samples come from an older policy only if `staleness` asks for it. There is one reward per completion, at its end. There
is no replay and no curriculum.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from labkit.algorithms import Preset
from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training.loop.measure import Stopwatch, describe, refuse_broken_rewards
from labkit.training.loop.memory import Budget
from labkit.training.loop.optim import learning_rate
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.helper import Helper
from labkit.training.rl.update import Objective, update


@dataclass
class RLLearner:
    """Everything that an RL step needs. `make_rl_learner` (`labkit.training.rl.build`) makes it from a recipe.

    Inside the context `sampling_policy`, the policy has the weights that draw samples: its own, or older ones
    (`staleness`). `budget` says how many tokens a micro-batch may have.
    """

    recipe: Recipe
    policy: Policy
    task: Task
    algorithm: Preset
    objective: Objective
    optimizer: torch.optim.Optimizer
    budget: Budget
    helpers: Sequence[Helper] = ()
    sampling_policy: Callable[[], AbstractContextManager[None]] = nullcontext

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, from the recipe's schedule."""
        options = self.recipe.optimizer
        return learning_rate(step, self.recipe.steps, options.lr, options.warmup, options.schedule)


def rl_step(learner: RLLearner, step: int, problems: list[Problem] | None = None) -> tuple[Experience, Metrics]:
    """Takes one step, from prompts to new weights. Returns the experience of the step, and its metrics.

    `problems` replace those that the step would draw. Raises RunError if a reward model returns NaN or infinity, and
    NotFiniteError if the policy, the reference or the critic does.
    """
    policy, task, drawing = learner.policy, learner.task, learner.recipe.sampling
    clock, seed = Stopwatch(policy.device), step_seed(learner.recipe.seed, step)
    problems = problems or task.sample(drawing.prompts, "train", seed=seed)
    options = drawing.model_dump(exclude={"prompts", "samples"})
    with clock("sample"), learner.sampling_policy():
        rollouts = sample(policy, [p.prompt for p in problems], n=drawing.samples, seed=seed, **options)
    with clock("verify"):
        rollouts = score(rollouts, task, problems)
        refuse_broken_rewards(rollouts)
    experience = Experience(rollouts, learner.algorithm, step, clock)
    metrics: Metrics = {"step": step, **describe(rollouts, task)}
    clock.begin("logprobs")  # every step reports this time, also if no helper needs log-probs
    for helper in learner.helpers:
        with clock(helper.part):
            metrics |= helper(experience)
    algorithm, groups = experience.algorithm, rollouts.groups
    lengths = (rollouts.lengths, drawing.max_new_tokens)
    rewards = algorithm.shape_rewards(rollouts.rewards, *lengths, experience.sequence_kl)
    columns = {name: getattr(experience, name) for name in ("kl", "values", "greedy", "process")}
    # Compute advantages before any row is left out, because they compare all rows of a group.
    advantages, returns = algorithm.token_advantages(rewards, groups, rollouts.mask, **columns)
    experience.take(advantages, returns, algorithm.keep(rewards, groups))
    with clock("train"):
        metrics |= update(learner, experience)
    for helper in learner.helpers:
        metrics |= helper.after(experience)
    return experience, metrics | clock.read(metrics["tokens"], rollouts.timings)


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's prompts and samples. It depends only on the run's seed and the step, so runs can resume."""
    return seed * 1_000_003 + step
