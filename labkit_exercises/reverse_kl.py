"""Exercise of notebook 14: what does the teacher think of the student's next token?"""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def reverse_kl(
    student_logits: Float[Tensor, "time vocab"], teacher_logits: Float[Tensor, "time vocab"]
) -> Float[Tensor, " time"]:
    student, teacher = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    return (student.exp() * (student - teacher)).sum(-1)


def _logits(*rows: list[float]) -> Tensor:
    """Probabilities as logits."""
    return torch.tensor(rows).log()


def _random_case(generator: random.Random) -> Case:
    shape = (generator.randint(1, 5), generator.randint(2, 7))
    torch_generator = torch.Generator().manual_seed(generator.randrange(2**31))
    student, teacher = (2 * torch.randn(shape, generator=torch_generator) for _ in range(2))
    return Case((student, teacher + generator.uniform(-3, 3)))


def _both(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    return student.log_softmax(-1), teacher.log_softmax(-1)


def _without_softmax(student: Tensor, teacher: Tensor) -> Tensor:
    return (student.softmax(-1) * (student - teacher)).sum(-1)


def _of_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    return (student.softmax(-1) * (student.softmax(-1) - teacher.softmax(-1))).sum(-1)


def _jensen_shannon(student: Tensor, teacher: Tensor) -> Tensor:
    from labkit.algorithms import generalized_jsd

    return generalized_jsd(student, teacher)


EXERCISE = Exercise(
    name="reverse-kl",
    title="The reverse KL of two next-token distributions",
    notebook="14_distillation",
    spec=(
        "`student_logits` and `teacher_logits`, [time, vocab], are what two models say about the next token at the "
        "same positions of the same text. Return [time]: the reverse KL at each position, in nats,\n\n"
        "$$ \\mathrm{KL}(S \\,\\|\\, T) = \\sum_v S(v)\\,\\log\\frac{S(v)}{T(v)} $$\n\n"
        "where S and T are the softmax of the logits. All logits are finite."
    ),
    stub=(
        'def reverse_kl(student_logits: Float[Tensor, "time vocab"], teacher_logits: Float[Tensor, "time vocab"]):\n'
        "    raise NotImplementedError\n"
    ),
    reference=reverse_kl,
    literal=(
        Case((_logits([0.5, 0.5]), _logits([0.9, 0.1])), "0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1) = 0.5108"),
        Case((_logits([0.9, 0.1]), _logits([0.5, 0.5])), "the roles exchanged: 0.3681"),
        Case(
            (_logits([0.2, 0.8], [0.5, 0.5]), _logits([0.2, 0.8], [0.2, 0.8])), "two positions; at the first both agree"
        ),
        Case((torch.zeros(1, 3), torch.full((1, 3), 7.0)), "logits are no probabilities: these two are the same"),
    ),
    random=_random_case,
    misconceptions=(
        Misconception(
            "forward",
            lambda s, t: reverse_kl(t, s),
            "That is the forward KL, KL(T || S): the teacher's distribution is in front. On the student's own samples "
            "it is the student's probability that weighs.",
        ),
        Misconception(
            "unnormalised",
            _without_softmax,
            "The logits themselves are subtracted. They are log-probabilities only up to a constant, another one for "
            "each model: take log_softmax of both first.",
        ),
        Misconception(
            "no-logarithm",
            _of_probabilities,
            "Probabilities are subtracted where their logarithms should be.",
        ),
        Misconception(
            "cross-entropy",
            lambda s, t: -(s.softmax(-1) * t.log_softmax(-1)).sum(-1),
            "The student's own log-probability is missing: that is the cross-entropy, which is not 0 where both agree. "
            "Minimised, it collapses the student onto one token.",
        ),
        Misconception(
            "sign",
            lambda s, t: -reverse_kl(s, t),
            "The sign is turned round: a divergence is never negative.",
        ),
        Misconception(
            "unweighted",
            lambda s, t: (_both(s, t)[0] - _both(s, t)[1]).sum(-1),
            "Every token of the vocabulary counts the same. The log-ratio is weighted with S(v), how often the "
            "student says it.",
            (lambda s, t: (_both(s, t)[0] - _both(s, t)[1]).mean(-1),),
        ),
        Misconception(
            "mean-over-the-vocabulary",
            lambda s, t: reverse_kl(s, t) / s.shape[-1],
            "It is a sum over the vocabulary, not a mean: the weights S(v) already add up to 1. (torch's kl_div does "
            "this with reduction='mean'.)",
        ),
        Misconception(
            "summed-over-time",
            lambda s, t: reverse_kl(s, t).sum(),
            "One number for the whole text; asked for is one a position: sum over the last axis alone.",
            (lambda s, t: reverse_kl(s, t).mean(),),
        ),
        Misconception(
            "jensen-shannon",
            _jensen_shannon,
            "That is the Jensen-Shannon divergence: both are compared with their mixture.",
        ),
    ),
    hints=(
        "`log_softmax(-1)` turns logits into log-probabilities; `.exp()` of these are probabilities.",
        "The weight in front is the student's probability, and the sum goes over the last axis.",
        "`(log_s.exp() * (log_s - log_t)).sum(-1)`",
    ),
    sources=("labkit.algorithms.distillation:reverse_kl",),
)
