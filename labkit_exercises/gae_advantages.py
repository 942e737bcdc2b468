"""Exercise of notebook 04: credit by token, from a critic's opinions."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def gae_advantages(
    rewards: Float[Tensor, " time"], values: Float[Tensor, " time"], gamma: float, lam: float
) -> Float[Tensor, " time"]:
    from labkit.algorithms import gae

    mask = torch.ones(1, len(rewards), dtype=torch.bool)
    return gae(rewards[None], values[None], mask, gamma, lam)[0][0]


def _plain(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _next(values: Tensor, end: float | None = 0.0) -> Tensor:
    """V of the next token; after the last one `end`, or the last value again where that is None."""
    last = values[-1:] if end is None else values.new_tensor([end])
    return torch.cat([values[1:], last])


def _backwards(deltas: Tensor, decay: float) -> Tensor:
    result, later = torch.zeros_like(deltas), deltas.new_zeros(())
    for t in reversed(range(len(deltas))):
        later = deltas[t] + decay * later
        result[t] = later
    return result


def _forwards(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    return _backwards((rewards + gamma * _next(values) - values).flip(0), gamma * lam).flip(0)


def _off_by_one(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    before = torch.cat([values.new_zeros(1), values[:-1]])
    return _backwards(rewards + gamma * values - before, gamma * lam)


def _random_answer(generator: random.Random) -> Case:
    time = generator.randint(2, 6)
    rewards = [generator.choice([0.0, 0.0, -0.1, 0.2]) for _ in range(time - 1)] + [generator.gauss(0, 1)]
    values = [generator.gauss(0, 1) for _ in range(time)]
    return Case((_plain(rewards), _plain(values), generator.choice([0.9, 0.99]), generator.choice([0.5, 0.8, 0.95])))


EXERCISE = Exercise(
    name="gae-advantages",
    title="Generalized advantage estimation",
    notebook="04_rlhf_ppo",
    spec=(
        "One answer of `time` tokens: `rewards` [time], and `values` [time], where `values[t]` is the critic's opinion "
        "of the text BEFORE token t. The k-step estimate of token t's merit is r_t + γ r_{t+1} + ... + γ^{k−1} "
        "r_{t+k−1} + γ^k V_{t+k} − V_t. Return the advantages [time], A_t = (1 − λ) · (1-step + λ · 2-step + λ² · "
        "3-step + ...).\n\n"
        "- After the last token the answer is over: V is 0 there, and the last estimate takes all the weight left.\n"
        "- The sum telescopes: what does A_t have in common with A_{t+1}? One pass, from the end, is enough."
    ),
    stub=(
        "def gae_advantages(\n"
        '    rewards: Float[Tensor, " t"], values: Float[Tensor, " t"], gamma: float, lam: float\n'
        ') -> Float[Tensor, " t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=gae_advantages,
    literal=(
        Case((_plain([1.0]), _plain([0.25]), 1.0, 1.0), "one token: what came minus what was expected"),
        Case((_plain([0.0, 1.0]), _plain([0.5, 0.5]), 1.0, 0.0), "λ = 0: the deltas alone"),
        Case((_plain([0.0, 1.0]), _plain([0.5, 0.5]), 1.0, 1.0), "λ = 1: the return minus the value"),
        Case(
            (_plain([0.0, 0.0, 1.0]), _plain([0.5, 0.25, 0.75]), 1.0, 0.5),
            "deltas −.25, .5, .25; from the end: .25, then .5 + .125, then −.25 + .3125",
        ),
        Case((_plain([0.0, 0.0, 1.0]), _plain([0.5, 0.25, 0.75]), 0.5, 0.5), "the same with γ = .5"),
    ),
    random=_random_answer,
    misconceptions=(
        Misconception(
            "value-off-by-one",
            _off_by_one,
            "The values are read one token too late: `values[t]` is the opinion BEFORE token t, so a choice is judged "
            "by values[t + 1] − values[t].",
        ),
        Misconception(
            "no-end",
            lambda rewards, values, gamma, lam: _backwards(rewards + gamma * _next(values, None) - values, gamma * lam),
            "After the last token the answer is over and nothing more can come: the next value there is 0, not the "
            "last value again.",
        ),
        Misconception(
            "forwards",
            _forwards,
            "The recursion runs from the front. An advantage collects the deltas that come AFTER its token: a choice "
            "has no part in what was before it. Run t from the end.",
        ),
        Misconception(
            "gamma-once",
            lambda rewards, values, gamma, lam: _backwards(rewards + gamma * _next(values) - values, lam),
            "A_{t+1} is multiplied by λ alone; it is one token later, so γ belongs there too: γ λ.",
        ),
        Misconception(
            "next-value-not-discounted",
            lambda rewards, values, gamma, lam: _backwards(rewards + _next(values) - values, gamma * lam),
            "In δ the next value is not multiplied by γ.",
        ),
        Misconception(
            "deltas-only",
            lambda rewards, values, gamma, lam: rewards + gamma * _next(values) - values,
            "These are the deltas, which is GAE with λ = 0: only the next opinion counts. Add γ λ A_{t+1}.",
        ),
        Misconception(
            "lambda-1",
            lambda rewards, values, gamma, lam: _backwards(rewards, gamma) - values,
            "This is the return from t on minus the value, which is GAE with λ = 1: λ has been left out.",
        ),
        Misconception(
            "returns",
            lambda rewards, values, gamma, lam: (
                values + _backwards(rewards + gamma * _next(values) - values, gamma * lam)
            ),
            "The values are added again: these are the returns, which the critic learns. Asked for are the advantages.",
        ),
    ),
    hints=(
        "Write down the 1-step estimates first, δ_t = r_t + γ V_{t+1} − V_t. A k-step estimate is δ_t + γ δ_{t+1} + "
        "... + γ^{k−1} δ_{t+k−1}, and so A_t = δ_t + γ λ A_{t+1}.",
        "What is the next value after the last token?",
        "`next_values = torch.cat([values[1:], values.new_zeros(1)])`, and all deltas come in one line.",
        "Then a loop `for t in reversed(range(len(deltas)))`, which keeps the advantage of the token after.",
    ),
    sources=("labkit.algorithms.gae:gae",),
)
