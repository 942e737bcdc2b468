"""Exercise of notebook 06: what a KL penalty aims at."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def tilted_policy(probs: Float[Tensor, " answers"], rewards: Float[Tensor, " answers"], beta: float) -> Tensor:
    return (probs.log() + rewards / beta).softmax(-1)


def _case(probs: list[float], rewards: list[float], beta: float) -> tuple[Tensor, Tensor, float]:
    p = torch.tensor(probs, dtype=torch.float64)
    return p / p.sum(), torch.tensor(rewards, dtype=torch.float64), beta


def _unnormalised(probs: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return probs * torch.exp(rewards / beta)


def _random_world(generator: random.Random) -> Case:
    size = generator.randint(2, 6)
    probs = [generator.uniform(0.05, 1) for _ in range(size)]
    return Case(_case(probs, [generator.gauss(0, 1) for _ in range(size)], generator.choice([0.2, 0.5, 2.0, 5.0])))


EXERCISE = Exercise(
    name="tilted-policy",
    title="The policy that a KL penalty aims at",
    notebook="06_over_optimization",
    spec=(
        "`probs` [answers] are the reference's chances of all possible answers to a prompt (none is 0), `rewards` "
        "[answers] their rewards. Return the policy q [answers] that maximises\n\n"
        "    sum(q · rewards) − beta · KL(q || probs)        (beta > 0)\n\n"
        "- Each chance is the reference's, times a factor that grows with its reward; the chances add up to 1.\n"
        "- A large beta leaves the reference nearly as it is; beta → 0 puts all on the best answer.\n"
        "- It must also work for rewards of 1,000 (softmax does; a plain exp overflows)."
    ),
    stub=(
        "def tilted_policy(\n"
        '    probs: Float[Tensor, " answers"], rewards: Float[Tensor, " answers"], beta: float\n'
        ') -> Float[Tensor, " answers"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=tilted_policy,
    literal=(
        Case(_case([0.5, 0.5], [1.0, 0.0], 1.0), "odds of e : 1"),
        Case(_case([0.9, 0.1], [0.0, 1.0], 0.5), "odds 0.9 : 0.1 e^2, so 0.549 and 0.451"),
        Case(_case([0.9, 0.1], [0.0, 1.0], 5.0), "a large beta: hardly moved"),
        Case(_case([0.2, 0.3, 0.5], [2.0, 2.0, 2.0], 0.5), "equal rewards: the reference itself"),
        Case(_case([0.5, 0.5], [1000.0, 999.0], 1.0), "only differences of rewards count"),
    ),
    random=_random_world,
    misconceptions=(
        Misconception(
            "no-reference",
            lambda probs, rewards, beta: (rewards / beta).softmax(-1),
            "The reference has no part in this: with equal rewards the result must be the reference itself, not the "
            "uniform distribution. (This is the answer for an entropy bonus.)",
        ),
        Misconception(
            "times-beta",
            lambda probs, rewards, beta: (probs.log() + rewards * beta).softmax(-1),
            "The reward is multiplied by beta. Divide: a LARGE beta is a strong penalty and must leave the reference "
            "nearly as it is.",
        ),
        Misconception(
            "unnormalised",
            _unnormalised,
            "The chances do not add up to 1: divide by their sum.",
        ),
        Misconception(
            "ignores-beta",
            lambda probs, rewards, beta: (probs.log() + rewards).softmax(-1),
            "beta is not used, or this is beta = 1. It says how many nats of distance a unit of reward may cost.",
        ),
        Misconception(
            "penalty",
            lambda probs, rewards, beta: (probs.log() - rewards / beta).softmax(-1),
            "The sign: this moves chances towards the answers with the LOWEST reward.",
        ),
        Misconception(
            "overflows",
            lambda probs, rewards, beta: (
                _unnormalised(probs, rewards, beta) / _unnormalised(probs, rewards, beta).sum()
            ),
            "Right, but exp(1000) overflows. Work with log-probs: softmax(log probs + rewards / beta).",
        ),
        Misconception(
            "reference-as-logits",
            lambda probs, rewards, beta: (probs + rewards / beta).softmax(-1),
            "The probabilities were added as if they were logits. In an exponent they must stand as LOGARITHMS.",
        ),
    ),
    hints=(
        "Put a Lagrange multiplier on sum(q) = 1 and set the derivative by q[i] to 0: rewards[i] - beta (log q[i] - "
        "log probs[i] + 1) = constant.",
        "So q[i] is proportional to probs[i] · exp(rewards[i] / beta).",
        "`(probs.log() + rewards / beta).softmax(-1)` normalises and does not overflow.",
    ),
)
