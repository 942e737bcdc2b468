"""Exercise of notebook 03: the loss of a reward model."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def bradley_terry_loss(chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]) -> Float[Tensor, ""]:
    from labkit import algorithms

    return algorithms.bradley_terry_loss(chosen, rejected)[0]


def _plain(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def _random_scores(generator: random.Random) -> Case:
    pairs = generator.randint(1, 6)
    return Case(tuple(_plain([generator.gauss(0, 2) for _ in range(pairs)]) for _ in range(2)))


def _logsigmoid(x: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(x)


EXERCISE = Exercise(
    name="bradley-terry-loss",
    title="The loss of a reward model",
    notebook="03_reward_models",
    spec=(
        "A reward model gave `chosen` [pairs] to the replies that annotators preferred and `rejected` [pairs] to the "
        "others. Return the loss to minimise, a scalar: minus the mean log of the chance that Bradley and Terry give "
        "to what the annotators chose.\n\n"
        "- The gradient must flow to both arguments.\n"
        "- It must stay finite for a difference of −200, which is what a reward model that is badly wrong has to learn "
        "from."
    ),
    stub=(
        "def bradley_terry_loss(\n"
        '    chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]\n'
        ') -> Float[Tensor, ""]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=bradley_terry_loss,
    literal=(
        Case((_plain([0.0]), _plain([0.0])), "no opinion: log 2 = .6931"),
        Case((_plain([2.0]), _plain([0.0])), "right by 2: log(1 + e^-2) = .1269"),
        Case((_plain([0.0]), _plain([2.0])), "wrong by 2: .1269 + 2"),
        Case((_plain([5.0, 1.0]), _plain([3.0, 1.0])), "two pairs: the mean of .1269 and .6931"),
        Case((_plain([-100.0]), _plain([100.0])), "wrong by 200: the loss is 200, not infinite"),
    ),
    random=_random_scores,
    misconceptions=(
        Misconception(
            "swapped",
            lambda chosen, rejected: -_logsigmoid(rejected - chosen).mean(),
            "Chosen and rejected have changed places: the model would learn to score the rejected replies higher.",
        ),
        Misconception(
            "sum",
            lambda chosen, rejected: -_logsigmoid(chosen - rejected).sum(),
            "This is the sum over the pairs; asked for is the mean.",
        ),
        Misconception(
            "wrong-sign",
            lambda chosen, rejected: _logsigmoid(chosen - rejected).mean(),
            "The sign: a log-probability is maximised, a loss minimised.",
        ),
        Misconception(
            "no-log",
            lambda chosen, rejected: -torch.sigmoid(chosen - rejected).mean(),
            "There is no logarithm: this is minus the chance itself. A pair that is badly wrong then has nearly no "
            "gradient, just where there is most to learn.",
            (lambda chosen, rejected: (1 - torch.sigmoid(chosen - rejected)).mean(),),
        ),
        Misconception(
            "each-by-itself",
            lambda chosen, rejected: (-_logsigmoid(chosen) - _logsigmoid(-rejected)).mean(),
            "Each reply is judged by itself, as good or bad. The annotators compared: only the difference of the two "
            "scores has a meaning.",
        ),
        Misconception(
            "margin-only",
            lambda chosen, rejected: -(chosen - rejected).mean(),
            "This pushes the differences apart without end. With log σ a pair that is already clear hardly pushes any "
            "more.",
            (lambda chosen, rejected: (1 - (chosen - rejected)).clamp(min=0).mean(),),
        ),
        Misconception(
            "log-of-sigmoid",
            lambda chosen, rejected: -torch.log(torch.sigmoid(chosen - rejected)).mean(),
            "log(sigmoid(x)) is minus infinity for x below about −100, and its gradient is NaN. "
            "`torch.nn.functional.logsigmoid` never leaves the logarithm.",
        ),
    ),
    hints=(
        "Which difference should be large and positive?",
        "`torch.nn.functional.logsigmoid(difference)` is the log of the chance that the annotators chose as they did.",
        "Minus its mean.",
    ),
    sources=("labkit.algorithms.reward_model:bradley_terry_loss",),
)
