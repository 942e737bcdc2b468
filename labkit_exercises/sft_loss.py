"""Exercise of notebook 02: the loss of supervised fine-tuning."""

from __future__ import annotations

import random

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def sft_loss(logprobs: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, ""]:
    from labkit.algorithms import masked_mean

    return -masked_mean(logprobs, mask)


def _zeroed(logprobs: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, logprobs, 0.0)


def _plain(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def _random_batch(generator: random.Random) -> Case:
    batch, time = generator.randint(1, 3), generator.randint(2, 6)
    logprobs = _plain([[-generator.expovariate(1) for _ in range(time)] for _ in range(batch)])
    starts = [generator.randrange(time) for _ in range(batch)]
    ends = [generator.randint(start + 1, time) for start in starts]
    mask = [[start <= t < end for t in range(time)] for start, end in zip(starts, ends, strict=True)]
    return Case((logprobs, torch.tensor(mask)))


EXERCISE = Exercise(
    name="sft-loss",
    title="The loss of SFT",
    notebook="02_instruction_tuning",
    spec=(
        "`logprobs` [batch, time] holds log p of each token under the model, `mask` [batch, time] is True on the "
        "tokens of the replies (at least one in the batch). Return the loss to minimise, a scalar: minus the mean "
        "log-prob over **all masked tokens of the batch together**.\n\n"
        "- Every token of a reply counts the same, whether its reply is short or long.\n"
        "- The gradient must flow to `logprobs`."
    ),
    stub=(
        "def sft_loss(\n"
        '    logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]\n'
        ') -> Float[Tensor, ""]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=sft_loss,
    literal=(
        Case(
            (_plain([[-5.0, -1.0, -2.0]]), torch.tensor([[False, True, True]])),
            "the prompt's -5 does not count: (1 + 2) / 2",
        ),
        Case(
            (
                _plain([[-1.0, -3.0, -9.0], [-1.0, -1.0, -1.0]]),
                torch.tensor([[False, True, False], [True, True, True]]),
            ),
            "a reply of one token and one of three: (3 + 1 + 1 + 1) / 4",
        ),
        Case((_plain([[-0.5, -0.5]]), torch.tensor([[True, True]])), "all tokens count"),
    ),
    random=_random_batch,
    misconceptions=(
        Misconception(
            "no-mask",
            lambda logprobs, mask: -logprobs.mean(),
            "The mask is not used: prompt and padding are trained on as well.",
        ),
        Misconception(
            "divides-by-all",
            lambda logprobs, mask: -_zeroed(logprobs, mask).mean(),
            "The sum is right, but it is divided by all tokens, prompt and padding included: the longer the prompts of "
            "a batch, the smaller its step.",
        ),
        Misconception(
            "mean-of-means",
            lambda logprobs, mask: -(_zeroed(logprobs, mask).sum(1) / mask.sum(1).clamp(min=1)).mean(),
            "This is the mean over each reply first, then over replies: a token of a short reply counts for more than "
            "one of a long reply. Asked for is the mean over all tokens together.",
        ),
        Misconception(
            "sum",
            lambda logprobs, mask: -_zeroed(logprobs, mask).sum(),
            "This is the sum: it grows with the batch, and the learning rate would have to shrink with it. Divide by "
            "the number of masked tokens.",
        ),
        Misconception(
            "wrong-sign",
            lambda logprobs, mask: _zeroed(logprobs, mask).sum() / mask.sum(),
            "The sign: a loss is minimised, so as it stands the demonstrations would become ever LESS likely.",
        ),
        Misconception(
            "probabilities",
            lambda logprobs, mask: 1 - (logprobs.exp() * mask).sum() / mask.sum(),
            "This goes by probabilities, not log-probs. It nearly ignores a token of probability 0.001, the very one "
            "that there is most to learn from.",
            (lambda logprobs, mask: -(logprobs.exp() * mask).sum() / mask.sum(),),
        ),
    ),
    hints=(
        "`torch.where(mask, logprobs, 0.0)` keeps what counts.",
        "Sum over the whole batch, and divide by `mask.sum()`.",
        "Do not forget the minus.",
    ),
    sources=("labkit.algorithms.reduction:masked_mean",),
)
