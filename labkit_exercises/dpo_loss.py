"""Exercise of notebook 05: the loss that needs no reward model."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def dpo_loss(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    ref_chosen: Float[Tensor, " pairs"],
    ref_rejected: Float[Tensor, " pairs"],
    beta: float,
) -> Float[Tensor, ""]:
    from labkit.algorithms import preference_loss

    return preference_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, "dpo", beta)[0]


def _plain(values: list[float], grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=grad)


def _pairs(chosen: list[float], rejected: list[float], ref_chosen: list[float], ref_rejected: list[float]) -> tuple:
    return _plain(chosen, True), _plain(rejected, True), _plain(ref_chosen), _plain(ref_rejected)


def _log_s(x: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(x)


def _random_pairs(generator: random.Random) -> Case:
    pairs = generator.randint(2, 5)
    numbers = [[generator.uniform(-20, -2) for _ in range(pairs)] for _ in range(4)]
    return Case((*_pairs(*numbers), generator.choice([0.05, 0.1, 0.5])))


EXERCISE = Exercise(
    name="dpo-loss",
    title="The loss of DPO",
    notebook="05_direct_preference",
    spec=(
        "Four log-probs of whole replies, each [pairs], in nats: of the `chosen` and the `rejected` reply, under the "
        "`policy` and under the frozen reference `ref`. The reward that a policy implies is β log(policy / reference), "
        "up to a number that both replies share. Return the loss, a scalar: minus the mean log of the chance that "
        "Bradley and Terry give, with these rewards, to what was chosen.\n\n"
        "- The gradient must flow to both log-probs of the policy.\n"
        "- It must stay finite for a pair that is badly wrong."
    ),
    stub=(
        "def dpo_loss(\n"
        '    policy_chosen: Float[Tensor, " n"],\n'
        '    policy_rejected: Float[Tensor, " n"],\n'
        '    ref_chosen: Float[Tensor, " n"],\n'
        '    ref_rejected: Float[Tensor, " n"],\n'
        "    beta: float,\n"
        ') -> Float[Tensor, ""]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=dpo_loss,
    literal=(
        Case((*_pairs([-10.0], [-12.0], [-11.0], [-11.0]), 0.5), "difference 2, β = 1/2: −log σ(1) = .3133"),
        Case((*_pairs([-10.0], [-12.0], [-10.0], [-12.0]), 0.5), "policy and reference agree: log 2"),
        Case((*_pairs([-12.0], [-13.0], [-10.0], [-10.0]), 0.5), "both fall, the rejected reply by more: still good"),
        Case((*_pairs([-10.0, -12.0], [-12.0, -10.0], [-11.0] * 2, [-11.0] * 2), 0.5), "a right and a wrong pair"),
        Case((*_pairs([-900.0], [-10.0], [-10.0], [-10.0]), 0.5), "wrong by 890 nats: the loss is 445, not infinite"),
    ),
    random=_random_pairs,
    misconceptions=(
        Misconception(
            "no-reference",
            lambda pc, pr, rc, rr, beta: -_log_s(beta * (pc - pr)).mean(),
            "The reference is missing. What counts is by how much the policy has MOVED for each reply; else a short or "
            "common reply wins because it was likely to begin with.",
        ),
        Misconception(
            "swapped",
            lambda pc, pr, rc, rr, beta: -_log_s(beta * ((pr - rr) - (pc - rc))).mean(),
            "Chosen and rejected have changed places: the rejected replies would be made likelier.",
        ),
        Misconception(
            "beta-outside",
            lambda pc, pr, rc, rr, beta: -beta * _log_s((pc - rc) - (pr - rr)).mean(),
            "β stands in front of the logarithm, where it only scales the loss. Inside σ it says how far the policy "
            "has to move before a pair counts as settled.",
        ),
        Misconception(
            "beta-divides",
            lambda pc, pr, rc, rr, beta: -_log_s(((pc - rc) - (pr - rr)) / beta).mean(),
            "It divides by β. A small β means a weak leash: the same difference should count for LESS.",
        ),
        Misconception(
            "reference-added",
            lambda pc, pr, rc, rr, beta: -_log_s(beta * ((pc + rc) - (pr + rr))).mean(),
            "The reference's log-probs are added; a log-ratio is policy MINUS reference, for each reply.",
        ),
        Misconception(
            "each-by-itself",
            lambda pc, pr, rc, rr, beta: (-_log_s(beta * (pc - rc)) - _log_s(-beta * (pr - rr))).mean(),
            "Each reply is judged by itself: up with one, down with the other. The labels say only which of the two is "
            "better; the loss may look at the difference alone.",
        ),
        Misconception(
            "sum",
            lambda pc, pr, rc, rr, beta: -_log_s(beta * ((pc - rc) - (pr - rr))).sum(),
            "This is the sum over the pairs; asked for is the mean.",
        ),
        Misconception(
            "wrong-sign",
            lambda pc, pr, rc, rr, beta: _log_s(beta * ((pc - rc) - (pr - rr))).mean(),
            "The sign: log σ is to be made large, a loss is made small.",
        ),
        Misconception(
            "log-of-sigmoid",
            lambda pc, pr, rc, rr, beta: -torch.log(torch.sigmoid(beta * ((pc - rc) - (pr - rr)))).mean(),
            "log(sigmoid(x)) is minus infinity for x below about −100, and its gradient is NaN. "
            "`torch.nn.functional.logsigmoid` never leaves the logarithm.",
        ),
    ),
    hints=(
        "Two log-ratios, one for each reply: policy minus reference.",
        "Their difference, times β, is the margin; `torch.nn.functional.logsigmoid` takes its log σ.",
        "Minus the mean over the pairs.",
    ),
    sources=("labkit.algorithms.preference:preference_loss",),
)
