"""Losses of reward models that learn from comparisons (Bradley-Terry), from outcomes, or from labelled steps."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.algorithms.reduction import Aggregate, Number, above_zero, aggregate_tokens, batch_mean, masked_mean


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
    P(chosen preferred) = sigmoid(difference). So the scores are log-odds, and the data determine them up to one
    constant per prompt. `margin` [pairs], >= 0: how strong the annotator's preference was, in the unit of the scores
    (Llama 2, Touvron et al. 2023, eq. 2). `centering` adds centering * mean((chosen + rejected)^2), which keeps the
    constant near 0 (Eisenstein et al. 2023); 0.01 is usual.

    `normalizer`: see `batch_mean`. Statistics: 0-d tensors without gradient, means over the pairs: `pairs` (their
    number, the weight for an average over micro-batches), `accuracy` (share of pairs in the right order; a tie counts
    one half), `margin` (difference of the scores), `reward_chosen`, `reward_rejected` (the scores).

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
    with torch.no_grad():
        stats = {
            "pairs": torch.tensor(len(difference), device=difference.device),
            "accuracy": batch_mean(above_zero(difference)),
            "margin": batch_mean(difference),
            "reward_chosen": batch_mean(chosen),
            "reward_rejected": batch_mean(rejected),
        }
    return batch_mean(losses, normalizer), stats


def outcome_loss(
    logits: Float[Tensor, " batch"],
    labels: Bool[Tensor, " batch"] | Float[Tensor, " batch"],
    *,
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Binary cross-entropy of an outcome reward model (is the whole answer right?), mean over the answers.

    `logits` [batch]: one score per answer, the log-odds that it is right (Cobbe et al. 2021, "Training verifiers to
    solve math word problems"). `labels` [batch]: True or 1.0 where it was right, or a probability. `normalizer`: see
    `batch_mean`. Statistics: 0-d tensors without gradient: `answers` (their number, the weight for an average over
    micro-batches), `accuracy` (share of logits on the right side of 0; a logit of 0 counts one half), `label_mean`,
    `probability_mean`.

    >>> loss, stats = outcome_loss(torch.tensor([0.0, 2.0]), torch.tensor([True, False]))
    >>> round(loss.item(), 4)  # (log 2 + 2.1269) / 2
    1.41
    """
    target = labels.detach().to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    stats = _binary_statistics(logits, target, torch.ones_like(logits, dtype=torch.bool))
    return batch_mean(losses, normalizer), {"answers": torch.tensor(len(losses), device=logits.device)} | stats


def process_loss(
    logits: Float[Tensor, "batch time"],
    labels: Bool[Tensor, "batch time"] | Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    aggregate: Aggregate = "token_mean",
    normalizer: Number | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Binary cross-entropy of a process reward model (is the answer right so far?), mean over the labelled steps.

    `logits` (log-odds) and `labels` (True or 1.0 where right, or a probability) are [batch, time]; `mask` [batch, time]
    is True at the last token of each labelled step and nowhere else (Lightman et al. 2023, "Let's verify step by
    step"). `aggregate`: `token_mean` gives every step the same weight, `sequence_mean` every answer. `normalizer`: see
    `aggregate_tokens`. Statistics as in `outcome_loss`, over the steps, with `steps` (their number) instead of
    `answers`. Raises ValueError for an unknown aggregate, and for `sequence_sum_norm`, because steps have no length.

    >>> logits, labels = torch.tensor([[9.0, 0.0, 9.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    >>> loss, stats = process_loss(logits, labels, torch.tensor([[False, True, False, True]]))
    >>> round(loss.item(), 4), stats["steps"].item()  # (log 2 + 2.1269) / 2
    (1.41, 2)
    """
    # Zeros outside the mask before anything is computed: a NaN there would return in the gradient.
    logits = torch.where(mask, logits, 0.0)
    target = torch.where(mask, labels.detach().to(logits.dtype), 0.0)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = aggregate_tokens(losses, mask, aggregate, normalizer=normalizer)
    return loss, {"steps": mask.sum()} | _binary_statistics(logits, target, mask)


@torch.no_grad()
def ranking_accuracy(
    scores: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"] | Float[Tensor, " batch"]
) -> float:
    """Probability that a right answer has a higher score than a wrong answer; a tie counts one half.

    `scores`, `labels` [batch]; a label of 0.5 or more is right. NaN unless there are answers of both kinds. It is the
    area under the ROC curve (Hanley and McNeil 1982). Unlike accuracy, it depends neither on where the zero of the
    scores lies nor on the share of right answers.

    >>> ranking_accuracy(torch.tensor([3.0, 1.0, 1.0, 0.0]), torch.tensor([True, True, False, False]))
    0.875
    """
    right = labels >= 0.5 if labels.is_floating_point() else labels
    return float(above_zero(scores[right][:, None] - scores[~right]).mean())


@torch.no_grad()
def _binary_statistics(logits: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Accuracy, mean label and mean probability over the mask; the shapes are [batch] or [batch, time]."""
    right = above_zero(logits.sign() * (2 * target - 1))
    return {
        "accuracy": masked_mean(right, mask),
        "label_mean": masked_mean(target, mask),
        "probability_mean": masked_mean(torch.sigmoid(logits), mask),
    }
