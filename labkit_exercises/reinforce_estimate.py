"""Exercise of notebook 01: the same gradient, from samples alone."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def reinforce_estimate(
    logits: Float[Tensor, " vocabulary"], samples: Int[Tensor, " n"], rewards: Float[Tensor, " n"]
) -> Float[Tensor, " vocabulary"]:
    chosen = torch.nn.functional.one_hot(samples, len(logits)).to(logits.dtype)
    scores = chosen - logits.softmax(-1)  # the gradient of log p(sample), one row per sample
    return (rewards[:, None] * scores).mean(0)


def _chosen(logits: Tensor, samples: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(samples, len(logits)).to(logits.dtype)


def _estimate(logits: Tensor, samples: Tensor, weights: Tensor) -> Tensor:
    return (weights[:, None] * (_chosen(logits, samples) - logits.softmax(-1))).mean(0)


def _plain(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _random_samples(generator: random.Random) -> Case:
    size, n = generator.randint(2, 5), generator.randint(2, 6)
    logits = _plain([generator.gauss(0, 1) for _ in range(size)])
    samples = torch.tensor([generator.randrange(size) for _ in range(n)])
    return Case((logits, samples, _plain([generator.choice([0.0, 1.0, 2.0, -1.0]) for _ in range(n)])))


EXERCISE = Exercise(
    name="reinforce-estimate",
    title="The policy gradient from samples",
    notebook="01_language_models_as_policies",
    spec=(
        "A policy p = softmax(`logits`) [vocabulary] drew the tokens `samples` [n] (indices), which earned `rewards` "
        "[n]. Return REINFORCE's estimate of the gradient of J with respect to the logits, [vocabulary]: the mean over "
        "the samples of reward × ∇ log p(sample).\n\n"
        "- For a softmax, ∇ log p(k) with respect to the logits is: 1 at k and 0 elsewhere, minus p.\n"
        "- In closed form, without autograd. No baseline. The gradient points uphill (it is no loss)."
    ),
    stub=(
        "def reinforce_estimate(\n"
        '    logits: Float[Tensor, " v"], samples: Int[Tensor, " n"], rewards: Float[Tensor, " n"]\n'
        ') -> Float[Tensor, " v"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=reinforce_estimate,
    literal=(
        Case(
            (_plain([0.0, 0.0]), torch.tensor([0]), _plain([1.0])),
            "one sample, reward 1, p one half each: (1, 0) - (1/2, 1/2) = (1/2, -1/2)",
        ),
        Case(
            (_plain([0.0, 0.0]), torch.tensor([0, 1]), _plain([1.0, 1.0])),
            "both tokens once, both rewarded: the pushes cancel",
        ),
        Case(
            (torch.log(_plain([0.5, 0.3, 0.2])), torch.tensor([1, 0, 1, 2]), _plain([1.0, 0.0, 1.0, -2.0])),
            "four samples; the rewards add up to 0, so what is left is (0, 2, -2) / 4",
        ),
        Case(
            (torch.log(_plain([0.5, 0.3, 0.2])), torch.tensor([1, 1, 0]), _plain([2.0, 1.0, 1.0])),
            "a token drawn twice counts twice",
        ),
    ),
    random=_random_samples,
    misconceptions=(
        Misconception(
            "no-minus-p",
            lambda logits, samples, rewards: (rewards[:, None] * _chosen(logits, samples)).mean(0),
            "The − p is missing: raising the logit of the sample also lowers the probability of everything else. "
            "Without it every rewarded logit would rise without end.",
        ),
        Misconception(
            "sum",
            lambda logits, samples, rewards: len(samples) * _estimate(logits, samples, rewards),
            "This is the sum over the samples, not their mean: it would grow with the number of samples.",
        ),
        Misconception(
            "wrong-sign",
            lambda logits, samples, rewards: -_estimate(logits, samples, rewards),
            "The sign: this is the gradient of the loss −R log p. What is asked points uphill.",
        ),
        Misconception(
            "with-baseline",
            lambda logits, samples, rewards: _estimate(logits, samples, rewards - rewards.mean()),
            "The samples' own mean reward was taken off first. That lowers the noise, but is not asked here; and as "
            "the mean contains the sample itself, it shrinks the expected gradient by (n − 1)/n.",
        ),
        Misconception(
            "probability-instead-of-log",
            lambda logits, samples, rewards: (
                rewards[:, None]
                * (_chosen(logits, samples) - logits.softmax(-1))
                * logits.softmax(-1)[samples][:, None]
            ).mean(0),
            "This is ∇p, not ∇log p: a factor p too much. The samples already come as often as p says; the logarithm "
            "is what keeps that from being counted twice.",
        ),
        Misconception(
            "mean-score-times-mean-reward",
            lambda logits, samples, rewards: rewards.mean() * (_chosen(logits, samples) - logits.softmax(-1)).mean(0),
            "The mean reward times the mean of ∇log p: the pairing is lost. Each sample's direction must be weighed by "
            "ITS reward, before the mean is taken.",
        ),
    ),
    hints=(
        "`torch.nn.functional.one_hot(samples, len(logits))` has a row per sample with a 1 at its token.",
        "Subtract the row `logits.softmax(-1)` from each: these are the directions, [n, vocabulary].",
        "`(rewards[:, None] * directions).mean(0)`.",
    ),
    sources=("labkit.algorithms.policy:policy_loss",),
)
