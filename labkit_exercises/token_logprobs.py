"""Exercise of notebook 08: how likely were the tokens that stand there?"""

from __future__ import annotations

import random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def token_logprobs(
    logits: Float[Tensor, "batch time vocabulary"], tokens: Int[Tensor, "batch time"]
) -> Float[Tensor, "batch time"]:
    from types import SimpleNamespace

    from labkit import models

    # labkit's function runs a model; here is one whose logits are already known.
    return models.token_logprobs(lambda **inputs: SimpleNamespace(logits=logits), tokens)


def _pick(scores: Tensor, tokens: Tensor) -> Tensor:
    """scores[b, t, tokens[b, t]], [batch, time]."""
    return scores.gather(-1, tokens[..., None])[..., 0]


def _front(values: Tensor) -> Tensor:
    return torch.cat([values.new_zeros(len(values), 1), values], 1)


def _shifted(scores: Tensor, tokens: Tensor) -> Tensor:
    """What is right, once `scores` are log-probs."""
    return _front(_pick(scores[:, :-1], tokens[:, 1:]))


def _unshifted(logits: Tensor, tokens: Tensor) -> Tensor:
    return _pick(logits.log_softmax(-1), tokens)


def _wrong_way(logits: Tensor, tokens: Tensor) -> Tensor:
    return _front(_pick(logits.log_softmax(-1)[:, 1:], tokens[:, :-1]))


def _wrong_way_rolled(logits: Tensor, tokens: Tensor) -> Tensor:
    return _pick(logits.log_softmax(-1), tokens.roll(1, 1))


def _wrong_way_end(logits: Tensor, tokens: Tensor) -> Tensor:
    return _front(_pick(logits.log_softmax(-1)[:, 1:], tokens[:, :-1])).roll(-1, 1)


def _one_column_short(logits: Tensor, tokens: Tensor) -> Tensor:
    return _pick(logits.log_softmax(-1)[:, :-1], tokens[:, 1:])


def _tensor(values: list, grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=grad)


def _random_logits(generator: random.Random) -> Case:
    batch, time, vocabulary = generator.randint(1, 3), generator.randint(2, 5), generator.randint(2, 6)
    source = torch.Generator().manual_seed(generator.randrange(2**31))
    logits = 2 * torch.randn(batch, time, vocabulary, generator=source, dtype=torch.float32)
    return Case((logits.requires_grad_(), torch.randint(vocabulary, (batch, time), generator=source)))


EXERCISE = Exercise(
    name="token-logprobs",
    title="Log-probabilities of the tokens that stand there",
    notebook="08_rlvr_from_scratch",
    spec=(
        "From a model's `logits` [batch, time, vocabulary] and the `tokens` [batch, time] that it read, "
        "return [batch, time] with log p(tokens[:, t] | tokens[:, :t]) in column t.\n\n"
        "- The logits at position t are the model's forecast of the token at position **t + 1**.\n"
        "- Nothing forecasts the first token: column 0 is 0.\n"
        "- The gradient must flow to `logits`. In nats; also right for large logits, such as 1000."
    ),
    stub=(
        "def token_logprobs(\n"
        '    logits: Float[Tensor, "b t v"], tokens: Int[Tensor, "b t"]\n'
        ') -> Float[Tensor, "b t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=token_logprobs,
    literal=(
        Case(
            (_tensor([[[0, 1], [2, 0], [0, 0]]], grad=True), torch.tensor([[0, 1, 0]])),
            "column 1 is log(e/(1+e)) = -0.3133, from the logits [0, 1] that stand at position 0",
        ),
        Case(
            (
                _tensor([[[1, 2, 3], [3, 1, 0]], [[0, 0, 0], [5, 0, 0]]], grad=True),
                torch.tensor([[0, 2], [1, 0]]),
            ),
            "two rows, a vocabulary of 3; log(1/3) = -1.0986 in the second",
        ),
        Case(
            (_tensor([[[200, 0, 0], [0, 0, 0]]]), torch.tensor([[0, 1]])),
            "a probability of e^-200, which is 0 in float32; its logarithm is -200 all the same",
        ),
    ),
    random=_random_logits,
    misconceptions=(
        Misconception(
            "no-shift",
            _unshifted,
            "There is no shift: the logits at position t were asked about the token at position t, which "
            "the model has already read. They forecast the token at t + 1, so logits[:, :-1] go with "
            "tokens[:, 1:].",
            (lambda logits, tokens: _front(_unshifted(logits, tokens)[:, 1:]),),
        ),
        Misconception(
            "shift-wrong-way",
            _wrong_way,
            "The shift goes the wrong way: logits[:, 1:] with tokens[:, :-1] asks each forecast about the "
            "token before it. It is logits[:, :-1] and tokens[:, 1:].",
            (_wrong_way_rolled, _wrong_way_end),
        ),
        Misconception(
            "zero-at-the-end",
            lambda logits, tokens: _shifted(logits.log_softmax(-1), tokens).roll(-1, 1),
            "The numbers are right but stand one column too early: the zero belongs in front. Column t is "
            "about token t itself, so that it lines up with tokens and mask.",
        ),
        Misconception(
            "one-column-short",
            _one_column_short,
            "The numbers are right, but there are t - 1 columns. Put a column of zeros in front, so that "
            "column t is about token t and lines up with tokens and mask.",
        ),
        Misconception(
            "no-log",
            lambda logits, tokens: _shifted(logits.softmax(-1), tokens),
            "These are probabilities, not their logarithms: `log_softmax`, not `softmax`.",
        ),
        Misconception(
            "not-normalised",
            lambda logits, tokens: _shifted(logits, tokens),
            "These are the raw logits. A logit means nothing by itself: subtract logsumexp over the "
            "vocabulary, as `log_softmax(-1)` does.",
        ),
        Misconception(
            "wrong-axis",
            lambda logits, tokens: _shifted(logits.log_softmax(1), tokens),
            "The softmax runs over time instead of the vocabulary: it belongs on the last axis, `dim=-1`.",
            (lambda logits, tokens: _shifted(logits[:, :-1].log_softmax(1), tokens),),
        ),
        Misconception(
            "log-of-softmax",
            lambda logits, tokens: _shifted(logits.softmax(-1).log(), tokens),
            "log(softmax(x)) is infinite as soon as a probability is too small for float32. `log_softmax` "
            "(or x minus `logsumexp`) never leaves the logarithm.",
            (lambda logits, tokens: _shifted(logits - logits.exp().sum(-1, keepdim=True).log(), tokens),),
        ),
    ),
    hints=(
        "Which position's logits forecast `tokens[:, 1]`? Line both up with slices: one loses its last "
        "column, the other its first.",
        "`logits.log_softmax(-1)` has a log-prob for every word; `.gather(-1, index[..., None])` picks one a position.",
        "With t - 1 columns in hand, `torch.cat` a column of zeros in FRONT.",
    ),
    sources=("labkit.models.logprobs:token_logprobs", "labkit.models.logprobs:shifted_logits"),
)
