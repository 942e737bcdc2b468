"""Exercise of notebook 06: an ensemble that is not trusted where it disagrees."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def conservative_reward(scores: Float[Tensor, "models answers"], coef: float) -> Float[Tensor, " answers"]:
    spread = scores.std(dim=1, keepdim=True, correction=0)
    standard = (scores - scores.mean(dim=1, keepdim=True)) / spread
    return standard.mean(dim=0) - coef * standard.var(dim=0, correction=0)


def _standard(scores: Tensor, dim: int = 1) -> Tensor:
    return (scores - scores.mean(dim, keepdim=True)) / scores.std(dim, keepdim=True, correction=0)


def _case(rows: list[list[float]], coef: float) -> tuple[Tensor, float]:
    return torch.tensor(rows, dtype=torch.float64), coef


def _random_scores(generator: random.Random) -> Case:
    answers = generator.randint(3, 6)
    quality = [generator.gauss(0, 1) for _ in range(answers)]
    models = [(generator.gauss(0, 5), generator.uniform(0.5, 3)) for _ in range(generator.randint(3, 5))]
    rows = [[shift + scale * (q + generator.gauss(0, 0.7)) for q in quality] for shift, scale in models]
    return Case(_case(rows, generator.choice([0.5, 1.0, 2.0])))


EXERCISE = Exercise(
    name="conservative-reward",
    title="An ensemble that is not trusted where it disagrees",
    notebook="06_over_optimization",
    spec=(
        "`scores` [models, answers] are the scores that several reward models give to the same answers. A reward model "
        "has no zero and no unit of its own, so first make them comparable, then be careful (Coste et al. 2024, "
        "uncertainty-weighted optimisation). Return one reward an answer:\n\n"
        "1. standardise each MODEL's scores over the answers: mean 0, standard deviation 1 (divide by the number of "
        "answers, `correction=0`);\n"
        "2. mean over the models − `coef` · variance over the models (`correction=0` again)."
    ),
    stub=(
        "def conservative_reward(\n"
        '    scores: Float[Tensor, "models answers"], coef: float\n'
        ') -> Float[Tensor, " answers"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=conservative_reward,
    literal=(
        Case(
            _case([[0.0, 2.0], [1.0, 0.0], [3.0, 9.0]], 1.0),
            "standardised (-1, 1), (1, -1), (-1, 1): means -1/3 and 1/3, variance 8/9 of both",
        ),
        Case(_case([[0.0, 2.0], [10.0, 30.0]], 1.0), "they agree up to zero and unit: no penalty"),
        Case(_case([[0.0, 1.0, 2.0], [5.0, 6.0, 4.0], [1.0, 2.0, 4.0]], 0.0), "coef 0: the plain mean"),
        Case(_case([[0.0, 1.0, 2.0], [5.0, 6.0, 4.0], [1.0, 2.0, 4.0]], 1.0), "they disagree about the third answer"),
    ),
    random=_random_scores,
    misconceptions=(
        Misconception(
            "raw-scores",
            lambda scores, coef: scores.mean(0) - coef * scores.var(0, correction=0),
            "The scores were not standardised. Two models that agree perfectly may differ by a constant: then all the "
            "variance is in their zeros, and says nothing about the answers.",
        ),
        Misconception(
            "centred-only",
            lambda scores, coef: (
                (scores - scores.mean(1, keepdim=True)).mean(0)
                - coef * (scores - scores.mean(1, keepdim=True)).var(0, correction=0)
            ),
            "The means were taken away, but not the units: divide each model's scores by their standard deviation.",
        ),
        Misconception(
            "standardised-over-models",
            lambda scores, coef: _standard(scores, 0).mean(0) - coef * _standard(scores, 0).var(0, correction=0),
            "The scores were standardised over the models (dim 0). Then every answer gets the same mean: standardise "
            "each model's scores over the ANSWERS (dim 1).",
        ),
        Misconception(
            "deviation",
            lambda scores, coef: _standard(scores).mean(0) - coef * _standard(scores).std(0, correction=0),
            "The penalty is the standard deviation over the models; asked is the variance, which forgives small "
            "disagreement and punishes large one.",
        ),
        Misconception(
            "bonus",
            lambda scores, coef: _standard(scores).mean(0) + coef * _standard(scores).var(0, correction=0),
            "The sign: this REWARDS answers about which the models disagree. That is right for exploring, and makes "
            "over-optimisation worse.",
        ),
        Misconception(
            "correction",
            lambda scores, coef: _standard(scores).mean(0) - coef * _standard(scores).var(0),
            "The variance over models divides by their number minus 1 (torch's default): `correction=0`.",
            (
                lambda scores, coef: (
                    ((scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True)).mean(0)
                    - coef
                    * ((scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True)).var(0, correction=0)
                ),
            ),
        ),
        Misconception(
            "worst-case",
            lambda scores, coef: _standard(scores).min(0).values,
            "This is the worst case over the models (also a good idea, also of Coste et al.). Asked is the mean minus "
            "`coef` times the variance.",
        ),
    ),
    hints=(
        "`scores.mean(1, keepdim=True)` is one mean a model; `scores.std(1, keepdim=True, correction=0)` its spread.",
        "After standardising, `.mean(0)` and `.var(0, correction=0)` run over the models.",
        "mean − coef · variance: an answer that one model loves and the others do not loses.",
    ),
)
