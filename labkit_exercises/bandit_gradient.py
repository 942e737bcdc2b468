"""Exercise of notebook 01: the exact gradient of the expected reward, one token long."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def bandit_gradient(
    logits: Float[Tensor, " vocabulary"], rewards: Float[Tensor, " vocabulary"]
) -> Float[Tensor, " vocabulary"]:
    p = logits.softmax(-1)
    value = (p * rewards).sum()
    return p * (rewards - value)


def _reference(logits: Tensor, rewards: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return p * (rewards - (p * rewards).sum())


def _plain(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _random_bandit(generator: random.Random) -> Case:
    size = generator.randint(2, 6)
    logits = [generator.gauss(0, 1.5) for _ in range(size)]
    return Case((_plain(logits), _plain([generator.choice([0.0, 1.0, -1.0, 0.5]) for _ in range(size - 1)] + [2.0])))


EXERCISE = Exercise(
    name="bandit-gradient",
    title="The exact gradient of the expected reward",
    notebook="01_language_models_as_policies",
    spec=(
        "A policy chooses one token: `logits` [vocabulary], p = softmax(logits). Token k earns `rewards[k]`. The value "
        "is J = Σₖ pₖ Rₖ. Return its exact gradient with respect to the logits, [vocabulary].\n\n"
        "- In closed form: do not call autograd and do not sample.\n"
        "- The derivative of the softmax: ∂pₖ/∂zᵢ = pₖ (1 if i = k else 0) − pₖ pᵢ."
    ),
    stub=(
        "def bandit_gradient(\n"
        '    logits: Float[Tensor, " v"], rewards: Float[Tensor, " v"]\n'
        ') -> Float[Tensor, " v"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=bandit_gradient,
    literal=(
        Case((_plain([0.0, 0.0]), _plain([1.0, 0.0])), "p is one half each, J = 1/2: the gradient is (1/4, -1/4)"),
        Case((_plain([0.0, 0.0]), _plain([1.0, 1.0])), "all tokens earn the same: nothing to gain anywhere"),
        Case(
            (torch.log(_plain([0.5, 0.3, 0.2])), _plain([0.0, 1.0, 0.0])),
            "J = .3; the second entry is .3 * (1 - .3) = .21",
        ),
        Case(
            (torch.log(_plain([0.5, 0.3, 0.2])), _plain([-1.0, 1.0, 3.0])),
            "J = .4; the first entry is .5 * (-1 - .4) = -.7",
        ),
    ),
    random=_random_bandit,
    misconceptions=(
        Misconception(
            "forgets-the-normaliser",
            lambda logits, rewards: logits.softmax(-1) * rewards,
            "These are the terms of J itself, p R. Raising one logit takes probability from ALL others, hence the "
            "second term of the softmax's derivative.",
        ),
        Misconception(
            "no-probability",
            lambda logits, rewards: rewards - (logits.softmax(-1) * rewards).sum(),
            "This is how much better each token is than the average, its advantage. A token that is hardly ever "
            "chosen moves J hardly at all: the factor p is missing.",
        ),
        Misconception(
            "by-probability",
            lambda logits, rewards: rewards.clone(),
            "This is the gradient with respect to the PROBABILITIES, as if they could be set freely. The logits are "
            "what is trained, and the softmax stands in between.",
        ),
        Misconception(
            "mean-reward",
            lambda logits, rewards: logits.softmax(-1) * (rewards - rewards.mean()),
            "The plain mean of the rewards was taken off. It must be J, their mean under the POLICY: each reward "
            "counts as often as its token is chosen.",
        ),
        Misconception(
            "wrong-sign",
            lambda logits, rewards: -_reference(logits, rewards),
            "The sign: this is the gradient of a loss, −J. What is asked is the gradient of J, which points uphill.",
        ),
        Misconception(
            "binary",
            lambda logits, rewards: logits.softmax(-1) * (1 - logits.softmax(-1)) * rewards,
            "p (1 − p) R keeps only the diagonal of the softmax's derivative: what a logit does to its own token. It "
            "moves the other tokens' probabilities as well.",
        ),
    ),
    hints=(
        "∂J/∂zᵢ = Σₖ Rₖ ∂pₖ/∂zᵢ: put the derivative of the softmax in and split the sum in two.",
        "The first part is pᵢ Rᵢ. In the second pᵢ can be drawn out of the sum; what remains in it?",
        "It is J. So pᵢ (Rᵢ − J).",
    ),
)
