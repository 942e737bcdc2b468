"""How far is the student from the teacher? Divergences between next-token distributions, exact over the vocabulary.

S is the student, T the teacher, both given the same text. All divergences are in nats, one number a position:

- reverse KL, KL(S || T) = sum S log(S / T): the student pays for what the teacher would not say. It seeks a mode.
- forward KL, KL(T || S) = sum T log(T / S): the student pays for what it leaves out. It covers all modes.
- the generalised Jensen-Shannon divergence lies between the two (Agarwal et al. 2024, "On-policy distillation",
  arXiv:2306.13649, eq. 1).

Whose text it is matters more than which divergence: on-policy distillation (MiniLLM, Gu et al. 2024; GKD) takes the
student's own samples, so that the teacher corrects the mistakes that the student makes, and not the teacher's.
"""

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.algorithms.reduction import check_choice

Divergence = Literal["reverse_kl", "forward_kl", "jsd"]


def reverse_kl(
    student_logits: Float[Tensor, "*shape vocab"], teacher_logits: Float[Tensor, "*shape vocab"]
) -> Float[Tensor, "*shape"]:
    """KL(student || teacher) of the two softmax distributions, nats. Differentiable in both.

    A logit of -inf (a token that can't occur) is allowed where the other is -inf too, and in the student's alone; where
    the teacher alone rules a token out the divergence is infinite.

    >>> student, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> round(reverse_kl(student, teacher).item(), 4)  # 0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1)
    0.5108
    """
    _check_vocabulary(student_logits, teacher_logits)
    return _kl(student_logits.log_softmax(-1), teacher_logits.log_softmax(-1))


def forward_kl(
    student_logits: Float[Tensor, "*shape vocab"], teacher_logits: Float[Tensor, "*shape vocab"]
) -> Float[Tensor, "*shape"]:
    """KL(teacher || student) of the two softmax distributions, nats: `reverse_kl` with the roles exchanged.

    With a fixed teacher its gradient is that of the cross-entropy on the teacher's whole distribution: soft-label SFT.

    >>> student, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> round(forward_kl(student, teacher).item(), 4)  # 0.9 log(0.9 / 0.5) + 0.1 log(0.1 / 0.5)
    0.3681
    """
    return reverse_kl(teacher_logits, student_logits)


def generalized_jsd(
    student_logits: Float[Tensor, "*shape vocab"], teacher_logits: Float[Tensor, "*shape vocab"], beta: float = 0.5
) -> Float[Tensor, "*shape"]:
    """beta KL(T || M) + (1 - beta) KL(S || M) with the mixture M = beta T + (1 - beta) S, nats.

    Raises ValueError unless 0 < beta < 1: at both ends the divergence is 0 whatever the student does. (What it tends
    to there, divided by beta or 1 - beta, is the forward or the reverse KL: GKD's convention for beta = 0 and 1. Here
    they are called by their names.) It never exceeds the entropy of (beta, 1 - beta): log 2 at beta = 0.5.

    >>> student, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> round(generalized_jsd(student, teacher).item(), 4)
    0.1017
    """
    _check_vocabulary(student_logits, teacher_logits)
    if not 0 < beta < 1:
        raise ValueError(f"beta must lie between 0 and 1, not {beta}: at the ends use forward_kl or reverse_kl")
    student, teacher = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * _kl(teacher, mixture) + (1 - beta) * _kl(student, mixture)


def divergence(
    student_logits: Float[Tensor, "*shape vocab"],
    teacher_logits: Float[Tensor, "*shape vocab"],
    kind: Divergence = "reverse_kl",
    beta: float = 0.5,
) -> Float[Tensor, "*shape"]:
    """One of the three by name; `beta` is for `jsd` alone. Raises ValueError for an unknown name."""
    check_choice("kind", kind, get_args(Divergence))
    if kind == "jsd":
        return generalized_jsd(student_logits, teacher_logits, beta)
    return (reverse_kl if kind == "reverse_kl" else forward_kl)(student_logits, teacher_logits)


def distillation_rewards(
    logprobs: Float[Tensor, "*shape"], teacher_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """The reward of each token that was SAMPLED FROM THE STUDENT: log T(token) - log S(token), without gradient.

    Its expectation is minus the reverse KL. So a policy gradient on it, each token credited with its own reward alone,
    follows in expectation the gradient of `reverse_kl` with the prefixes held fixed, from two numbers a token instead
    of two whole distributions: of use where the teacher's logits are far away, and noisier. Credited with the sum of
    the rewards from a token on, it follows the reverse KL of whole answers (MiniLLM).

    >>> distillation_rewards(torch.tensor([-0.5, -2.0]), torch.tensor([-1.5, -0.5])).tolist()
    [-1.0, 1.5]
    """
    return (teacher_logprobs - logprobs).detach()


def _kl(log_p: Float[Tensor, "*shape vocab"], log_q: Float[Tensor, "*shape vocab"]) -> Float[Tensor, "*shape"]:
    """KL(p || q); a token with p = 0 adds nothing, in value and in gradient (log p - log q would be NaN there)."""
    possible = log_p > -torch.inf
    ratio = torch.where(possible, log_p, 0.0) - torch.where(possible, log_q, 0.0)
    return (log_p.exp() * ratio).sum(-1)


def _check_vocabulary(student_logits: Tensor, teacher_logits: Tensor) -> None:
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"logits of student {list(student_logits.shape)} and teacher {list(teacher_logits.shape)} differ in shape: "
            "a divergence needs the same positions and the same vocabulary"
        )
