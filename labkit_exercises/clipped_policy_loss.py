"""Exercise of notebook 08: the loss that learns from the advantages."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def _tensor(values: list, grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=grad)


def clipped_policy_loss(
    logprobs: Float[Tensor, "batch time"],
    old_logprobs: Float[Tensor, "batch time"],
    advantages: Float[Tensor, " batch"],
    mask: Bool[Tensor, "batch time"],
    clip: float = 0.2,
) -> Float[Tensor, ""]:
    from labkit.algorithms import policy_loss

    loss, _ = policy_loss(logprobs, old_logprobs, advantages, mask, clip_low=clip, clip_high=clip)
    return loss


def _token_mean(values: Tensor, mask: Tensor) -> Tensor:
    return values[mask].mean()


def _row_mean(values: Tensor, mask: Tensor) -> Tensor:
    return ((values * mask).sum(1) / mask.sum(1)).mean()


def _clip_loss(
    objective: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda r, c, a: torch.minimum(r * a, c * a),
    ratio: Callable[[Tensor, Tensor], Tensor] = lambda new, old: (new - old).exp(),
    mean: Callable[[Tensor, Tensor], Tensor] = _token_mean,
    sign: float = -1.0,
    column: bool = True,
) -> Callable[..., Tensor]:
    """The loss with one part exchanged; without arguments it is right."""

    def loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
        r = ratio(logprobs, old_logprobs)
        a = advantages[:, None] if column else advantages
        return mean(sign * objective(r, r.clamp(1 - clip, 1 + clip), a), mask)

    return loss


def _random_batch(generator: random.Random) -> Case:
    batch, time = generator.randint(2, 4), generator.randint(5, 7)
    source = torch.Generator().manual_seed(generator.randrange(2**31))
    old = -2 * torch.rand(batch, time, generator=source, dtype=torch.float32)
    new = old + 0.4 * torch.randn(batch, time, generator=source, dtype=torch.float32)
    starts = [generator.randint(0, 2) for _ in range(batch)]
    ends = [generator.randint(start + 1, time) for start in starts]
    columns = torch.arange(time)
    mask = (columns >= torch.tensor(starts)[:, None]) & (columns < torch.tensor(ends)[:, None])
    advantages = torch.randn(batch, generator=source, dtype=torch.float32)
    return Case((new.requires_grad_(), old, advantages, mask, generator.choice([0.1, 0.2, 0.3])))


def _one_row(ratios: list[float], advantage: float, note: str) -> Case:
    """One sequence whose tokens have these ratios, all in the mask."""
    old = _tensor([[-1.0] * len(ratios)])
    new = (old + _tensor([ratios]).log()).requires_grad_()
    return Case((new, old, _tensor([advantage]), torch.ones(1, len(ratios), dtype=torch.bool)), note)


EXERCISE = Exercise(
    name="clipped-policy-loss",
    title="The clipped policy loss",
    notebook="08_rlvr_from_scratch",
    spec=(
        "`logprobs` (of the policy now; the gradient flows through them) and `old_logprobs` (when sampled) "
        "[batch, time]; `advantages` [batch], one a sequence; `mask` [batch, time], True on the tokens that "
        "the policy chose. Return a scalar tensor, to be minimised.\n\n"
        "With the ratio r = exp(logprobs − old_logprobs), each token contributes\n"
        "−min(r·A, clip(r, 1 − clip, 1 + clip)·A) (Schulman et al. 2017, equation 7);\n"
        "the loss is the mean over **all tokens of the mask** together (DAPO's token mean)."
    ),
    stub=(
        "def clipped_policy_loss(\n"
        '    logprobs: Float[Tensor, "b t"],\n'
        '    old_logprobs: Float[Tensor, "b t"],\n'
        '    advantages: Float[Tensor, " b"],\n'
        '    mask: Bool[Tensor, "b t"],\n'
        "    clip: float = 0.2,\n"
        ') -> Float[Tensor, ""]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=clipped_policy_loss,
    literal=(
        _one_row([1.0, 1.0], 1.0, "on-policy: all ratios are 1, so the loss is -A and the gradient -A/2 a token"),
        _one_row([1.5], 1.0, "A > 0 and r = 1.5: clipped to 1.2, no gradient"),
        _one_row([0.5], 1.0, "A > 0 and r = 0.5: not clipped, the token must come back up"),
        _one_row([1.5], -1.0, "A < 0 and r = 1.5: not clipped, the token must come down"),
        _one_row([0.5], -1.0, "A < 0 and r = 0.5: clipped to 0.8, no gradient"),
        Case(
            (
                _tensor([[-1, -1, -1], [-1, -2, -9]], grad=True),
                _tensor([[-1, -1, -1], [-1, -2, -3]]),
                _tensor([1, -2]),
                torch.tensor([[True, True, True], [True, False, False]]),
            ),
            "three tokens with A = 1 and one with A = -2: the mean of the four is (-1 -1 -1 +2)/4",
        ),
    ),
    random=_random_batch,
    misconceptions=(
        Misconception(
            "no-gradient",
            _clip_loss(ratio=lambda new, old: (new.detach() - old).exp()),
            "The value is right but there is no gradient: the ratio was detached (`.detach()`, `.item()`, "
            "`torch.tensor` or `no_grad`), so nothing would be learned. Only `old_logprobs` are constants.",
        ),
        Misconception(
            "not-negated",
            _clip_loss(sign=1.0),
            "The sign: an optimiser minimises, and this would make GOOD answers less likely. The loss is "
            "minus the objective.",
        ),
        Misconception(
            "ratio-upside-down",
            _clip_loss(ratio=lambda new, old: (old - new).exp()),
            "The ratio is upside down: it is p_now / p_old = exp(logprobs - old_logprobs). This one pushes "
            "good tokens down.",
        ),
        Misconception(
            "no-exp",
            _clip_loss(ratio=lambda new, old: new - old),
            "The ratio lacks its exp: logprobs - old_logprobs is the LOGARITHM of the ratio.",
        ),
        Misconception(
            "inverted-for-negative",
            _clip_loss(lambda r, c, a: torch.minimum(r, c) * a),
            "It is inverted for A < 0: min(r, clip(r))·A is the LARGER of the two products when A is "
            "negative. Multiply by A first, then take the minimum; otherwise a bad token that became "
            "likelier is not pushed down.",
        ),
        Misconception(
            "max-instead-of-min",
            _clip_loss(lambda r, c, a: torch.maximum(r * a, c * a)),
            "It takes the larger of the two products; PPO is pessimistic and takes the smaller. (In a loss, "
            "after the minus sign, it is the maximum of -r·A and -clip(r)·A.)",
        ),
        Misconception(
            "clip-alone",
            _clip_loss(lambda r, c, a: c * a),
            "The ratio is clipped, but the minimum with the unclipped r·A is missing: a token that went the "
            "wrong way too far gets no gradient to come back.",
        ),
        Misconception(
            "not-clipped",
            _clip_loss(lambda r, c, a: r * a),
            "Nothing is clipped: with several updates on one batch the ratios run away.",
        ),
        Misconception(
            "padding-counts",
            _clip_loss(mean=lambda values, mask: (values * mask).mean()),
            "The mean runs over all positions, prompt and padding included. Divide by the number of tokens "
            "in the mask; otherwise the learning rate depends on how much padding there is.",
            (_clip_loss(mean=lambda values, mask: values.mean()),),
        ),
        Misconception(
            "sequence-mean",
            _clip_loss(mean=_row_mean),
            "This is the mean of each sequence, then the mean over sequences: a token of a long answer "
            "weighs less. Asked for is the mean over all tokens together, sum over the mask divided by its "
            "size.",
        ),
        Misconception(
            "sum",
            _clip_loss(mean=lambda values, mask: values[mask].sum()),
            "This is the sum over the tokens; divide by their number, `mask.sum()`.",
            (_clip_loss(mean=lambda values, mask: values[mask].sum() / len(mask)),),
        ),
        Misconception(
            "advantages-along-time",
            _clip_loss(column=False),
            "`advantages` [batch] is broadcast along TIME: torch lines up the last axes. Make it a column, "
            "`advantages[:, None]`, so that each row has its own.",
        ),
    ),
    hints=(
        "Start with the ratio [batch, time], and make the advantages a column, so that they broadcast over time.",
        "Two products, r·A and clip(r)·A (`Tensor.clamp`); `torch.minimum` of the two; a minus sign.",
        "The mean over the tokens of the mask: `(per_token * mask).sum() / mask.sum()`.",
    ),
    sources=("labkit.algorithms.policy:policy_loss", "labkit.algorithms.policy:_clip_objective"),
)
