"""Exercise of notebook 16: from rewards of tokens to what each token brings in."""

from __future__ import annotations

import random

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def process_returns(
    process: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"], gamma: float
) -> Float[Tensor, "batch time"]:
    from labkit.algorithms import returns_to_go

    process = torch.where(mask, process, 0.0)
    mean = process.sum(1) / mask.sum(1)
    others = (mean.sum() - mean) / (len(mean) - 1)
    centred = torch.where(mask, process - others[:, None], 0.0)
    return torch.where(mask, returns_to_go(centred, mask, gamma), 0.0)


def _plain(values: list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _to_go(paid: Tensor, mask: Tensor, gamma: float) -> Tensor:
    paid, result, later = torch.where(mask, paid, 0.0), torch.zeros_like(paid), torch.zeros(len(paid))
    for t in reversed(range(paid.shape[1])):
        later = paid[:, t] + gamma * later
        result[:, t] = later
    return torch.where(mask, result, 0.0)


def _means(process: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, process, 0.0).sum(1) / mask.sum(1)


def _others(mean: Tensor) -> Tensor:
    return (mean.sum() - mean) / (len(mean) - 1)


def _from_the_start(process: Tensor, mask: Tensor, gamma: float) -> Tensor:
    paid = torch.where(mask, process - _others(_means(process, mask))[:, None], 0.0)
    return torch.where(mask, _to_go(paid.flip(1), torch.ones_like(mask), gamma).flip(1), 0.0)


def _once(process: Tensor, mask: Tensor, gamma: float) -> Tensor:
    return torch.where(mask, _to_go(process, mask, gamma) - _others(_means(process, mask))[:, None], 0.0)


def _random_rows(generator: random.Random) -> Case:
    batch, time = generator.randint(2, 4), generator.randint(3, 6)
    process = _plain([[generator.randint(-8, 8) / 4 for _ in range(time)] for _ in range(batch)])
    mask = torch.arange(time) < torch.tensor([generator.randint(1, time) for _ in range(batch)])[:, None]
    return Case((process, mask, generator.choice([1.0, 0.5])))


_FULL = torch.tensor([[True, True], [True, True]])

EXERCISE = Exercise(
    name="process-returns",
    title="What a token brings in",
    notebook="16_process_rewards",
    spec=(
        "`process` [batch, time] holds a reward for each token of the answers of ONE group (all answer the "
        "same prompt), "
        "`mask` which tokens there are. Return [batch, time]: PRIME's return of each token, before the "
        "outcome is added "
        "and before whitening.\n\n"
        "1. Baseline of an answer: the mean, over the OTHER answers, of their mean reward a token.\n"
        "2. Subtract it from every token of the answer.\n"
        "3. The return of token t is the sum of what stands at t and after it, the token s counting γ^(s − t).\n\n"
        "0 outside the mask; what stands there in `process` must not matter."
    ),
    stub=(
        "def process_returns(\n"
        '    process: Float[Tensor, "b t"],\n'
        '    mask: Bool[Tensor, "b t"],\n'
        "    gamma: float,\n"
        ') -> Float[Tensor, "b t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=process_returns,
    literal=(
        Case((_plain([[1.0, 0.0], [0.0, 0.0]]), _FULL, 1.0), "means a token ½ and 0: returns 1, 0 and −1, −½"),
        Case((_plain([[1.0, 3.0], [0.0, -1.0]]), _FULL, 0.5), "the same with γ = ½"),
        Case(
            (
                _plain([[2.0, 7.0, 7.0], [1.0, 1.0, -2.0], [0.0, 4.0, 7.0]]),
                torch.tensor([[True, False, False], [True, True, True], [True, True, False]]),
                1.0,
            ),
            "answers of 1, 3 and 2 tokens; what stands behind them counts nowhere",
        ),
    ),
    random=_random_rows,
    misconceptions=(
        Misconception(
            "no-baseline",
            lambda process, mask, gamma: _to_go(process, mask, gamma),
            "No baseline is subtracted: where all rewards are positive, every token is pushed up, most of all "
            "the first "
            "ones of long answers.",
        ),
        Misconception(
            "baseline-with-itself",
            lambda process, mask, gamma: _to_go(process - _means(process, mask).mean(), mask, gamma),
            "The baseline holds the answer itself: it is compared, in part, with itself. Leave it out.",
        ),
        Misconception(
            "own-mean",
            lambda process, mask, gamma: _to_go(process - _means(process, mask)[:, None], mask, gamma),
            "Each answer's OWN mean is subtracted: then a good answer is no better than a bad one.",
        ),
        Misconception(
            "baseline-of-sums",
            lambda process, mask, gamma: _to_go(
                process - _others(torch.where(mask, process, 0.0).sum(1))[:, None], mask, gamma
            ),
            "The baseline is the mean of the others' SUMS; it is subtracted from each token, so it must be their mean "
            "a token.",
        ),
        Misconception(
            "mask-ignored-in-the-mean",
            lambda process, mask, gamma: _to_go(process - _others(process.mean(1))[:, None], mask, gamma),
            "What stands outside the mask is part of the means: sum over the mask, divide by the number of its tokens.",
            (
                lambda process, mask, gamma: _to_go(
                    process - _others(torch.where(mask, process, 0.0).mean(1))[:, None], mask, gamma
                ),
            ),
        ),
        Misconception(
            "baseline-once",
            _once,
            "The baseline is subtracted once from each return; asked for is once from each TOKEN, before summing up.",
        ),
        Misconception(
            "backwards",
            _from_the_start,
            "It sums up what came BEFORE the token, which the token can't have brought in. Sum from t to the end.",
        ),
        Misconception(
            "gamma-forgotten",
            lambda process, mask, gamma: _to_go(process - _others(_means(process, mask))[:, None], mask, 1.0),
            "γ is not used: the token s counts γ^(s − t) for the token t.",
        ),
    ),
    hints=(
        "Three lines: the mean per token of each answer; the mean of the OTHERS, `(mean.sum() - mean) / (n - "
        "1)`; the sum "
        "from the end.",
        "From the last token to the first: `later = paid[:, t] + gamma * later`. Set what is outside the "
        "mask to 0 before.",
        "`centred = torch.where(mask, process - others[:, None], 0.0)`, then the loop of the hint before, "
        "and 0 outside "
        "the mask again.",
    ),
    sources=("labkit.algorithms.implicit:prime_advantages", "labkit.algorithms.gae:returns_to_go"),
)
