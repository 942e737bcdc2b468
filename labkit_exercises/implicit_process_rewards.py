"""Exercise of notebook 16: what each token adds to a judge that is a language model."""

from __future__ import annotations

import random

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def implicit_process_rewards(
    prm_logprobs: Float[Tensor, "batch time"],
    ref_logprobs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    beta: float,
) -> Float[Tensor, "batch time"]:
    from labkit.algorithms import implicit_rewards

    return implicit_rewards(prm_logprobs, ref_logprobs, mask, beta)


def _no_nan(gap: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, gap, 0.0)


def _logs(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def _random_rows(generator: random.Random) -> Case:
    batch, time = generator.randint(1, 3), generator.randint(3, 6)
    prm, ref = (_logs([[-generator.randint(1, 16) / 4 for _ in range(time)] for _ in range(batch)]) for _ in range(2))
    mask = torch.zeros(batch, time, dtype=torch.bool)
    for row in mask:
        start = generator.randint(1, time - 2)
        row[start : generator.randint(start + 2, time)] = True
    return Case((prm, ref, mask, generator.choice([0.05, 0.5, 2.0])))


_MASK = torch.tensor([[False, True, True, False]])

EXERCISE = Exercise(
    name="implicit-process-rewards",
    title="A reward for every token from two log-probs",
    notebook="16_process_rewards",
    spec=(
        "PRIME's judge is a language model. Given the log-probs of the same tokens under the judge and under its "
        "frozen reference, both [batch, time], return the reward of each token, [batch, time]: β (log p_judge − "
        "log p_reference), and 0 outside `mask` (prompt and padding).\n\n"
        "Summed over an answer they are the judge's log-odds that it is right: each token is paid what it adds."
    ),
    stub=(
        "def implicit_process_rewards(\n"
        '    prm_logprobs: Float[Tensor, "b t"],\n'
        '    ref_logprobs: Float[Tensor, "b t"],\n'
        '    mask: Bool[Tensor, "b t"],\n'
        "    beta: float,\n"
        ') -> Float[Tensor, "b t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=implicit_process_rewards,
    literal=(
        Case(
            (_logs([[-3.0, -1.0, -2.0, -9.0]]), _logs([[-1.0, -2.0, -1.5, -1.0]]), _MASK, 1.0),
            "1 and −0.5 for the two tokens of the answer",
        ),
        Case(
            (_logs([[-1.0, -1.0, -2.0, 0.0]]), _logs([[-1.0, -5.0, -4.0, 0.0]]), _MASK, 0.5),
            "4 and 2 nats, halved by β",
        ),
        Case(
            (_logs([[-2.0] * 4, [-1.0] * 4]), _logs([[-2.0] * 4, [-3.0] * 4]), torch.ones(2, 4).bool(), 0.05),
            "the first answer: a judge that is its reference pays nothing",
        ),
    ),
    random=_random_rows,
    misconceptions=(
        Misconception(
            "reference-minus-judge",
            lambda prm, ref, mask, beta: beta * _no_nan(ref - prm, mask),
            "The sign is turned: a token is good where the JUDGE finds it likelier than its reference does.",
        ),
        Misconception(
            "mask-ignored",
            lambda prm, ref, mask, beta: beta * (prm - ref),
            "Tokens outside the mask are paid too: prompt and padding were nobody's choice.",
        ),
        Misconception(
            "beta-forgotten",
            lambda prm, ref, mask, beta: _no_nan(prm - ref, mask),
            "β is missing: it is what turns nats of the log-ratio into nats of log-odds.",
        ),
        Misconception(
            "ratio",
            lambda prm, ref, mask, beta: beta * _no_nan((prm - ref).exp(), mask),
            "It pays the ratio of the probabilities. The reward is its LOGARITHM: so the rewards of tokens add up to "
            "that of the answer.",
        ),
        Misconception(
            "no-reference",
            lambda prm, ref, mask, beta: beta * _no_nan(prm, mask),
            "The reference is missing: a token that is merely common would be paid for being common.",
        ),
        Misconception(
            "mean",
            lambda prm, ref, mask, beta: beta * _no_nan(prm - ref, mask) / mask.sum(1, keepdim=True),
            "It divides by the answer's length. The judge was trained on the SUM: each token adds its share in full.",
        ),
        Misconception(
            "running-sum",
            lambda prm, ref, mask, beta: _no_nan((beta * _no_nan(prm - ref, mask)).cumsum(1), mask),
            "Each token is paid the judge's opinion of the text SO FAR. Its reward is what it adds to that opinion.",
        ),
    ),
    hints=(
        "Log-probs subtract.",
        "`torch.where(mask, x, 0.0)` keeps x where the mask is True.",
        "`torch.where(mask, beta * (prm_logprobs - ref_logprobs), 0.0)`",
    ),
    sources=("labkit.algorithms.implicit:implicit_rewards",),
)
