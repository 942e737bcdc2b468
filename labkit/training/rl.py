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
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from labkit.algorithms import kl_penalty, zero_variance
from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts, score
from labkit.runs import Run
from labkit.sampling import sample
from labkit.tasks import Task
from labkit.training.checkpoints import restore_checkpoint, save_checkpoint
from labkit.training.optim import learning_rate, make_optimizer
from labkit.training.update import reference_logprobs, update


class Observer(Protocol):
    """Whoever watches a run: a dashboard, a test, your own code."""

    @property
    def stopped(self) -> bool:
        """True asks the run to end cleanly after the present step."""
        ...

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Called after every step with what was logged."""
        ...


def train_rl(recipe: Recipe, run: Run, policy: Policy, task: Task, observer: Observer | None = None) -> int:
    """Trains `policy` in place, from the run's newest checkpoint on; returns the number of steps done so far.

    Same recipe, device and threads: same numbers, also when the run is killed and resumed on the way.
    """
    preset, drawing, settings = recipe.preset(), recipe.sampling, recipe.optimizer
    reference = copy.deepcopy(policy.model).requires_grad_(False) if preset.kl_coef else None
    optimizer = make_optimizer(policy.model, settings.lr, settings.betas, settings.weight_decay)
    done = restore_checkpoint(run, policy, optimizer)
    run.forget_from(done)
    elapsed = run.metrics[-1]["elapsed"] if done else 0.0

    bar = tqdm(range(done, recipe.steps), desc=recipe.name, initial=done, total=recipe.steps, unit="step")
    for step in bar:
        clock = Stopwatch()
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

        elapsed += clock.total
        metrics = {"step": step, **describe(rollouts, task), **stats, "lr": lr}
        metrics |= {"tokens_per_second": metrics["tokens"] / clock.total, "seconds": clock.total}
        metrics |= {**clock.parts, "elapsed": elapsed}
        logged = records(rollouts, advantages, step, recipe.rollouts_logged, policy)
        run.log(metrics, logged)
        bar.set_postfix(passed=f"{metrics['pass_rate']:.2f}", length=f"{metrics['response_length']:.0f}")
        done = step + 1
        stop = False
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


class Stopwatch:
    """Seconds spent in the parts of a step."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.parts: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Times a part; on a GPU it waits until the work that was asked for is done."""
        start = time.perf_counter()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.parts[f"time_{part}"] = time.perf_counter() - start

    @property
    def total(self) -> float:
        """Seconds since the step began."""
        return time.perf_counter() - self.started


def describe(rollouts: Rollouts, task: Task) -> dict[str, float]:
    """Metrics of a batch of rollouts before training: rewards, lengths, form, behaviours, groups without variance."""
    rewards, count = rollouts.rewards, len(rollouts)
    flat = zero_variance(rewards, rollouts.groups)
    found: dict[str, float] = {
        "reward_mean": float(rewards.mean()),
        "reward_std": float(rewards.std()) if count > 1 else 0.0,
        "pass_rate": float((rewards >= 1).float().mean()),
        "response_length": float(rollouts.lengths.float().mean()),
        "truncated": float(rollouts.truncated.float().mean()),
        "verifier_errors": sum("verifier_error" in s.parts for s in rollouts.scores or []),
        "zero_variance_groups": len(set(rollouts.groups[flat].tolist())),
        "tokens": int(rollouts.lengths.sum()),
    }
    if task.format is not None:
        found["format_rate"] = sum(task.format(text, None).reward for text in rollouts.completions) / count
    if task.behaviours is not None:
        seen = [task.behaviours(text) for text in rollouts.completions]
        found |= {key: math.fsum(b[key] for b in seen) / count for key in seen[0]}
    return found


def records(
    rollouts: Rollouts, advantages: Float[Tensor, " batch"], step: int, count: int, policy: Policy
) -> list[dict[str, Any]]:
    """The first `count` rollouts as plain data, for rollouts.jsonl."""
    lines = []
    for i, score_ in enumerate((rollouts.scores or [])[:count]):
        mask = rollouts.mask[i]
        ids = rollouts.tokens[i][mask].tolist()
        group = int(rollouts.groups[i])
        lines.append(
            {
                "step": step,
                "group": group,
                "sample": sum(line["group"] == group for line in lines),
                "prompt": rollouts.prompts[i],
                "completion": rollouts.completions[i],
                "reward": score_.reward,
                "reason": score_.reason,
                "extracted": score_.extracted,
                "parts": dict(score_.parts),
                "advantage": round(float(advantages[i]), 4),
                "truncated": bool(rollouts.truncated[i]),
                "tokens": [policy.tokenizer.decode([t]) for t in ids],
                "logprobs": [round(x, 3) for x in rollouts.logprobs[i][mask].tolist()],
            }
        )
    return lines
