"""How far is the student from the teacher? Divergences between next-token distributions, exact over the vocabulary.

S is the student's distribution and T the teacher's, both after the same text. All divergences are in nats, one number
per position:

- reverse KL, KL(S || T) = sum S log(S / T), is large where the student gives probability to tokens that the teacher
  finds unlikely. Minimising it concentrates the student on a mode of the teacher.
- forward KL, KL(T || S) = sum T log(T / S), is large where the student gives too little probability to the teacher's
  tokens. Minimising it spreads the student over all modes.
- the generalised Jensen-Shannon divergence lies between the two (Agarwal et al. 2024, "On-policy distillation",
  arXiv:2306.13649, eq. 1).

The choice of the text matters more than the choice of the divergence. On-policy distillation (MiniLLM, Gu et al. 2024;
GKD) uses samples of the student: the teacher then corrects the mistakes that the student really makes.
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
    """KL(student || teacher) of the two softmax distributions, in nats per position; differentiable in both.

    Logits [..., vocab], result [...]. A logit of -inf means that the token cannot occur. It may stand in both, or in
    the student's logits alone; where it stands in the teacher's alone, the divergence is infinite. Raises ValueError
    for logits of different shapes. Source: Gu et al. 2024, "MiniLLM".

    >>> student, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> round(reverse_kl(student, teacher).item(), 4)  # 0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1)
    0.5108
    """
    _check_vocabulary(student_logits, teacher_logits)
    return _kl(student_logits.log_softmax(-1), teacher_logits.log_softmax(-1))


def forward_kl(
    student_logits: Float[Tensor, "*shape vocab"], teacher_logits: Float[Tensor, "*shape vocab"]
) -> Float[Tensor, "*shape"]:
    """KL(teacher || student) of the two softmax distributions, in nats per position: `reverse_kl` with exchanged roles.

    With a fixed teacher, its gradient is that of the cross-entropy to the teacher's whole distribution: supervised
    fine-tuning on soft labels (Hinton et al. 2015, "Distilling the knowledge in a neural network"). Shapes and errors
    as in `reverse_kl`.

    >>> student, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> round(forward_kl(student, teacher).item(), 4)  # 0.9 log(0.9 / 0.5) + 0.1 log(0.1 / 0.5)
    0.3681
    """
    return reverse_kl(teacher_logits, student_logits)


def generalized_jsd(
    student_logits: Float[Tensor, "*shape vocab"], teacher_logits: Float[Tensor, "*shape vocab"], beta: float = 0.5
) -> Float[Tensor, "*shape"]:
    """beta KL(T || M) + (1 - beta) KL(S || M) with the mixture M = beta T + (1 - beta) S, in nats per position.

    Agarwal et al. 2024, eq. 1. It is at most the entropy of (beta, 1 - beta): log 2 at beta = 0.5. Shapes as in
    `reverse_kl`. Raises ValueError for logits of different shapes, and unless 0 < beta < 1: at both ends the divergence
    is 0 for every student. (Divided by beta it tends to the forward KL as beta tends to 0, and divided by 1 - beta to
    the reverse KL as beta tends to 1. GKD means these limits by beta = 0 and 1; use `forward_kl` and `reverse_kl`.)

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
    """One of the three divergences by name, in nats per position: logits [..., vocab], result [...].

    `beta` is used by `jsd` alone. Raises ValueError for an unknown name, and as the three functions do.
    """
    check_choice("kind", kind, get_args(Divergence))
    if kind == "jsd":
        return generalized_jsd(student_logits, teacher_logits, beta)
    return (reverse_kl if kind == "reverse_kl" else forward_kl)(student_logits, teacher_logits)


def distillation_rewards(
    logprobs: Float[Tensor, "*shape"], teacher_logprobs: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Reward of each token that the student sampled: log T(token) - log S(token), in nats, without gradient.

    Its expectation is minus the reverse KL. A policy gradient that credits each token with its own reward alone follows
    in expectation the gradient of `reverse_kl` with fixed prefixes. It needs two numbers per token instead of two whole
    distributions, which helps where the teacher's logits are on another machine, but it is noisier. Credited with the
    sum of the rewards from each token on, it follows the reverse KL of whole answers (MiniLLM, Gu et al. 2024). The
    tokens must be samples of the student: for other tokens the expectation is another one.

    >>> distillation_rewards(torch.tensor([-0.5, -2.0]), torch.tensor([-1.5, -0.5])).tolist()
    [-1.0, 1.5]
    """
    return (teacher_logprobs - logprobs).detach()


def _kl(log_p: Float[Tensor, "*shape vocab"], log_q: Float[Tensor, "*shape vocab"]) -> Float[Tensor, "*shape"]:
    """KL(p || q); a token with p = 0 adds 0 to the value and to the gradient (log p - log q would be NaN there)."""
    possible = log_p > -torch.inf
    ratio = torch.where(possible, log_p, 0.0) - torch.where(possible, log_q, 0.0)
    return (log_p.exp() * ratio).sum(-1)


def _check_vocabulary(student_logits: Tensor, teacher_logits: Tensor) -> None:
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"logits of student {list(student_logits.shape)} and teacher {list(teacher_logits.shape)} differ in shape: "
            "a divergence needs the same positions and the same vocabulary"
        )
