"""Exercise of notebook 01: a baseline from the other samples."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def leave_one_out(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    from labkit.algorithms import advantages

    prompts, samples = rewards.shape
    groups = torch.arange(prompts).repeat_interleave(samples)
    flat = advantages(rewards.flatten(), groups, baseline="leave_one_out", scale="none")
    return flat.view(prompts, samples)


def _others(rewards: Tensor, count: int) -> Tensor:
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / count


def _plain(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _random_rewards(generator: random.Random) -> Case:
    prompts, samples = generator.randint(1, 4), generator.randint(2, 6)
    choices = [0.0, 1.0, 0.5, 3.0]
    return Case((_plain([[generator.choice(choices) for _ in range(samples)] for _ in range(prompts)]),))


EXERCISE = Exercise(
    name="leave-one-out",
    title="A baseline from the others",
    notebook="01_language_models_as_policies",
    spec=(
        "`rewards` [prompts, samples]: each row holds the rewards of several samples (two or more) of one prompt. "
        "Return the advantages of RLOO, same shape: each reward minus the mean of the OTHER rewards in its row (Kool "
        "et al. 2019; Ahmadian et al. 2024).\n\n"
        "- A sample's own reward must not enter its baseline.\n"
        "- Rows do not mix: another prompt may be easier."
    ),
    stub=('def leave_one_out(rewards: Float[Tensor, "p n"]) -> Float[Tensor, "p n"]:\n    raise NotImplementedError\n'),
    reference=leave_one_out,
    literal=(
        Case((_plain([[1.0, 0.0]]),), "two samples: each has the other one as its baseline"),
        Case((_plain([[1.0, 1.0, 0.0, 0.0]]),), "the first: 1 minus the mean of 1, 0, 0, which is 1/3"),
        Case((_plain([[3.0, 3.0, 3.0]]),), "all equal: nobody is better than the others"),
        Case((_plain([[1.0, 0.0, 0.0], [5.0, 4.0, 4.0]]),), "an easy prompt and a hard one give the same advantages"),
    ),
    random=_random_rewards,
    misconceptions=(
        Misconception(
            "group-mean",
            lambda rewards: rewards - rewards.mean(1, keepdim=True),
            "This is the mean of the whole row, the sample itself included. It takes back part of its own reward, so "
            "the expected gradient shrinks by (n − 1)/n.",
        ),
        Misconception(
            "divides-by-n",
            lambda rewards: _others(rewards, rewards.shape[1]),
            "The others are summed rightly but divided by n. There are n − 1 of them.",
        ),
        Misconception(
            "batch",
            lambda rewards: rewards - (rewards.sum() - rewards) / max(rewards.numel() - 1, 1),
            "The baseline mixes all prompts. A sample should be compared with the others of its OWN prompt (dim 1), or "
            "an easy prompt looks like a good answer.",
            (lambda rewards: rewards - rewards.mean(),),
        ),
        Misconception(
            "baseline-only",
            lambda rewards: (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1),
            "This is the baseline itself. The advantage is the reward MINUS the baseline.",
        ),
        Misconception(
            "wrong-sign",
            lambda rewards: -_others(rewards, rewards.shape[1] - 1),
            "The sign: a sample that did better than the others must get a positive advantage.",
        ),
        Misconception(
            "normalised",
            lambda rewards: _others(rewards, rewards.shape[1] - 1) / (rewards.std(1, keepdim=True) + 1e-6),
            "The result is divided by the row's spread, as GRPO does. RLOO does not: dividing changes which prompts "
            "count, and the estimate is no longer unbiased.",
        ),
    ),
    hints=(
        "The sum of the others is the sum of the row minus the reward itself.",
        "`rewards.sum(1, keepdim=True) - rewards`, divided by how many others there are.",
        "`rewards - (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)`.",
    ),
    sources=("labkit.algorithms.advantage:advantages",),
)
