"""Reinforcement learning for language models: the loop, whole.

    for each step:
        draw prompts                                   task.sample
        sample a group of completions for each         sample
        score every completion                         score
        turn scores into advantages                    preset.token_advantages
        take optimiser steps on the policy loss        update

There is no branch per algorithm: REINFORCE, RLOO, GRPO, Dr.GRPO, DAPO and PPO are presets of the same pure functions
(`labkit.algorithms.PRESETS`). Some need more than rewards: a frozen reference, a critic, a greedy answer.

What is simplified, on purpose: sampling and training take turns on one device (no weight transfer; samples of an older
policy only where `staleness` asks for them); one reward a completion, given at its end; no replay, no curriculum.
"""

import copy
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.algorithms import kl_estimate
from labkit.models import Policy, train_with
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts, score
from labkit.runs import Run
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training.loop.loop import Learner, Observer, train_loop
from labkit.training.loop.measure import Stopwatch, describe, records, refuse_broken_rewards
from labkit.training.loop.memory import Budget
from labkit.training.loop.optim import learning_rate, make_optimizer
from labkit.training.rl.critic import Critic, explained_variance
from labkit.training.rl.kl_control import Controller
from labkit.training.rl.longest import try_longest
from labkit.training.rl.process import ImplicitPRM
from labkit.training.rl.staleness import PastPolicies
from labkit.training.rl.update import Judged, reference_logprobs, update


@dataclass
class Helpers:
    """What some runs need beside the policy: a frozen reference, a critic, a steered KL coefficient, a process reward
    model that learns along, older policies to sample from, a micro-batch budget that remembers what did not fit."""

    reference: nn.Module | None = None
    critic: Critic | None = None
    controller: Controller | None = None
    prm: ImplicitPRM | None = None
    past: PastPolicies | None = None
    budget: Budget | None = None


def rl_step(
    recipe: Recipe,
    step: int,
    policy: Policy,
    task: Task,
    optimizer: torch.optim.Optimizer,
    helpers: Helpers | None = None,
    problems: list[Problem] | None = None,
) -> tuple[Rollouts, Float[Tensor, "batch time"], dict[str, Any]]:
    """One step, from prompts to new weights; returns the scored rollouts, their tokens' advantages, and the metrics.

    `problems`: instead of the step's own draw. Raises RunError where a reward model returns no number.
    """
    helpers = helpers or Helpers()
    preset, drawing, settings, clock = recipe.preset(), recipe.sampling, recipe.optimizer, Stopwatch(policy.device)
    reference, critic, controller, prm = helpers.reference, helpers.critic, helpers.controller, helpers.prm
    budget = helpers.budget or Budget(settings.microbatch_tokens, policy.device)
    if controller is not None:
        preset = replace(preset, kl_coef=controller.coef)
    seed = step_seed(recipe.seed, step)
    if problems is None:
        problems = task.sample(drawing.prompts, "train", seed=seed)
    prompts = [problem.prompt for problem in problems]
    options = drawing.model_dump(exclude={"prompts", "samples"})
    greedy = ref = kl = values = own = None
    with clock("sample"), helpers.past.sampling() if helpers.past else nullcontext():
        rollouts = sample(policy, prompts, n=drawing.samples, seed=seed, **options)
        if preset.greedy_baseline:
            greedy = sample(policy, prompts, n=1, seed=seed, **options | {"temperature": 0.0})
    with clock("verify"):
        rollouts = score(rollouts, task, problems)
        refuse_broken_rewards(rollouts)
        if greedy is not None:
            greedy = score(greedy, task, problems).rewards[rollouts.groups]
    with clock("logprobs"):
        if reference is not None:
            ref = reference_logprobs(reference, rollouts, drawing.temperature, budget)
            kl = torch.where(rollouts.mask, kl_estimate(rollouts.logprobs, ref, "k1"), 0.0)
        if critic is not None:
            values = critic.values(policy.model, rollouts, budget)
        if preset.importance_cap is not None:
            own = reference_logprobs(policy.model, rollouts, drawing.temperature, budget)
    learnt: dict[str, Any] = {}
    if prm is not None:
        with clock("process"):
            process, learnt = prm.learn_and_judge(rollouts, recipe, step, budget)
        rollouts = replace(rollouts, process=process)
    kl_of_rows = None if kl is None else kl.sum(1)
    rewards = preset.shape_rewards(rollouts.rewards, rollouts.lengths, drawing.max_new_tokens, kl_of_rows)
    # Advantages come before any row is dropped: a group is judged whole.
    advantages, returns = preset.token_advantages(
        rewards, rollouts.groups, rollouts.mask, kl=kl, values=values, greedy=greedy, process=rollouts.process
    )
    kept = preset.keep(rewards, rollouts.groups)
    lr = learning_rate(step, recipe.steps, settings.lr, settings.warmup, settings.schedule)
    judged = None if critic is None else Judged(critic, values, returns)
    with clock("train"):
        measured = {"own_logprobs": own, "budget": budget, "clock": clock}
        stats = update(policy.model, optimizer, rollouts, advantages, kept, recipe, preset, lr, ref, judged, **measured)
    metrics = {"step": step, **describe(rollouts, task), **stats, **learnt, "lr": lr}
    if kl_of_rows is not None:  # over all samples, as they were drawn
        metrics |= {"kl": float(kl.sum() / rollouts.mask.sum()), "kl_coef": float(preset.kl_coef)}
    if critic is not None:
        metrics["explained_variance"] = explained_variance(values, returns, rollouts.mask)
    if controller is not None:
        controller.update(float(kl_of_rows.mean()), len(rollouts))
    for part, seconds in rollouts.timings.items():
        clock.add(part, seconds)
    return rollouts, advantages, metrics | clock.read(metrics["tokens"])


def make_learner(recipe: Recipe, policy: Policy, task: Task, reference: Policy | None = None) -> Learner:
    """What an RL run trains, and its step. `reference`: by default the policy as it is now, where one is needed."""
    preset, settings, helpers = recipe.preset(), recipe.optimizer, Helpers()
    if reference is not None:
        helpers.reference = reference.model
    elif preset.kl_coef or recipe.reward_model:  # with a learnt reward the distance is worth knowing anyway
        helpers.reference = copy.deepcopy(policy.model).requires_grad_(False)
    if preset.critic:
        helpers.critic = Critic(policy, recipe.critic.trunk)
    if recipe.kl_control is not None:
        helpers.controller = Controller(preset.kl_coef, recipe.kl_control)
    if preset.process_coef:
        frozen = helpers.reference or copy.deepcopy(policy.model).requires_grad_(False)
        start = policy.model if reference is None else reference.model
        helpers.prm = ImplicitPRM(copy.deepcopy(start), frozen, recipe)
    if recipe.staleness:
        helpers.past = PastPolicies(policy.model, recipe.staleness)
    helpers.budget = Budget(settings.microbatch_tokens, policy.device)
    train_with(policy.model, settings.gradient_checkpointing, settings.compile)
    modules = nn.ModuleList([policy.model, *([helpers.critic] if helpers.critic else [])])
    optimizer = make_optimizer(modules, settings.lr, settings.betas, settings.weight_decay)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        rollouts, advantages, metrics = rl_step(recipe, number, policy, task, optimizer, helpers)
        return metrics, records(rollouts, advantages, number, recipe.rollouts_logged, policy)

    parts = {"critic": helpers.critic, "kl_control": helpers.controller, "process_reward": helpers.prm}
    parts |= {"past": helpers.past, "budget": helpers.budget}
    shown = {"reward_mean": "reward", "pass_rate": "passed", "gold_mean": "gold", "response_length": "length"}
    parts = {name: part for name, part in parts.items() if part is not None}
    begin = partial(try_longest, recipe, policy, task, optimizer, helpers.budget)
    return Learner(policy, optimizer, step, parts, shown, begin)


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


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's prompts and samples: a function of the run's seed and the step, so a run can be resumed."""
    return seed * 1_000_003 + step
