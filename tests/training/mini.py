"""A run small enough for a test, with a model whose weights are random."""

from pathlib import Path
from typing import Any

import torch

from labkit.models import Policy
from labkit.models.tiny.tokenizer import build_tokenizer
from labkit.recipes import Recipe
from labkit.rollouts import Rollouts
from labkit.runs import Run
from labkit.tasks import load_task
from labkit.training import train
from labkit.training.loop.measure import Stopwatch
from labkit.training.pretrain import PretrainSettings, build_model
from labkit.training.rl.build import make_rl_learner
from labkit.training.rl.experience import Experience
from labkit.training.rl.update import update

SMALL = {
    "steps": 4,
    "prompts": 3,
    "samples": 4,
    "max_new_tokens": 8,
    "minibatches": 1,
    "schedule": "constant",
    "checkpoint_every": 2,
    "evaluation.problems": 0,
    "progress": False,
}


def random_policy(seed: int = 0) -> Policy:
    tokenizer = build_tokenizer()
    settings = PretrainSettings(seed=seed, hidden_size=32, layers=2, intermediate_size=64)
    return Policy(build_model(settings, tokenizer), tokenizer, "random")


def mini_run(out: Path, policy: Policy | None = None, **changes: Any) -> Run:
    settings = {"model": policy or random_policy(), **SMALL, **changes}
    return train("r1-zero-tiny", out=out, **settings)


def update_once(
    policy: Policy,
    rollouts: Rollouts,
    advantages: torch.Tensor,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer | None = None,
    kept: torch.Tensor | None = None,
) -> tuple[dict[str, Any], Experience]:
    """One update of a policy on rollouts whose advantages ([batch] or [batch, time]) are given: its statistics."""
    learner = make_rl_learner(recipe, policy, load_task("addition"))
    learner.optimizer = optimizer or learner.optimizer
    experience = Experience(rollouts, learner.algorithm, 0, Stopwatch(policy.device))
    reported: dict[str, Any] = {}
    for helper in learner.helpers:
        reported |= helper(experience)
    by_token = advantages if advantages.dim() == 2 else torch.where(rollouts.mask, advantages[:, None], 0.0)
    experience.take(by_token, by_token, torch.ones(len(rollouts), dtype=torch.bool) if kept is None else kept)
    return reported | update(learner, experience), experience


def numbers(run: Run) -> list[dict[str, Any]]:
    """Metrics without what depends on the clock."""
    clock = ("seconds", "elapsed", "tokens_per_second", "time_")
    return [{key: value for key, value in line.items() if not key.startswith(clock)} for line in run.metrics]
