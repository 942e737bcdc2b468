"""The critic's loss: clipping, what it converges to, micro-batches, masks."""

import math

import pytest
import torch

from labkit.algorithms import explained_variance, loss_normalizer, returns_to_go, token_rewards, value_loss
from tests.algorithms.tabular_world import ragged_world


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, check_dtype=False)


def loss_and_gradient(values, old, returns, mask, **options):
    values = values.clone().requires_grad_()
    loss, stats = value_loss(values, old, returns, mask, **options)
    return loss.detach(), torch.autograd.grad(loss, values)[0], stats


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    values, old, returns = torch.randn(3, 5, 6, generator=generator, dtype=torch.float64)
    mask = torch.rand(5, 6, generator=generator) < 0.7
    mask[1] = False
    return values, old, returns, mask


def test_without_clip_it_is_half_the_squared_error(batch):
    values, old, returns, mask = batch
    loss, gradient, stats = loss_and_gradient(values, old, returns, mask, clip=None)
    close(loss, ((values - returns)[mask] ** 2).mean() / 2)
    close(gradient, torch.where(mask, values - returns, 0.0) / mask.sum())
    assert stats["value_clip_fraction"] == 0
    close(stats["value_error"], 2 * loss)
    # An infinite clip is none.
    close(loss_and_gradient(values, old, returns, mask, clip=math.inf)[0], loss)


def test_its_expected_minimum_is_the_true_value():
    world = ragged_world()
    p = world.probabilities(world.theta).detach()
    returns = returns_to_go(token_rewards(world.rewards, world.mask), world.mask)
    by_prefix = torch.zeros(len(world.prefixes), dtype=torch.float64)
    visits = torch.zeros_like(by_prefix)
    for row in range(len(world.prefixes)):
        passing = ((world.prefix == row) & world.mask).any(1)
        visits[row] = p[passing].sum()
        by_prefix[row] = (p * world.rewards)[passing].sum() / visits[row]
    table = torch.randn(len(world.prefixes), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    table.requires_grad_()

    loss = torch.tensor(0.0, dtype=torch.float64)
    for i in range(len(p)):
        rows = world.prefix[[i]], returns[[i]], world.mask[[i]]
        values = table[rows[0]]
        one, _ = value_loss(values, values, rows[1], rows[2], clip=None, aggregate="sequence_sum")
        loss = loss + p[i] * one
    # Half the squared error of every state, by how often it is visited, and a constant.
    noise = (p[:, None] * world.mask * (returns - by_prefix[world.prefix]) ** 2).sum() / 2
    close(loss, (visits * (table - by_prefix) ** 2).sum() / 2 + noise)
    close(torch.autograd.grad(loss, table)[0], visits * (table.detach() - by_prefix))


@pytest.mark.parametrize("aggregate", ["token_mean", "sequence_mean", "sequence_sum"])
def test_micro_batches_add_up(batch, aggregate):
    values, old, returns, mask = batch
    loss, gradient, _ = loss_and_gradient(values, old, returns, mask, aggregate=aggregate)
    normalizer = loss_normalizer(mask, aggregate)
    parts = [
        loss_and_gradient(values[i], old[i], returns[i], mask[i], aggregate=aggregate, normalizer=normalizer)
        for i in ([0, 1], [2], [3, 4])
    ]
    close(sum(part[0] for part in parts), loss)
    close(torch.cat([part[1] for part in parts]), gradient)


@pytest.mark.parametrize("junk", [float("nan"), -float("inf"), 1e300])
def test_what_stands_outside_the_mask_never_matters(batch, junk):
    values, old, returns, mask = batch
    clean = loss_and_gradient(values, old, returns, mask)
    dirty = loss_and_gradient(*(torch.where(mask, x, junk) for x in (values, old, returns)), mask)
    close(dirty[0], clean[0])
    close(dirty[1], clean[1])
    for name, value in clean[2].items():
        close(dirty[2][name], value)


def test_only_values_get_a_gradient_and_an_empty_mask_is_zero(batch):
    values, old, returns, mask = (x.clone() for x in batch)
    for tensor in (values, old, returns):
        tensor.requires_grad_()
    loss, stats = value_loss(values, old, returns, mask)
    assert torch.autograd.grad(loss, [old, returns], allow_unused=True, retain_graph=True) == (None, None)
    assert not any(value.requires_grad for value in stats.values())
    loss, gradient, stats = loss_and_gradient(*batch[:3], torch.zeros_like(mask))
    assert loss == 0 and (gradient == 0).all() and stats.pop("explained_variance").isnan()
    assert all(value == 0 for value in stats.values())


def test_explained_variance(batch):
    values, _, returns, mask = batch
    chosen, left = returns[mask], (returns - values)[mask]
    found = explained_variance(values.requires_grad_(), returns, mask)
    close(found, 1 - left.var(correction=0) / chosen.var(correction=0))
    assert not found.requires_grad
    dirty = (torch.where(mask, x, float("nan")) for x in (values, returns))
    close(explained_variance(*dirty, mask), found)
    # It knows no offset: a critic that is wrong by the same amount everywhere explains everything.
    close(explained_variance(returns + 3.0, returns, mask), torch.tensor(1.0))
    close(explained_variance(-returns, returns, mask), torch.tensor(-3.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.7, 1e6 + 0.3])
def test_explained_variance_of_equal_returns_is_nan(value, dtype):
    mask = torch.ones(3, 7, dtype=torch.bool)
    returns = torch.full((3, 7), value, dtype=dtype)
    for values in (returns, torch.zeros_like(returns), torch.rand(3, 7, dtype=dtype)):
        assert explained_variance(values, returns, mask).isnan()
        _, stats = value_loss(values, values, returns, mask)
        assert stats["explained_variance"].isnan()
    assert explained_variance(returns, returns, ~mask).isnan()
    assert explained_variance(returns[:, :0], returns[:, :0], mask[:, :0]).isnan()


def test_the_loss_of_every_token(batch):
    values, old, returns, mask = batch
    per_token, _ = value_loss(values, old, returns, mask, aggregate="none")
    assert per_token.shape == mask.shape and (per_token[~mask] == 0).all()
    close(per_token[mask].mean(), value_loss(values, old, returns, mask)[0])


def test_statistics(batch):
    values, old, returns, mask = batch
    _, stats = value_loss(returns, old, returns, mask)
    close(stats["explained_variance"], torch.tensor(1.0))
    _, stats = value_loss(torch.full_like(values, 7.0), old, returns, mask)
    close(stats["explained_variance"], torch.tensor(0.0))
    close(stats["value_mean"], torch.tensor(7.0))
    close(stats["return_mean"], returns[mask].mean())
    with pytest.raises(ValueError, match="clip"):
        value_loss(values, old, returns, mask, clip=-0.1)
