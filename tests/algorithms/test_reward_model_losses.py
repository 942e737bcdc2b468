"""Reward-model losses: what they converge to, summed over all labels; margins, centring, masks, micro-batches."""

import itertools
import math

import pytest
import torch

from labkit.algorithms import bradley_terry_loss, outcome_loss, process_loss
from tests.algorithms.tabular_world import ragged_world


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, check_dtype=False)


def d(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def ragged():
    return ragged_world()


def test_bradley_terry_by_hand():
    chosen, rejected = d(1.0, -2.0).requires_grad_(), d(0.0, 1.0).requires_grad_()
    margin = d(0.5, 0.0)
    loss, stats = bradley_terry_loss(chosen, rejected, margin, centering=0.1)
    slopes = [1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-3.0))]
    expected = (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(3.0)) + 0.1 * (1.0**2 + (-1.0) ** 2)) / 2
    assert loss.item() == pytest.approx(expected)
    up, down = torch.autograd.grad(loss, [chosen, rejected])
    close(up, d((-slopes[0] + 0.2) / 2, (-slopes[1] - 0.2) / 2))
    close(down, d((slopes[0] + 0.2) / 2, (slopes[1] - 0.2) / 2))
    close(stats["margin"], torch.tensor(-1.0))
    assert stats["accuracy"] == 0.5 and stats["pairs"] == 2


def test_bradley_terry_is_least_at_the_true_reward_whatever_constant_is_added(ragged):
    first, second = torch.tensor(list(itertools.permutations(range(15), 2))).T
    preferred = torch.sigmoid(ragged.rewards[first] - ragged.rewards[second])
    for constant in (0.0, 3.0):
        model = (ragged.rewards + constant).requires_grad_()
        loss = sum(
            w * bradley_terry_loss(model[a], model[b])[0]
            for a, b, w in zip(first[:, None], second[:, None], preferred / len(first), strict=True)
        )
        close(torch.autograd.grad(loss, model)[0], torch.zeros(15))
        close(loss.detach(), -(preferred * preferred.log()).mean())
    # Elsewhere: the gradient is the implied minus the true preference, summed over an answer's rivals.
    other = torch.linspace(-1, 1, 15).double().requires_grad_()
    loss = sum(
        w * bradley_terry_loss(other[a], other[b])[0]
        for a, b, w in zip(first[:, None], second[:, None], preferred / len(first), strict=True)
    )
    implied = torch.sigmoid(other[first] - other[second]).detach()
    by_hand = torch.zeros(15).double().index_add(0, first, (implied - preferred) / len(first))
    close(torch.autograd.grad(loss, other)[0], by_hand)


def test_centring_pins_the_constant_down():
    # Two answers, labels certain to be half-half: any equal scores are best; centring picks 0.
    scores = d(0.7, 0.7).requires_grad_()
    loss = sum(bradley_terry_loss(scores[[a]], scores[[b]], centering=0.01)[0] / 2 for a, b in ((0, 1), (1, 0)))
    gradient = torch.autograd.grad(loss, scores)[0]
    close(gradient, d(0.028, 0.028))
    zero = d(0.0, 0.0).requires_grad_()
    loss = sum(bradley_terry_loss(zero[[a]], zero[[b]], centering=0.01)[0] / 2 for a, b in ((0, 1), (1, 0)))
    close(torch.autograd.grad(loss, zero)[0], torch.zeros(2))


def test_a_margin_asks_for_a_larger_difference():
    chosen = d(1.0).requires_grad_()
    slopes = [
        torch.autograd.grad(bradley_terry_loss(chosen, d(0.0), d(margin))[0], chosen)[0].item()
        for margin in (0.0, 1.0, 3.0)
    ]
    assert slopes[0] > slopes[1] > slopes[2]
    assert slopes[1] == pytest.approx(-0.5)  # the difference is what was asked for


def test_outcome_loss_is_least_at_the_true_log_odds(ragged):
    q, right = ragged.probabilities(ragged.other_theta()), torch.sigmoid(ragged.rewards)
    for logits in (ragged.rewards.clone(), torch.linspace(-2, 2, 15).double()):
        logits.requires_grad_()
        loss = sum(
            q[i] * share * outcome_loss(logits[[i]], torch.tensor([label]))[0]
            for i in range(15)
            for label, share in ((True, right[i]), (False, 1 - right[i]))
        )
        close(torch.autograd.grad(loss, logits)[0], q * (torch.sigmoid(logits.detach()) - right))
    soft, _ = outcome_loss(ragged.rewards, right)  # a probability as the label is the mean over labels
    entropy = -(right * right.log() + (1 - right) * (1 - right).log()).mean()
    close(soft, entropy)


def test_process_loss_is_least_at_the_chance_of_success_from_each_prefix(ragged):
    # Each token ends a step; its label is whether the finished answer is right, so that the best a model of
    # prefixes can say is P(right | text so far).
    q, right = ragged.probabilities(ragged.theta).detach(), torch.sigmoid(ragged.rewards)
    ends = ragged.mask.nonzero().tolist()
    text = {(i, t): tuple(ragged.tokens[i, : t + 1].tolist()) for i, t in ends}
    texts = sorted(set(text.values()))
    number = torch.zeros_like(ragged.tokens)
    for i, t in ends:
        number[i, t] = texts.index(text[i, t])
    chance, visits = torch.zeros(len(texts)).double(), torch.zeros(len(texts)).double()
    for row in range(len(texts)):
        passing = ((number == row) & ragged.mask).any(1)
        visits[row] = q[passing].sum()
        chance[row] = (q * right)[passing].sum() / visits[row]
    logits = torch.linspace(-1, 1, len(texts)).double().requires_grad_()
    loss = torch.tensor(0.0).double()
    for i in range(len(q)):
        for label, share in ((1.0, right[i]), (0.0, 1 - right[i])):
            labels = torch.full((1, 3), label).double()
            mask = ragged.mask[[i]]
            # token_mean of one row divides by its steps: sum them instead, so that states weigh by their visits
            one, _ = process_loss(logits[number[[i]]], labels, mask, normalizer=1)
            loss = loss + q[i] * share * one
    close(torch.autograd.grad(loss, logits)[0], visits * (torch.sigmoid(logits.detach()) - chance))


def test_process_loss_masks_and_micro_batches():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    labels = (torch.rand(4, 6, generator=generator) < 0.5).double()
    mask = torch.rand(4, 6, generator=generator) < 0.5
    mask[2] = False

    def run(rows, logits=logits, labels=labels, **options):
        logits = logits[rows].clone().requires_grad_()
        loss, stats = process_loss(logits, labels[rows], mask[rows], **options)
        return loss.detach(), torch.autograd.grad(loss, logits)[0], stats

    everything = [0, 1, 2, 3]
    for aggregate, normalizer in (("token_mean", int(mask.sum())), ("sequence_mean", 4)):
        loss, gradient, stats = run(everything, aggregate=aggregate)
        parts = [run(rows, aggregate=aggregate, normalizer=normalizer) for rows in ([0], [1, 2], [3])]
        close(sum(part[0] for part in parts), loss)
        close(torch.cat([part[1] for part in parts]), gradient)
        for junk in (float("nan"), float("inf")):
            dirty = run(
                everything, torch.where(mask, logits, junk), torch.where(mask, labels, junk), aggregate=aggregate
            )
            close(dirty[0], loss)
            close(dirty[1], gradient)
    assert stats["steps"] == mask.sum()
    close(stats["accuracy"], ((logits > 0) == (labels > 0.5))[mask].double().mean())
    close(stats["label_mean"], labels[mask].mean())
    close(stats["probability_mean"], torch.sigmoid(logits[mask]).mean())
    picked = torch.nn.functional.binary_cross_entropy(torch.sigmoid(logits[mask]), labels[mask])
    close(run(everything)[0], picked)


def test_micro_batches_of_the_others_add_up():
    generator = torch.Generator().manual_seed(3)
    chosen, rejected, margin = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    whole, _ = bradley_terry_loss(chosen, rejected, margin, centering=0.01)
    rows = [[0, 1], [2], [3, 4]]
    close(
        sum(bradley_terry_loss(chosen[i], rejected[i], margin[i], centering=0.01, normalizer=5)[0] for i in rows), whole
    )
    labels = margin > 0
    whole, stats = outcome_loss(chosen, labels)
    close(sum(outcome_loss(chosen[i], labels[i], normalizer=5)[0] for i in rows), whole)
    assert stats["answers"] == 5 and not any(value.requires_grad for value in stats.values())
