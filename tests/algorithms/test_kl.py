"""KL estimators against the exact divergence, their gradients against the exact gradients."""

import pytest
import torch

from labkit.algorithms import kl_estimate, kl_penalty, policy_loss
from tests.algorithms.tabular_world import bandit_world, ragged_world


@pytest.fixture
def ragged():
    return ragged_world()


@pytest.fixture
def bandit():
    return bandit_world()


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def exact_kl(world, theta, other):
    """KL(theta || other) over whole answers, by enumeration."""
    lp, ref = world.logprobs(theta).sum(1), world.logprobs(other).sum(1)
    return (lp.exp() * (lp - ref)).sum()


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_expectation_over_tokens_is_the_exact_kl(bandit, kind):
    other = bandit.other_theta()
    lp = bandit.logprobs(bandit.theta)
    expected = (lp.exp() * kl_estimate(lp, bandit.logprobs(other), kind)).sum()
    close(expected, exact_kl(bandit, bandit.theta, other))


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_expectation_summed_over_answers_is_the_exact_kl_of_the_answers(ragged, kind):
    other = ragged.other_theta()
    lp = ragged.logprobs(ragged.theta)
    per_token = kl_estimate(lp, ragged.logprobs(other), kind)
    close((lp.sum(1).exp() * per_token.sum(1)).sum(), exact_kl(ragged, ragged.theta, other))


def test_direction(bandit):
    # Upside down, k1 has the opposite sign in expectation, and k3 is the other divergence's or worse.
    other = bandit.other_theta()
    lp, ref = bandit.logprobs(bandit.theta), bandit.logprobs(other)
    forward, backward = exact_kl(bandit, bandit.theta, other), exact_kl(bandit, other, bandit.theta)
    assert forward > 0 and abs(forward - backward) > 1e-3
    assert (lp.exp() * kl_estimate(ref, lp, "k1")).sum() < 0
    assert not torch.isclose((lp.exp() * kl_estimate(ref, lp, "k3")).sum(), forward, rtol=1e-3)


def test_k2_is_close_when_the_policies_are(bandit):
    lp = bandit.logprobs(bandit.theta)
    errors = []
    for size in (0.2, 0.1):
        other = bandit.other_theta(size=size)
        expected = (lp.exp() * kl_estimate(lp, bandit.logprobs(other), "k2")).sum()
        errors.append(abs(expected - exact_kl(bandit, bandit.theta, other)).item())
    assert 1e-6 < errors[0] < 0.01
    assert errors[1] < errors[0] / 5  # third order in the distance


def test_k3_is_never_negative_and_k1_is():
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    assert (kl_estimate(x, torch.zeros_like(x), "k3") >= 0).all()
    assert (kl_estimate(x, torch.zeros_like(x), "k1") < 0).any()
    tiny = torch.tensor([1e-6])
    close(kl_estimate(tiny, torch.zeros(1), "k3"), torch.tensor([5e-13]), atol=1e-13)


def gradient_as_loss(world, kind):
    """Expected gradient of the estimator used as a loss on samples of the policy itself."""
    p = world.probabilities(world.theta).detach()
    per_token = kl_estimate(world.logprobs(world.theta), world.logprobs(world.other_theta()), kind)
    return world.gradient((p * per_token.sum(1)).sum())


def test_gradient_of_k1_as_a_loss_is_zero(bandit):
    close(gradient_as_loss(bandit, "k1"), torch.zeros_like(bandit.theta))


def test_gradient_of_k2_as_a_loss_is_that_of_the_kl(bandit):
    other = bandit.other_theta()
    close(gradient_as_loss(bandit, "k2"), bandit.gradient(exact_kl(bandit, bandit.theta, other)))


def test_gradient_of_k3_as_a_loss_is_that_of_the_reverse_kl(bandit):
    other = bandit.other_theta()
    close(gradient_as_loss(bandit, "k3"), bandit.gradient(exact_kl(bandit, other, bandit.theta)))


def test_penalty_in_the_reward_gives_the_gradient_of_the_kl(ragged):
    lp, ref = ragged.logprobs(ragged.theta), ragged.logprobs(ragged.other_theta())
    penalty = kl_penalty(lp, ref, ragged.mask)
    p = ragged.probabilities(ragged.theta).detach()
    assert not penalty.requires_grad
    loss, _ = policy_loss(
        lp,
        lp.detach(),
        -penalty * p,
        ragged.mask,
        objective="reinforce",
        aggregate="sequence_sum",
        normalizer=1,
    )
    close(ragged.gradient(loss), ragged.gradient(exact_kl(ragged, ragged.theta, ragged.other_theta())))


def test_statistic_approx_kl_is_the_kl_from_old_to_now(bandit):
    # Over samples of the old policy: every answer repeated in proportion to its probability.
    old_p = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    now_p = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
    rows = torch.tensor([0, 0, 1, 2])
    old, now = old_p.log()[rows][:, None], now_p.log()[rows][:, None]
    _, stats = policy_loss(now, old, torch.zeros(4, dtype=torch.float64), torch.ones(4, 1, dtype=torch.bool))
    close(stats["approx_kl"], (old_p * (old_p / now_p).log()).sum())


def test_unknown_kind():
    with pytest.raises(ValueError, match="k4"):
        kl_estimate(torch.zeros(1), torch.zeros(1), "k4")
