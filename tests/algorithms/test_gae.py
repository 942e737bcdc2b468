"""Credit by token: GAE against its definition, holes, truncation; what it does to the expected gradient, exactly."""

import dataclasses

import pytest
import torch

from labkit.algorithms import (
    PRESETS,
    advantages,
    gae,
    kl_estimate,
    kl_penalty,
    policy_loss,
    returns_to_go,
    token_rewards,
    whiten,
)
from tests.algorithms.tabular_world import World, ragged_world


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def d(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.fixture
def ragged():
    return ragged_world()


@pytest.fixture
def batch():
    """Random rewards, values and a mask with holes; a row without a token, and one that is full."""
    generator = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    mask = torch.rand(6, 8, generator=generator) < 0.6
    mask[2], mask[4] = False, True
    return rewards, values, mask


def by_definition(rewards, values, gamma, lam):
    """The sum of Schulman et al., eq. 16, for one row without holes."""
    n = len(rewards)
    following = [*values[1:].tolist(), 0.0]
    deltas = [rewards[t] + gamma * following[t] - values[t] for t in range(n)]
    return torch.stack([sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)])


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 0.0), (0.5, 1.0)])
def test_the_definition_and_holes_that_are_skipped(batch, gamma, lam):
    rewards, values, mask = batch
    found, returns = gae(rewards, values, mask, gamma, lam)
    assert ((found == 0) | mask).all() and ((returns == 0) | mask).all()
    for i in range(len(mask)):
        if mask[i].any():  # the row without its holes is a row of its own
            close(found[i][mask[i]], by_definition(rewards[i][mask[i]], values[i][mask[i]], gamma, lam))
            close(returns[i][mask[i]], found[i][mask[i]] + values[i][mask[i]])


def test_lambda_one_is_the_return_minus_the_value_and_lambda_zero_the_step(batch):
    rewards, values, mask = batch
    for gamma in (1.0, 0.9):
        found, returns = gae(rewards, values, mask, gamma, lam=1.0)
        to_go = returns_to_go(rewards, mask, gamma)
        close(found, torch.where(mask, to_go - values, 0.0))
        close(returns, to_go)
    row = rewards[4], values[4]
    found, _ = gae(row[0][None], row[1][None], mask[4][None], 0.9, lam=0.0)
    close(found[0], row[0] + 0.9 * torch.cat([row[1][1:], torch.zeros(1).double()]) - row[1])


def test_truncation_can_be_bootstrapped():
    rewards, values, mask = d([0.0, 0.0, 9.0]), d([0.5, 0.25, 9.0]), torch.tensor([[True, True, False]])
    ended, _ = gae(rewards, values, mask, lam=1.0)
    close(ended, d([-0.5, -0.25, 0.0]))
    cut, returns = gae(rewards, values, mask, gamma=0.5, lam=1.0, bootstrap=torch.tensor([8.0]).double())
    close(cut, d([2.0 - 0.5, 4.0 - 0.25, 0.0]))
    close(returns, d([2.0, 4.0, 0.0]))


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e300])
def test_what_stands_outside_the_mask_is_never_read(batch, junk):
    rewards, values, mask = batch
    dirty = torch.where(mask, rewards, junk), torch.where(mask, values, junk)
    for clean, result in zip(gae(rewards, values, mask), gae(*dirty, mask), strict=True):
        close(result, clean)
    kl = torch.where(mask, rewards, junk)
    close(token_rewards(values[:, 0], mask, kl, 0.3), token_rewards(values[:, 0], mask, rewards, 0.3))
    for options in ({}, {"shift_mean": False}, {"ddof": 0}):
        close(whiten(dirty[0], mask, **options), whiten(rewards, mask, **options))


def test_no_gradient_flows_through_advantages_and_returns(batch):
    rewards, values, mask = batch
    results = [*gae(rewards.requires_grad_(), values.requires_grad_(), mask), returns_to_go(rewards, mask)]
    results.append(token_rewards(rewards[:, 0], mask, values, 0.1))
    assert not any(result.requires_grad for result in results)


def test_empty_shapes():
    for shape in ((0, 3), (2, 0)):
        nothing, mask = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        assert [x.shape for x in gae(nothing, nothing, mask)] == [shape, shape]
        assert whiten(nothing, mask).shape == shape
        assert token_rewards(torch.zeros(shape[0]), mask).shape == shape


def test_token_rewards_add_up_to_score_minus_kl(batch):
    logprobs, ref, mask = batch
    scores = torch.arange(6.0).double()
    kl = kl_estimate(logprobs, ref, "k1")
    paid = token_rewards(scores, mask, kl, 0.3)
    has_token = mask.any(1)
    close(paid.sum(1), torch.where(has_token, scores, 0.0) - 0.3 * kl_penalty(logprobs, ref, mask))
    last = token_rewards(scores, mask)
    for i in range(6):
        where = mask[i].nonzero().flatten().tolist()
        assert last[i].nonzero().flatten().tolist() == (where[-1:] if scores[i] else [])
    with pytest.raises(ValueError, match="needs kl"):
        token_rewards(scores, mask, kl_coef=0.3)


@pytest.mark.parametrize(("ddof", "deviation"), [(1, (5 / 3) ** 0.5), (0, (5 / 4) ** 0.5)])
def test_whiten(ddof, deviation):
    values, mask = d([1.0, 2.0, 99.0], [3.0, 4.0, 99.0]), torch.tensor([[True, True, False]] * 2)
    expected = torch.where(mask, (values - 2.5) / deviation, 0.0)
    close(whiten(values, mask, ddof=ddof, eps=0.0), expected)
    close(whiten(values, mask, ddof=ddof, eps=0.0, shift_mean=False), torch.where(mask, expected + 2.5, 0.0))


@pytest.mark.parametrize("value", [0.1, 1 / 3, -7.7])
def test_whitening_equal_values_gives_exactly_zero(value):
    values, mask = torch.full((3, 3), value), torch.eye(3) == 0
    assert (whiten(values, mask, eps=1e-30) == 0).all()
    close(whiten(values, mask, shift_mean=False), torch.where(mask, value, 0.0), atol=1e-6)
    one = torch.tensor([[True, False, False]])
    assert (whiten(values[:1], one) == 0).all()  # a single value has no spread
    assert (whiten(values[:1], ~one & one) == 0).all()


# What it does to the gradient, summed over all answers.


def true_values(world: World, rewards: torch.Tensor) -> torch.Tensor:
    """V before each token [answers, time]: the expected total reward given the prefix (rewards [answers, time])."""
    p = world.probabilities(world.theta).detach()
    to_go = returns_to_go(rewards, world.mask)
    values = torch.zeros_like(rewards)
    for row in range(len(world.prefixes)):
        here = (world.prefix == row) & world.mask
        passing = here.any(1)
        values[here] = ((to_go * here).sum(1) * p)[passing].sum() / p[passing].sum()
    return values


def token_gradient(world: World, advantage: torch.Tensor) -> torch.Tensor:
    """The expected gradient of REINFORCE with these advantages by token."""
    p = world.probabilities(world.theta).detach()
    lp = world.logprobs(world.theta)
    options = {"objective": "reinforce", "aggregate": "sequence_sum", "normalizer": 1}
    loss, _ = policy_loss(lp, lp.detach(), advantage * p[:, None], world.mask, **options)
    return -world.gradient(loss)


def wrong_values(world: World) -> torch.Tensor:
    """A critic that knows nothing, but depends on the prefix alone, as a critic does."""
    per_prefix = torch.randn(len(world.prefixes), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return per_prefix[world.prefix]


def test_with_lambda_one_any_critic_is_unbiased(ragged):
    paid = token_rewards(ragged.rewards, ragged.mask)
    for values in (wrong_values(ragged), true_values(ragged, paid), torch.zeros_like(paid)):
        close(token_gradient(ragged, gae(paid, values, ragged.mask, lam=1.0)[0]), ragged.exact_gradient())


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95])
def test_with_the_true_critic_any_lambda_is_unbiased_and_with_a_wrong_one_it_is_not(ragged, lam):
    paid = token_rewards(ragged.rewards, ragged.mask)
    found, returns = gae(paid, true_values(ragged, paid), ragged.mask, lam=lam)
    close(token_gradient(ragged, found), ragged.exact_gradient())
    biased = token_gradient(ragged, gae(paid, wrong_values(ragged), ragged.mask, lam=lam)[0])
    assert not torch.allclose(biased, ragged.exact_gradient(), atol=1e-3)
    # What the critic is taught is then its own truth: E[return | prefix] = V.
    p, values = ragged.probabilities(ragged.theta).detach(), true_values(ragged, paid)
    for row in range(len(ragged.prefixes)):
        here = (ragged.prefix == row) & ragged.mask
        mean = (returns * here * p[:, None]).sum() / (here * p[:, None]).sum()
        close(mean, values[here][0])


def test_the_true_critic_lowers_the_variance(ragged):
    ragged.rewards = ragged.rewards + 5.0
    p = ragged.probabilities(ragged.theta).detach()
    paid = token_rewards(ragged.rewards, ragged.mask)

    def variance(advantage):
        rows = [
            torch.autograd.grad((ragged.logprobs(ragged.theta)[i] * advantage[i]).sum(), ragged.theta)[0]
            for i in range(len(p))
        ]
        gradients = torch.stack(rows)
        mean = (gradients * p[:, None, None]).sum(0)
        return ((gradients - mean).square().sum((1, 2)) * p).sum().item()

    without = variance(returns_to_go(paid, ragged.mask))
    assert variance(gae(paid, true_values(ragged, paid), ragged.mask, lam=1.0)[0]) < 0.2 * without


def test_kl_paid_by_token_gives_the_gradient_of_reward_minus_kl(ragged):
    # The KL of the tokens before a token can't be changed by it: returns-to-go leave it out and stay unbiased.
    lp, ref = ragged.logprobs(ragged.theta), ragged.logprobs(ragged.other_theta())
    p = ragged.probabilities(ragged.theta)
    target = ragged.gradient((p * (ragged.rewards - 0.3 * (lp - ref).sum(1))).sum())
    kl = kl_estimate(lp, ragged.logprobs(ragged.other_theta()), "k1")
    paid = token_rewards(ragged.rewards, ragged.mask, kl, 0.3)
    close(token_gradient(ragged, returns_to_go(paid, ragged.mask)), target)
    whole = (ragged.rewards - 0.3 * kl_penalty(lp, ref, ragged.mask))[:, None].expand_as(paid)
    close(token_gradient(ragged, whole.detach()), target)


# The presets that give credit by token.


def test_token_advantages_of_the_presets_by_sequence_are_advantages_spread_out(batch):
    _, _, mask = batch
    rewards, groups = torch.arange(6.0).double(), torch.tensor([0, 0, 0, 1, 1, 1])
    for name in ("reinforce", "rloo", "grpo", "dr_grpo", "dapo", "gspo", "cispo"):
        preset = PRESETS[name]
        found, returns = preset.token_advantages(rewards, groups, mask)
        expected = advantages(rewards, groups, preset.baseline, preset.scale, preset.ddof, preset.eps)
        close(found, expected[:, None] * mask)
        close(returns, found)


def test_token_advantages_of_ppo_reinforce_pp_and_remax(batch):
    kl, values, mask = batch
    rewards, groups, greedy = torch.arange(6.0).double(), torch.tensor([0, 0, 0, 1, 1, 1]), torch.ones(6).double()
    paid = token_rewards(rewards, mask, kl, 0.2)
    with_kl = {name: dataclasses.replace(PRESETS[name], kl_coef=0.2) for name in ("ppo", "reinforce_pp", "remax")}

    found, returns = with_kl["ppo"].token_advantages(rewards, groups, mask, kl=kl, values=values)
    expected, targets = gae(paid, values, mask, 1.0, 0.95)
    close(found, whiten(expected, mask))
    close(returns, targets)  # the critic learns the returns as they are, not whitened

    found, _ = with_kl["reinforce_pp"].token_advantages(rewards, groups, mask, kl=kl)
    close(found, whiten(returns_to_go(paid, mask), mask))

    found, _ = with_kl["remax"].token_advantages(rewards, groups, mask, kl=kl, greedy=greedy)
    close(found, returns_to_go(token_rewards(rewards - greedy, mask, kl, 0.2), mask))

    for name, what in (("ppo", "values"), ("reinforce_pp", "kl"), ("remax", "greedy")):
        given = {"kl": kl, "values": values, "greedy": greedy}
        del given[what]
        with pytest.raises(ValueError, match=f"needs {what}"):
            with_kl[name].token_advantages(rewards, groups, mask, **given)
    with pytest.raises(ValueError, match="credit='token'"):
        dataclasses.replace(PRESETS["grpo"], critic=True)


def test_kl_in_the_reward_is_paid_once(batch):
    kl, _, mask = batch
    rewards, lengths = torch.ones(6).double(), mask.sum(1)
    by_sequence = dataclasses.replace(PRESETS["reinforce"], kl_coef=0.5)
    by_token = dataclasses.replace(PRESETS["reinforce_pp"], kl_coef=0.5, whiten=False)
    total = torch.where(mask, kl, 0.0).sum(1)
    for preset in (by_sequence, by_token):
        shaped = preset.shape_rewards(rewards, lengths, 8, total)
        found, _ = preset.token_advantages(shaped, torch.zeros(6, dtype=torch.long), mask, kl=kl)
        for i in range(6):
            if mask[i].any():  # the first token answers for all that follows
                close(found[i][mask[i]][0], rewards[i] - 0.5 * total[i])
