"""Exercise of notebook 01: draw a token from logits, with a temperature."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def sample_token(logits: Float[Tensor, " vocabulary"], u: float, temperature: float) -> int:
    p = (logits / temperature).softmax(-1)
    # The first token at which the probabilities so far exceed u; the last one where rounding leaves none.
    return min(int((p.cumsum(-1) <= u).sum()), len(logits) - 1)


def _at(p: Tensor, u: float) -> int:
    return min(int((p.cumsum(-1) <= u).sum()), len(p) - 1)


def _sorted(logits: Tensor, u: float, temperature: float) -> int:
    p, order = (logits / temperature).softmax(-1).sort(descending=True)
    return int(order[_at(p, u)])


def _random_draw(generator: random.Random) -> Case:
    size = generator.randint(2, 6)
    logits = torch.tensor([generator.gauss(0, 2) for _ in range(size)], dtype=torch.float32)
    return Case((logits, generator.random(), generator.choice([0.3, 0.5, 1.0, 2.0])))


def _logits(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float32).log()


EXERCISE = Exercise(
    name="sample-token",
    title="Draw a token",
    notebook="01_language_models_as_policies",
    spec=(
        "`logits` [vocabulary] are a model's scores for the next token, `u` is a random number, uniform in [0, 1). "
        "Return the index of the token that is drawn (an int) at `temperature`.\n\n"
        "- The distribution is the softmax of logits / temperature.\n"
        "- Lay the probabilities end to end along the line from 0 to 1, in the order of the vocabulary: the token in "
        "whose stretch `u` falls is drawn. A stretch contains its left end, not its right one."
    ),
    stub=(
        'def sample_token(logits: Float[Tensor, " v"], u: float, temperature: float) -> int:\n'
        "    raise NotImplementedError\n"
    ),
    reference=sample_token,
    literal=(
        Case((_logits(0.5, 0.3, 0.2), 0.6, 1.0), "stretches 0 to .5, .5 to .8, .8 to 1: u = .6 falls into the second"),
        Case((_logits(0.5, 0.3, 0.2), 0.1, 1.0), "u = .1 falls into the first stretch"),
        Case((_logits(0.5, 0.3, 0.2), 0.9, 1.0), "u = .9 falls into the last stretch"),
        Case((_logits(0.2, 0.3, 0.5), 0.4, 1.0), "the order is that of the vocabulary, not of the probabilities"),
        Case((_logits(0.2, 0.8), 0.1, 0.5), "at temperature .5 the odds 1 : 4 become 1 : 16, and .1 is past 1/17"),
        Case((_logits(0.2, 0.8), 0.3, 2.0), "at temperature 2 the odds become 1 : 2: the first stretch ends at 1/3"),
        Case((torch.tensor([0.0, 0.0]), 0.5, 1.0), "u exactly on a border belongs to the stretch that begins there"),
    ),
    random=_random_draw,
    misconceptions=(
        Misconception(
            "greedy",
            lambda logits, u, temperature: int(logits.argmax()),
            "This always takes the likeliest token, whatever u is: that is greedy decoding, temperature 0. A sample "
            "must come out as often as its probability says.",
        ),
        Misconception(
            "no-temperature",
            lambda logits, u, temperature: _at(logits.softmax(-1), u),
            "The temperature is not used: the softmax is of logits / temperature.",
        ),
        Misconception(
            "times-temperature",
            lambda logits, u, temperature: _at((logits * temperature).softmax(-1), u),
            "The logits are multiplied by the temperature. Divide: a LOW temperature makes differences larger and the "
            "choice surer.",
        ),
        Misconception(
            "temperature-after-softmax",
            lambda logits, u, temperature: _at(logits.softmax(-1) / temperature, u),
            "The probabilities are divided by the temperature, so that they no longer add up to 1. It belongs inside "
            "the softmax, on the logits.",
        ),
        Misconception(
            "sorted",
            _sorted,
            "The probabilities were sorted first. As a way of sampling that is right, but the exercise lays them in "
            "the order of the vocabulary, so that the same u gives the same token for everybody.",
        ),
        Misconception(
            "one-too-early",
            lambda logits, u, temperature: max(_at((logits / temperature).softmax(-1), u) - 1, 0),
            "The index is one too small: count the stretches that END at or before u. Their number is the index of "
            "the stretch in which u lies.",
        ),
        Misconception(
            "from-the-right",
            lambda logits, u, temperature: len(logits) - 1 - _at((logits / temperature).softmax(-1).flip(0), u),
            "The stretches are laid from the wrong end: the first token of the vocabulary begins at 0.",
            (lambda logits, u, temperature: _at((logits / temperature).softmax(-1), 1 - u),),
        ),
        Misconception(
            "border",
            lambda logits, u, temperature: min(
                int(((logits / temperature).softmax(-1).cumsum(-1) < u).sum()), len(logits) - 1
            ),
            "Nearly: a u that lies exactly on a border belongs to the stretch that begins there (`<=`, not `<`). Else "
            "a token of probability 0 at the front is drawn when u is 0.",
        ),
    ),
    hints=(
        "`(logits / temperature).softmax(-1)`, then `cumsum(-1)`: these are the right ends of the stretches.",
        "How many right ends lie at or before u? That is the index.",
        "`int((ends <= u).sum())`; rounding may leave the last end a little below 1, so cap it at the last index.",
    ),
    sources=("labkit.sampling.choose:choose",),
)
