"""Exercise of notebook 04: a KL coefficient that steers itself."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def adaptive_kl(coef: float, kl: float, target: float, samples: int, horizon: float) -> float:
    from labkit.algorithms import AdaptiveKL

    return AdaptiveKL(coef, target, horizon).update(kl, samples)


def _cut(error: float) -> float:
    return max(-0.2, min(0.2, error))


def _random_measurement(generator: random.Random) -> Case:
    target = generator.choice([2.0, 4.0, 6.0])
    kl = target * generator.choice([0.1, 0.85, 0.95, 1.05, 1.15, 3.0])
    return Case((generator.choice([0.02, 0.1, 0.4]), kl, target, generator.choice([64, 128]), 1000.0))


EXERCISE = Exercise(
    name="adaptive-kl",
    title="A KL coefficient that steers itself",
    notebook="04_rlhf_ppo",
    spec=(
        "A batch of `samples` answers had a mean KL of `kl` nats; `target` is wanted. Return the new coefficient "
        "(Ziegler et al. 2019):\n\n"
        "- Too far from the reference: the coefficient grows. Too near: it shrinks. On target: it stays.\n"
        "- It changes by a share of itself: by the relative error of the KL, but by no more than 20 % either way, if "
        "the batch is a whole `horizon` of samples; by proportionally less if it is smaller."
    ),
    stub=(
        "def adaptive_kl(coef: float, kl: float, target: float, samples: int, horizon: float) -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=adaptive_kl,
    literal=(
        Case((0.1, 12.0, 6.0, 100, 1000.0), "twice the target: cut to +20 %, a tenth of the horizon: .1 · 1.02"),
        Case((0.1, 6.0, 6.0, 100, 1000.0), "on target: nothing changes"),
        Case((0.1, 5.4, 6.0, 100, 1000.0), "10 % below: .1 · .99"),
        Case((0.1, 0.0, 6.0, 1000, 1000.0), "no distance at all, a whole horizon: .1 · .8"),
        Case((0.0, 12.0, 6.0, 100, 1000.0), "a coefficient of 0 stays 0: give it a start"),
    ),
    random=_random_measurement,
    misconceptions=(
        Misconception(
            "wrong-way",
            lambda coef, kl, target, samples, horizon: coef * (1 - _cut(kl / target - 1) * samples / horizon),
            "It steers the wrong way: where the policy is too far away, the penalty must GROW.",
            (
                lambda coef, kl, target, samples, horizon: (
                    coef * (1 + _cut(target / kl - 1 if kl else 0.2) * samples / horizon)
                ),
            ),
        ),
        Misconception(
            "not-cut",
            lambda coef, kl, target, samples, horizon: coef * (1 + (kl / target - 1) * samples / horizon),
            "The error is not cut to ±0.2: one odd batch, a hundred times beyond the target, would throw the "
            "coefficient far.",
        ),
        Misconception(
            "horizon-forgotten",
            lambda coef, kl, target, samples, horizon: coef * (1 + _cut(kl / target - 1)),
            "The step does not depend on samples / horizon: after each batch the coefficient jumps by up to 20 %, and "
            "the two chase each other up and down.",
        ),
        Misconception(
            "nats-for-share",
            lambda coef, kl, target, samples, horizon: coef * (1 + _cut(kl - target) * samples / horizon),
            "The error is kl − target, in nats. It should be a share of the target: kl / target − 1.",
        ),
        Misconception(
            "one-forgotten",
            lambda coef, kl, target, samples, horizon: coef * (1 + _cut(kl / target) * samples / horizon),
            "Of kl / target the 1 must be taken away: as it stands the coefficient grows on target too, for ever.",
        ),
        Misconception(
            "added",
            lambda coef, kl, target, samples, horizon: coef + _cut(kl / target - 1) * samples / horizon,
            "The step is added. It multiplies the coefficient: so a small one moves in small steps, and none becomes "
            "negative.",
        ),
    ),
    hints=(
        "By which share is `kl` above `target`?",
        "`error = max(-0.2, min(0.2, kl / target - 1))`.",
        "Then `coef * (1 + error * samples / horizon)`.",
    ),
    sources=("labkit.algorithms.controllers:AdaptiveKL",),
)
