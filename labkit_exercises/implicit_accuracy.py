"""Exercise of notebook 05: how often a policy, read as a reward model, agrees with the labels."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def implicit_accuracy(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    ref_chosen: Float[Tensor, " pairs"],
    ref_rejected: Float[Tensor, " pairs"],
) -> float:
    from labkit.algorithms import preference_loss

    _, stats = preference_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, "dpo")
    return stats["accuracy"].item()


def _plain(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _share(wins: Tensor, ties: Tensor | float = 0.0) -> float:
    return (wins.float() + 0.5 * ties).mean().item()


def _random_pairs(generator: random.Random) -> Case:
    pairs = generator.randint(2, 6)
    return Case(tuple(_plain([float(generator.randint(-12, -6)) for _ in range(pairs)]) for _ in range(4)))


EXERCISE = Exercise(
    name="implicit-accuracy",
    title="The policy as a reward model",
    notebook="05_direct_preference",
    spec=(
        "DPO says that a policy IS a reward model: the reward of a reply is β (log p_policy − log p_reference). Given "
        "the four log-probs [pairs], return the share of pairs (a float) in which the chosen reply has the higher "
        "implicit reward.\n\n"
        "- A tie counts one half: before the first step every pair is one, and the accuracy should then be .5.\n"
        "- β > 0 does not matter here."
    ),
    stub=(
        "def implicit_accuracy(\n"
        '    policy_chosen: Float[Tensor, " n"],\n'
        '    policy_rejected: Float[Tensor, " n"],\n'
        '    ref_chosen: Float[Tensor, " n"],\n'
        '    ref_rejected: Float[Tensor, " n"],\n'
        ") -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=implicit_accuracy,
    literal=(
        Case(
            (_plain([-10.0, -9.0]), _plain([-12.0, -8.0]), _plain([-11.0, -11.0]), _plain([-11.0, -11.0])),
            "implicit rewards 1 against −1, and 2 against 3: one of two",
        ),
        Case(
            (_plain([-12.0]), _plain([-15.0]), _plain([-10.0]), _plain([-11.0])),
            "the chosen reply has fallen by 2, the rejected one by 4: right",
        ),
        Case(
            (_plain([-9.0]), _plain([-7.0]), _plain([-10.0]), _plain([-7.5])),
            "the chosen reply is less likely, but has gained more: right",
        ),
        Case(
            (_plain([-9.0, -8.0]), _plain([-5.0, -9.0]), _plain([-9.0, -8.0]), _plain([-5.0, -9.0])),
            "policy and reference agree: two ties",
        ),
    ),
    random=_random_pairs,
    misconceptions=(
        Misconception(
            "no-reference",
            lambda pc, pr, rc, rr: _share(pc > pr, pc == pr),
            "It compares the log-probs themselves. The implicit reward is the log-RATIO to the reference: how much "
            "likelier the reply has become.",
            (lambda pc, pr, rc, rr: _share(pc > pr),),
        ),
        Misconception(
            "tie-is-right",
            lambda pc, pr, rc, rr: _share((pc - rc) >= (pr - rr)),
            "A tie counts as right: an untrained policy would have an accuracy of 1.",
        ),
        Misconception(
            "tie-is-wrong",
            lambda pc, pr, rc, rr: _share((pc - rc) > (pr - rr)),
            "A tie counts as wrong: an untrained policy would have an accuracy of 0, and seem to do worse than a coin.",
        ),
        Misconception(
            "chosen-rose",
            lambda pc, pr, rc, rr: _share(pc > rc, pc == rc),
            "It asks whether the chosen reply has become likelier. That is another question: often BOTH become less "
            "likely, and the pair is still in the right order.",
            (lambda pc, pr, rc, rr: _share(pc > rc),),
        ),
        Misconception(
            "swapped",
            lambda pc, pr, rc, rr: _share((pr - rr) > (pc - rc), (pr - rr) == (pc - rc)),
            "Chosen and rejected have changed places: this is one minus the accuracy.",
        ),
        Misconception(
            "percent",
            lambda pc, pr, rc, rr: 100 * implicit_accuracy(pc, pr, rc, rr),
            "In per cent; asked for is a share between 0 and 1.",
        ),
    ),
    hints=(
        "What is the implicit reward of the chosen replies, of the rejected ones?",
        "Compare `policy_chosen - ref_chosen` with `policy_rejected - ref_rejected`.",
        "`(1 + difference.sign()) / 2` is 1, 1/2 or 0; its mean, then `.item()`.",
    ),
    sources=("labkit.algorithms.preference:preference_loss",),
)
