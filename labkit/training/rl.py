"""Reinforcement learning with verifiable rewards: the loop, whole.

    for each step:
        draw prompts                                   task.sample
        sample a group of completions for each         sample
        score every completion                         score
        turn scores into advantages                    preset.advantages
        take optimiser steps on the policy loss        update

There is no branch per algorithm: REINFORCE, RLOO, GRPO, Dr.GRPO and DAPO are presets of the same pure functions
(`labkit.algorithms.PRESETS`).

What is simplified, on purpose: sampling and training take turns on one device (no staleness, no weight transfer); one
reward a completion, given at its end; no replay, no curriculum, no value function.
"""

import copy
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from labkit.algorithms import kl_penalty
from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts, score
from labkit.runs import Run
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training.checkpoints import restore_checkpoint, save_checkpoint
from labkit.training.measure import Stopwatch, describe, records
from labkit.training.optim import learning_rate, make_optimizer
from labkit.training.update import reference_logprobs, update


@runtime_checkable
class Observer(Protocol):
    """Whoever watches a run: a dashboard, a test, your own code. May also have `finish(result)`, called at the end."""

    @property
    def stopped(self) -> bool:
        """True asks the run to end cleanly after the present step."""
        ...

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Called after every step with what was logged."""
        ...


def rl_step(
    recipe: Recipe,
    step: int,
    policy: Policy,
    task: Task,
    optimizer: torch.optim.Optimizer,
    reference: nn.Module | None = None,
    problems: list[Problem] | None = None,
) -> tuple[Rollouts, Float[Tensor, " batch"], dict[str, Any]]:
    """One step, from prompts to new weights; returns the scored rollouts, their advantages, and the metrics.

    `reference` is the frozen model that a KL term needs; None without one. `problems`: instead of the step's own draw.
    """
    preset, drawing, settings, clock = recipe.preset(), recipe.sampling, recipe.optimizer, Stopwatch()
    if problems is None:
        problems = task.sample(drawing.prompts, "train", seed=step_seed(recipe.seed, step))
    with clock("sample"):
        rollouts = sample(
            policy,
            [problem.prompt for problem in problems],
            n=drawing.samples,
            seed=step_seed(recipe.seed, step),
            **drawing.model_dump(exclude={"prompts", "samples"}),
        )
    with clock("verify"):
        rollouts = score(rollouts, task, problems)
    with clock("logprobs"):
        ref, kl = None, None
        if reference is not None:
            ref = reference_logprobs(reference, rollouts, drawing.temperature, settings.microbatch_tokens)
            kl = kl_penalty(rollouts.logprobs, ref, rollouts.mask)
    rewards = preset.shape_rewards(rollouts.rewards, rollouts.lengths, drawing.max_new_tokens, kl)
    # Advantages come before any row is dropped: a group is judged whole.
    advantages = preset.advantages(rewards, rollouts.groups)
    kept = preset.keep(rewards, rollouts.groups)
    lr = learning_rate(step, recipe.steps, settings.lr, settings.warmup, settings.schedule)
    with clock("train"):
        stats = update(policy.model, optimizer, rollouts, advantages, kept, recipe, preset, lr, ref)
    metrics = {"step": step, **describe(rollouts, task), **stats, "lr": lr}
    return rollouts, advantages, metrics | clock.read(metrics["tokens"])


def train_rl(
    recipe: Recipe,
    run: Run,
    policy: Policy,
    task: Task,
    observer: Observer | None = None,
    progress: bool = True,
) -> int:
    """Trains `policy` in place, from the run's newest checkpoint on; returns the number of steps done so far.

    Same recipe, device and threads: same numbers, also when the run is killed and resumed on the way.
    """
    reference = copy.deepcopy(policy.model).requires_grad_(False) if recipe.preset().kl_coef else None
    settings = recipe.optimizer
    optimizer = make_optimizer(policy.model, settings.lr, settings.betas, settings.weight_decay)
    done = restore_checkpoint(run, policy, optimizer)
    run.forget_from(done)
    elapsed = run.metrics[-1]["elapsed"] if done else 0.0
    steps = range(done, recipe.steps)
    bar = tqdm(steps, desc=recipe.name, initial=done, total=recipe.steps, unit="step", disable=not progress)
    for step in bar:
        rollouts, advantages, metrics = rl_step(recipe, step, policy, task, optimizer, reference)
        elapsed += metrics["seconds"]
        metrics["elapsed"] = elapsed
        logged = records(rollouts, advantages, step, recipe.rollouts_logged, policy)
        run.log(metrics, logged)
        bar.set_postfix(passed=f"{metrics['pass_rate']:.2f}", length=f"{metrics['response_length']:.0f}")
        done, stop = step + 1, False
        if observer is not None:
            observer.update(metrics, logged)
            stop = observer.stopped
        if done % recipe.checkpoint_every == 0 or done == recipe.steps or stop:
            save_checkpoint(run, done, policy, optimizer, recipe.keep_checkpoints)
        if stop:
            break
    return done


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's prompts and samples: a function of the run's seed and the step, so a run can be resumed."""
    return seed * 1_000_003 + step
