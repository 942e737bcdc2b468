"""Exercise of notebook 04: the reward of each token, with a KL penalty in it."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def token_kl_reward(
    scores: Float[Tensor, " batch"],
    logprobs: Float[Tensor, "batch time"],
    ref_logprobs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    kl_coef: float,
) -> Float[Tensor, "batch time"]:
    from labkit.algorithms import kl_estimate, token_rewards

    return token_rewards(scores, mask, kl_estimate(logprobs, ref_logprobs, "k1"), kl_coef)


def _plain(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _last(mask: Tensor) -> Tensor:
    return mask & (mask.flip(1).cumsum(1).flip(1) == 1)


def _first(mask: Tensor) -> Tensor:
    return mask & (mask.cumsum(1) == 1)


def _last_column(mask: Tensor) -> Tensor:
    return torch.arange(mask.shape[1]).expand_as(mask) == mask.shape[1] - 1


def _variant(
    where: Callable[[Tensor], Tensor] = _last,
    penalty: Callable[[Tensor], Tensor] = lambda x: x,
    sign: float = -1.0,
    masked: bool = True,
    at_the_end: bool = False,
) -> Callable[..., Tensor]:
    """The reward with one part exchanged; without arguments it is right."""

    def rewards(scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
        kl = penalty(logprobs - ref_logprobs) * (mask if masked else 1.0)
        if at_the_end:
            kl = kl.sum(1, keepdim=True) * _last(mask)
        return scores[:, None] * where(mask) + sign * kl_coef * kl

    return rewards


def _random_batch(generator: random.Random) -> Case:
    batch, time = generator.randint(1, 3), generator.randint(4, 6)
    source = torch.Generator().manual_seed(generator.randrange(2**31))
    logprobs, ref = (-2 * torch.rand(batch, time, generator=source, dtype=torch.float32) for _ in range(2))
    starts = [generator.randint(0, 1) for _ in range(batch)]
    ends = [generator.randint(start + 2, time) for start in starts]
    columns = torch.arange(time)
    mask = (columns >= torch.tensor(starts)[:, None]) & (columns < torch.tensor(ends)[:, None])
    scores = torch.randn(batch, generator=source, dtype=torch.float32)
    return Case((scores, logprobs, ref, mask, generator.choice([0.05, 0.2, 1.0])))


EXERCISE = Exercise(
    name="token-kl-reward",
    title="The KL penalty, token by token",
    notebook="04_rlhf_ppo",
    spec=(
        "`scores` [batch] of the reward model, one an answer; `logprobs` and `ref_logprobs` [batch, time] of the "
        "sampled tokens under the policy and under the frozen reference; `mask` [batch, time], True for the tokens of "
        "the answer. Return the reward of each token [batch, time]: −kl_coef · (logprobs − ref_logprobs) at each token "
        "of the answer, plus the score at its LAST token.\n\n"
        "- 0 outside the mask; before the answer stands the prompt, behind it perhaps padding."
    ),
    stub=(
        "def token_kl_reward(\n"
        '    scores: Float[Tensor, " b"],\n'
        '    logprobs: Float[Tensor, "b t"],\n'
        '    ref_logprobs: Float[Tensor, "b t"],\n'
        '    mask: Bool[Tensor, "b t"],\n'
        "    kl_coef: float,\n"
        ') -> Float[Tensor, "b t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=token_kl_reward,
    literal=(
        Case(
            (_plain([2.0]), _plain([[-1.0, -1.0]]), _plain([[-2.0, -0.5]]), torch.tensor([[True, True]]), 0.5),
            "log-ratios 1 and −.5: −.5, and 2 + .25",
        ),
        Case(
            (_plain([2.0]), _plain([[-1.0, -1.0]]), _plain([[-1.0, -1.0]]), torch.tensor([[True, True]]), 0.5),
            "policy and reference agree: the score at the last token is all",
        ),
        Case(
            (
                _plain([1.0]),
                _plain([[-3.0, -1.0, -1.0, -4.0]]),
                _plain([[-1.0, -2.0, -3.0, -1.0]]),
                torch.tensor([[False, True, True, False]]),
                0.1,
            ),
            "a prompt token before the answer, padding behind it",
        ),
        Case(
            (
                _plain([1.0, -1.0]),
                _plain([[-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]]),
                _plain([[-1.5, -1.5, -1.5], [-0.5, -0.5, -0.5]]),
                torch.tensor([[True, True, True], [True, True, False]]),
                1.0,
            ),
            "two answers, of three and of two tokens",
        ),
    ),
    random=_random_batch,
    misconceptions=(
        Misconception(
            "upside-down",
            _variant(sign=1.0),
            "The sign of the KL: as it stands the policy is PAID for being far from the reference. It must cost.",
        ),
        Misconception(
            "score-everywhere",
            _variant(where=lambda mask: mask),
            "The score stands at every token. Summed up, a longer answer then gets it more often, and the policy "
            "learns to ramble; the answer has one score, at its last token.",
        ),
        Misconception(
            "last-column",
            _variant(where=_last_column),
            "The score stands in the last COLUMN. Where an answer ends earlier, that is padding, and its score is "
            "lost. Find the last True of each row of the mask.",
        ),
        Misconception(
            "first-token",
            _variant(where=_first),
            "The score stands at the answer's first token: all later tokens would get no credit for it.",
        ),
        Misconception(
            "not-masked",
            _variant(masked=False),
            "The penalty is also paid outside the mask, for prompt and padding, which the policy did not choose.",
        ),
        Misconception(
            "absolute",
            _variant(penalty=torch.abs),
            "It punishes the absolute log-ratio. The signed one is meant: tokens at which the policy is LESS sure than "
            "the reference get something back, and only so is the sum an unbiased estimate of the KL.",
            (_variant(penalty=lambda x: x.square() / 2), _variant(penalty=lambda x: torch.expm1(-x) + x)),
        ),
        Misconception(
            "kl-at-the-end",
            _variant(at_the_end=True),
            "The sums are right, but the whole KL is paid at the last token. Asked for is each token's own: so it is "
            "known which token went astray.",
        ),
    ),
    hints=(
        "Two parts: a penalty at every True of the mask, and a score at the last True of each row.",
        "`mask.flip(1).cumsum(1).flip(1)` counts the Trues from here to the end of the row.",
        "`last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)`; `scores[:, None] * last - kl_coef * (...) * mask`.",
    ),
    sources=("labkit.algorithms.shaping:token_rewards",),
)
