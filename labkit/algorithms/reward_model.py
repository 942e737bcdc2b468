"""Losses of reward models: from comparisons (Bradley-Terry), from outcomes, from marked steps."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Aggregate, Number, aggregate_tokens, masked_mean


def bradley_terry_loss(
    chosen: Float[Tensor, " pairs"],
    rejected: Float[Tensor, " pairs"],
    margin: Float[Tensor, " pairs"] | None = None,
    *,
    centering: Number = 0.0,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """-log sigmoid(chosen - rejected - margin), mean over the pairs, and statistics.

    `chosen`, `rejected` [pairs]: the scores of the preferred and of the other answer. Bradley and Terry (1952):
    P(chosen preferred) = sigmoid(difference), so the scores are log-odds, fixed up to a constant a prompt.
    `margin` [pairs], >= 0: by how much the annotator preferred it, in the same units (Llama 2, Touvron et al.
    2023, eq. 2). `centering` adds centering * mean((chosen + rejected)^2), which pins the constant down near 0
    (Eisenstein et al. 2023); 0.01 is usual.

    `normalizer` replaces the number of pairs, for a micro-batch of a larger batch. Statistics without gradient:
    `pairs` (their number; weigh by it), `accuracy` (share of pairs in the right order, a tie counts one half),
    `margin` (mean difference), `reward_chosen`, `reward_rejected` (means).

    >>> chosen, rejected = torch.tensor([2.0, 0.0]).requires_grad_(), torch.tensor([0.0, 1.0])
    >>> loss, stats = bradley_terry_loss(chosen, rejected)
    >>> round(loss.item(), 4)  # (0.1269 + 1.3133) / 2
    0.7201
    >>> [round(g, 4) for g in torch.autograd.grad(loss, chosen)[0].tolist()]  # -sigmoid(-difference) / 2
    [-0.0596, -0.3655]
    >>> stats["accuracy"].item()
    0.5
    """
    difference = chosen - rejected
    losses = -F.logsigmoid(difference if margin is None else difference - margin.detach())
    if centering:
        losses = losses + centering * (chosen + rejected).square()
    loss = losses.sum() / max(len(losses) if normalizer is None else normalizer, 1)
    with torch.no_grad():
        pairs = torch.tensor(len(difference), device=difference.device)
        values = {
            "accuracy": (1 + difference.sign()) / 2,
            "margin": difference,
            "reward_chosen": chosen,
            "reward_rejected": rejected,
        }
        stats = {name: value.sum() / pairs.clamp(min=1) for name, value in values.items()}
    return loss, {"pairs": pairs} | stats


def outcome_loss(
    logits: Float[Tensor, " batch"],
    labels: Bool[Tensor, " batch"] | Float[Tensor, " batch"],
    *,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Binary cross-entropy of an outcome reward model: is the whole answer right? Mean over the answers.

    `logits` [batch]: one score an answer, the log-odds that it is right (Cobbe et al. 2021, "Training verifiers
    to solve math word problems"). `labels` [batch]: True or 1.0 where it was, or a probability. `normalizer`
    replaces the number of answers. Statistics: `answers`, `accuracy` (share of logits on the right side of 0, a
    logit of 0 counts one half), `label_mean`, `probability_mean`.

    >>> loss, stats = outcome_loss(torch.tensor([0.0, 2.0]), torch.tensor([True, False]))
    >>> round(loss.item(), 4)  # (log 2 + 2.1269) / 2
    1.41
    """
    target = labels.detach().to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = losses.sum() / max(len(losses) if normalizer is None else normalizer, 1)
    return loss, {"answers": torch.tensor(len(losses), device=logits.device)} | _binary_statistics(
        logits, target, torch.ones_like(logits, dtype=torch.bool)
    )


def process_loss(
    logits: Float[Tensor, "batch time"],
    labels: Bool[Tensor, "batch time"] | Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    aggregate: Aggregate = "token_mean",
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Binary cross-entropy of a process reward model: is the answer right so far, at the end of each step?

    `logits`, `labels` [batch, time]; `mask` is True at the last token of each marked step and nowhere else
    (Lightman et al. 2023, "Let's verify step by step"). `aggregate`: `token_mean` weighs every step the same,
    `sequence_mean` every answer. Statistics as in `outcome_loss`, over the steps, with `steps`, their number.

    >>> logits, labels = torch.tensor([[9.0, 0.0, 9.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    >>> loss, stats = process_loss(logits, labels, torch.tensor([[False, True, False, True]]))
    >>> round(loss.item(), 4), stats["steps"].item()  # (log 2 + 2.1269) / 2
    (1.41, 2)
    """
    # Zeros outside the mask before anything is computed: a NaN there would come back in the gradient.
    logits = torch.where(mask, logits, 0.0)
    target = torch.where(mask, labels.detach().to(logits.dtype), 0.0)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = aggregate_tokens(losses, mask, aggregate, normalizer=normalizer)
    return loss, {"steps": mask.sum()} | _binary_statistics(logits, target, mask)


@torch.no_grad()
def ranking_accuracy(
    scores: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"] | Float[Tensor, " batch"]
) -> float:
    """The chance that a right answer is scored above a wrong one, a tie counting one half; NaN without both kinds.

    Also known as the area under the ROC curve. Unlike accuracy it does not know where the scores' zero lies, nor how
    many answers are right. A label of 0.5 or more is right.

    >>> ranking_accuracy(torch.tensor([3.0, 1.0, 1.0, 0.0]), torch.tensor([True, True, False, False]))
    0.875
    """
    right = labels >= 0.5 if labels.is_floating_point() else labels
    above = scores[right][:, None] - scores[~right]
    return float(((1 + above.sign()) / 2).mean())


@torch.no_grad()
def _binary_statistics(logits: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    right = (1 + logits.sign() * (2 * target - 1).sign()) / 2
    return {
        "accuracy": masked_mean(right, mask),
        "label_mean": masked_mean(target, mask),
        "probability_mean": masked_mean(torch.sigmoid(logits), mask),
    }
