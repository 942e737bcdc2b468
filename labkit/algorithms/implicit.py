"""PRIME: a process reward for every token, learned from outcomes alone (Cui et al. 2025, arXiv:2502.01456).

Train a language model as a reward model of the form r(answer) = beta log(p_model / p_reference). Its log-ratio is a sum
over tokens, so every token has a reward for free: its term of the sum. The sum up to a token is the model's estimate
for the text so far: beta log E[exp(r / beta)] over the ways in which the reference would continue, minus the same
quantity before the first token.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms.advantage import advantages
from labkit.algorithms.gae import returns_to_go
from labkit.algorithms.reduction import Number, whiten
from labkit.algorithms.reward_model import outcome_loss


def implicit_rewards(
    model_logprobs: Float[Tensor, "batch time"],
    ref_logprobs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    beta: Number = 1.0,
) -> Float[Tensor, "batch time"]:
    """Reward of each token: beta (log p_model - log p_reference); 0 outside the mask. No gradient.

    `model_logprobs`, `ref_logprobs`, `mask` and the result are [batch, time]; log-probs in nats. With the beta of the
    model's training (0.05 in the paper, eq. 3), each reward is what the token adds to the log-odds of success. Beta
    then also sets the weight of the process rewards relative to the outcome in `prime_advantages`. (The authors' code
    first divides the process rewards by the largest return of the batch.)

    >>> model, ref = torch.tensor([[-1.0, -2.0, 0.0]]), torch.tensor([[-2.0, -1.5, 0.0]])
    >>> implicit_rewards(model, ref, torch.tensor([[True, True, False]])).tolist()
    [[1.0, -0.5, 0.0]]
    """
    return beta * torch.where(mask, model_logprobs.detach() - ref_logprobs.detach(), 0.0)


def implicit_reward_loss(
    model_logprobs: Float[Tensor, "batch time"],
    ref_logprobs: Float[Tensor, "batch time"],
    outcomes: Bool[Tensor, " batch"] | Float[Tensor, " batch"],
    mask: Bool[Tensor, "batch time"],
    beta: Number = 0.05,
    *,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Binary cross-entropy of sigmoid(beta sum_t (log p_model - log p_reference)) and the outcome, mean over answers.

    Cui et al. 2025, eq. 5. Log-probs and `mask` [batch, time], in nats; `outcomes` [batch]: True or 1.0 where the
    answer was right. The gradient flows through `model_logprobs` alone. Values outside the mask never matter.
    `normalizer` and the statistics: see `outcome_loss`.

    >>> model, ref = torch.tensor([[-1.0, -2.0]]).requires_grad_(), torch.tensor([[-2.0, -3.0]])
    >>> loss, _ = implicit_reward_loss(model, ref, torch.tensor([True]), torch.tensor([[True, True]]), beta=0.5)
    >>> round(loss.item(), 4)  # -log sigmoid(0.5 * 2)
    0.3133
    """
    ratios = torch.where(mask, model_logprobs - ref_logprobs.detach(), 0.0)
    return outcome_loss(beta * ratios.sum(1), outcomes, normalizer=normalizer)


def prime_advantages(
    process: Float[Tensor, "batch time"],
    outcomes: Float[Tensor, " batch"],
    groups: Int[Tensor, " batch"],
    mask: Bool[Tensor, "batch time"],
    gamma: Number = 1.0,
) -> Float[Tensor, "batch time"]:
    """Advantage of each token from process rewards and outcomes, each minus the mean of the other rows of the group.

    Cui et al. 2025, eq. 6; the result [batch, time] is then whitened over the batch, has no gradient, and is 0 outside
    the mask:

        A_t = sum over s >= t of gamma^(s - t) (process_s - mean process reward per token of the others)
              + outcome - mean outcome of the others

    `process` [batch, time] from `implicit_rewards`, `outcomes` [batch] rewards, `groups` [batch] as in `advantages`.
    The baseline of the outcome adds no bias, as in RLOO. The baseline of the process part is subtracted at every token,
    so it changes with the length of the answer: where the mean of the others is above 0, a longer answer loses more.
    (The authors' code scales the process part by n / (n - 1) instead of leaving the answer itself out.) Raises
    ValueError for an outcome that is NaN or infinite.

    >>> process = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    >>> mask, groups = torch.tensor([[True, True], [True, True]]), torch.tensor([0, 0])
    >>> a = prime_advantages(process, torch.tensor([1.0, 0.0]), groups, mask)
    >>> [[round(x, 2) for x in row] for row in a.tolist()]  # before whitening [[2, 1], [-2, -1.5]]
    [[1.1, 0.58], [-0.97, -0.71]]
    """
    process = torch.where(mask, process.detach(), 0.0)
    mean = process.sum(1) / mask.sum(1).clamp(min=1)
    others = mean - advantages(mean, groups, "leave_one_out", "none")
    to_go = returns_to_go(torch.where(mask, process - others[:, None], 0.0), mask, gamma)
    outcome = advantages(outcomes, groups, "leave_one_out", "none")
    return whiten(to_go + torch.where(mask, outcome[:, None], 0.0), mask)
