"""PRIME's implicit process rewards: the theorem behind them, their loss, their advantages, by exact enumeration."""

import dataclasses

import pytest
import torch

from labkit.algorithms import (
    PRESETS,
    implicit_reward_loss,
    implicit_rewards,
    policy_loss,
    prime_advantages,
    ranking_accuracy,
    returns_to_go,
    whiten,
)
from tests.algorithms.tabular_world import ragged_world


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, check_dtype=False)


@pytest.fixture
def ragged():
    return ragged_world()


def test_the_sum_of_the_shares_is_the_soft_value_of_the_text_so_far(ragged):
    # A model that has learnt r perfectly: p_model = p_reference exp(r / beta) / Z. The sum of the token rewards up to
    # t is then beta log E_reference[exp(r / beta) | text up to t], minus the same for the empty text.
    beta = 0.7
    q = ragged.probabilities(ragged.other_theta())
    weight = (ragged.rewards / beta).exp()
    model = torch.zeros_like(ragged.logprobs(ragged.other_theta()))
    expected = torch.zeros_like(model)
    whole = (q * weight).sum()
    for i, t in ragged.mask.nonzero().tolist():
        before = torch.tensor([(ragged.tokens[j, :t] == ragged.tokens[i, :t]).all() for j in range(15)])
        before &= ragged.mask[:, t]
        upto = before & (ragged.tokens[:, t] == ragged.tokens[i, t])
        model[i, t] = ((q * weight)[upto].sum() / (q * weight)[before].sum()).log()
        expected[i, t] = beta * ((q * weight)[upto].sum() / q[upto].sum() / whole).log()
    rewards = implicit_rewards(model, ragged.logprobs(ragged.other_theta()), ragged.mask, beta)
    close(torch.where(ragged.mask, rewards.cumsum(1), 0.0), expected)


def test_the_loss_is_least_where_the_log_ratio_is_the_log_odds_of_success(ragged):
    q, right, beta = ragged.probabilities(ragged.other_theta()), torch.sigmoid(ragged.rewards), 0.5
    ref = ragged.logprobs(ragged.other_theta()).detach().requires_grad_()
    lp = ragged.logprobs(ragged.theta)
    total = torch.tensor(0.0).double()
    for i in range(15):
        row = slice(i, i + 1)
        for label, share in ((True, right[i]), (False, 1 - right[i])):
            one, _ = implicit_reward_loss(lp[row], ref[row], torch.tensor([label]), ragged.mask[row], beta)
            total = total + q[i] * share * one
    implied = torch.sigmoid(beta * (lp - ref).sum(1)).detach()
    pull = (q * beta * (implied - right))[:, None, None]
    close(ragged.gradient(total), (pull * ragged.scores()).sum(0))
    model = torch.zeros(1, 2).double().requires_grad_()
    loss, _ = implicit_reward_loss(model, ref[:1, :2], torch.tensor([1.0]).double(), torch.ones(1, 2).bool(), beta)
    assert torch.autograd.grad(loss, [model, ref], allow_unused=True)[1] is None


def test_the_advantages_by_hand_and_their_mask():
    process = torch.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0], [0.0, 1.0, 5.0]]).double()
    mask = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    groups, outcomes = torch.tensor([0, 0, 0]), torch.tensor([1.0, 0.0, 0.5]).double()
    # Means a token 1.5, 4, 2; of the others 3, 1.75, 2.75. Outcomes above the others: 0.75, -0.75, 0.
    expected = torch.zeros(3, 3).double()
    expected[0, :2] = torch.tensor([(1 - 3) + 0.5 * (2 - 3) + 0.75, (2 - 3) + 0.75])
    expected[1, 0] = (4 - 1.75) - 0.75
    third = [0 - 2.75, 1 - 2.75, 5 - 2.75]
    expected[2] = torch.tensor([third[0] + 0.5 * third[1] + 0.25 * third[2], third[1] + 0.5 * third[2], third[2]])
    found = prime_advantages(process, outcomes, groups, mask, gamma=0.5)
    close(found, whiten(expected, mask))
    dirty = torch.where(mask, process, float("nan"))
    close(prime_advantages(dirty, outcomes, groups, mask, gamma=0.5), found)


def test_a_baseline_a_token_says_whether_length_pays(ragged):
    # Returns-to-go of (process - constant): exactly the gradient of E[sum of process - constant * length]. Where
    # lengths differ that is not the gradient of the process rewards alone: the bias that the docstring states.
    p = ragged.probabilities(ragged.theta)
    # A token's reward depends on the text up to it, and not on what follows: else returns-to-go would leave out
    # rewards that the token does influence.
    by_text = torch.randn(ragged.theta.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    process = by_text[ragged.prefix, ragged.tokens] * ragged.mask
    constant = 0.4
    target = ragged.gradient((p * ((process - constant) * ragged.mask).sum(1)).sum())
    credit = returns_to_go(torch.where(ragged.mask, process - constant, 0.0), ragged.mask)
    lp = ragged.logprobs(ragged.theta)
    options = {"objective": "reinforce", "aggregate": "sequence_sum", "normalizer": 1}
    loss, _ = policy_loss(lp, lp.detach(), credit * p.detach()[:, None], ragged.mask, **options)
    close(-ragged.gradient(loss), target)
    without = ragged.gradient((ragged.probabilities(ragged.theta) * process.sum(1)).sum())
    assert not torch.allclose(target, without, atol=1e-3)


def test_the_preset_is_prime_advantages_and_without_process_rewards_the_whitened_outcome():
    generator = torch.Generator().manual_seed(0)
    process = torch.randn(6, 4, generator=generator).double()
    mask = torch.arange(4) < torch.tensor([4, 1, 3, 2, 4, 2])[:, None]
    groups, outcomes = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]).double()
    preset = PRESETS["prime"]
    found, _ = preset.token_advantages(outcomes, groups, mask, process=process)
    close(found, prime_advantages(process, outcomes, groups, mask))
    weighed = dataclasses.replace(preset, process_coef=0.3, gamma=0.9)
    found, _ = weighed.token_advantages(outcomes, groups, mask, process=process)
    close(found, prime_advantages(0.3 * process, outcomes, groups, mask, 0.9))
    found, _ = dataclasses.replace(preset, process_coef=0.0).token_advantages(outcomes, groups, mask)
    close(found, prime_advantages(torch.zeros_like(process), outcomes, groups, mask))
    with pytest.raises(ValueError, match="needs process"):
        preset.token_advantages(outcomes, groups, mask)
    for changes in ({"whiten": False}, {"critic": True}, {"baseline": "none"}, {"kl_placement": "reward"}):
        with pytest.raises(ValueError, match="needs credit='token'"):
            dataclasses.replace(preset, **changes)


def test_ranking_accuracy_is_the_share_of_pairs_in_order():
    scores, labels = torch.tensor([0.2, 0.9, 0.5, 0.5]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert ranking_accuracy(scores, labels) == (1 + 1 + 1 + 0.5) / 4
    assert ranking_accuracy(-scores, labels > 0) == 1 - (1 + 1 + 1 + 0.5) / 4
    assert ranking_accuracy(scores, torch.ones(4)) != ranking_accuracy(scores, torch.ones(4)), "NaN"
