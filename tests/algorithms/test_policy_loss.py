"""The policy loss: a truth table of clipping, aggregation, micro-batches, empty masks, statistics."""

import itertools
import math

import pytest
import torch

from labkit.algorithms import (
    LOG_RATIO_LIMIT,
    aggregate_tokens,
    entropy,
    loss_normalizer,
    masked_mean,
    policy_loss,
)

AGGREGATES = ("token_mean", "sequence_mean", "sequence_sum", "sequence_sum_norm")


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, check_dtype=False)


def one_token(ratio: float, advantage: float, **options):
    """Loss of a single token, its gradient with respect to the RATIO, and the statistics."""
    old = torch.tensor([[-1.0]], dtype=torch.float64)
    now = (old + math.log(ratio)).requires_grad_()
    mask = torch.ones(1, 1, dtype=torch.bool)
    loss, stats = policy_loss(now, old, torch.tensor([advantage], dtype=torch.float64), mask, **options)
    # d loss / d ratio = (d loss / d lp) / (d ratio / d lp), and d ratio / d lp = ratio.
    gradient = torch.autograd.grad(loss, now)[0].item() / ratio
    return loss.item(), gradient, {name: value.item() for name, value in stats.items()}


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "gradient", "low", "high"),
    [
        (+1.0, 0.5, -0.5, -1.0, 0, 0),  # below, good: still pulled up
        (+1.0, 1.1, -1.1, -1.0, 0, 0),
        (+1.0, 1.5, -1.2, 0.0, 0, 1),  # above, good: enough
        (-1.0, 0.5, 0.8, 0.0, 1, 0),  # below, bad: enough (an inverted clip gives 0.5 and a gradient)
        (-1.0, 0.9, 0.9, 1.0, 0, 0),
        (-1.0, 1.5, 1.5, 1.0, 0, 0),  # above, bad: still pushed down (an inverted clip gives 1.2 and none)
        (-2.0, 1.5, 3.0, 2.0, 0, 0),
        (0.0, 1.5, 0.0, 0.0, 0, 0),
    ],
)
def test_clip(advantage, ratio, loss, gradient, low, high):
    result = one_token(ratio, advantage)
    assert result[0] == pytest.approx(loss, abs=1e-12)
    assert result[1] == pytest.approx(gradient, abs=1e-12)
    stats = result[2]
    assert (stats["clip_fraction_low"], stats["clip_fraction_high"]) == (low, high)
    assert stats["clip_fraction"] == low + high


@pytest.mark.parametrize(("ratio", "gradient"), [(1.25, -1.0), (1.3, 0.0), (0.79, -1.0)])
def test_clip_higher(ratio, gradient):
    assert one_token(ratio, 1.0, clip_high=0.28)[1] == pytest.approx(gradient, abs=1e-12)


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "gradient", "capped"),
    [
        (-1.0, 2.9, 2.9, 1.0, 0),
        (-1.0, 10.0, 3.0, 0.0, 1),  # the loss stops at 3 |A|
        (-1.0, 0.5, 0.8, 0.0, 0),
        (+1.0, 10.0, -1.2, 0.0, 0),  # nothing changes for a good answer
    ],
)
def test_dual_clip(advantage, ratio, loss, gradient, capped):
    result = one_token(ratio, advantage, dual_clip=3.0)
    assert result[0] == pytest.approx(loss, abs=1e-12)
    assert result[1] == pytest.approx(gradient, abs=1e-12)
    assert result[2]["dual_clip_fraction"] == capped


@pytest.mark.parametrize(
    ("advantage", "ratio", "weight", "clipped"),
    [(1.0, 0.5, 0.8, 1), (1.0, 1.1, 1.1, 0), (1.0, 9.0, 1.2, 1), (-1.0, 0.5, 0.8, 1), (-1.0, 9.0, 1.2, 1)],
)
def test_cispo_keeps_a_gradient_when_clipped(advantage, ratio, weight, clipped):
    loss, gradient, stats = one_token(ratio, advantage, objective="cispo")
    lp = -1.0 + math.log(ratio)
    assert loss == pytest.approx(-weight * advantage * lp, abs=1e-12)
    assert gradient * ratio == pytest.approx(-weight * advantage, abs=1e-12)  # with respect to lp
    assert stats["clip_fraction"] == clipped


@pytest.mark.parametrize("ratio", [0.1, 1.0, 7.0])
def test_reinforce_knows_no_ratio(ratio):
    loss, gradient, stats = one_token(ratio, 2.0, objective="reinforce")
    assert loss == pytest.approx(-2.0 * (-1.0 + math.log(ratio)), abs=1e-12)
    assert gradient * ratio == pytest.approx(-2.0, abs=1e-12)
    assert stats["clip_fraction"] == 0 and stats["ratio_mean"] == pytest.approx(ratio)


@pytest.mark.parametrize(("advantage", "tau"), [(2.0, 0.7), (-2.0, 3.0), (0.0, 3.0)])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 1.3, 20.0])
def test_sapo_replaces_the_clip_by_a_soft_gate(ratio, advantage, tau):
    loss, gradient, stats = one_token(ratio, advantage, objective="sapo", tau_pos=0.7, tau_neg=3.0)
    # 4 / tau sigmoid(tau (r - 1)), by the other formula: 2 / tau (1 + tanh(tau (r - 1) / 2)).
    assert loss == pytest.approx(-advantage * 2 / tau * (1 + math.tanh(tau * (ratio - 1) / 2)), abs=1e-12)
    assert gradient == pytest.approx(-advantage / math.cosh(tau * (ratio - 1) / 2) ** 2, abs=1e-12)
    assert stats["clip_fraction"] == 0 and stats["dual_clip_fraction"] == 0


def test_sapo_with_a_flat_gate_is_the_ratio_without_a_clip():
    now, old, advantage, mask = batch()
    gradients = []
    for options in ({"objective": "sapo", "tau_pos": 1e-7, "tau_neg": 1e-7}, {"clip_low": 1.0, "clip_high": math.inf}):
        gradients.append(loss_and_gradient(now, old, advantage, mask, **options)[1])
    close(gradients[0], gradients[1])


def test_sapo_keeps_its_temperatures_in_float64():
    # 1.05 has no exact float32: 1.0499999523 there.
    loss, _, _ = one_token(1.5, -1.0, objective="sapo")
    assert loss == pytest.approx(4 / 1.05 / (1 + math.exp(-1.05 * 0.5)), abs=1e-14)


def test_sequence_ratio_is_shared_by_the_tokens():
    # Ratios 4 and 1: the geometric mean is 2, so both tokens are clipped, although one of them has not moved.
    old = torch.zeros(1, 3, dtype=torch.float64)
    now = torch.tensor([[math.log(4.0), 0.0, 55.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    good = torch.tensor([1.0], dtype=torch.float64)
    loss, stats = policy_loss(now, old, good, mask, ratio="sequence")
    assert loss.item() == pytest.approx(-1.2)
    assert stats["clip_fraction"] == 1 and stats["ratio_max"].item() == pytest.approx(2.0)
    close(torch.autograd.grad(loss, now)[0], torch.zeros(1, 3))
    loss, stats = policy_loss(now, old, -good, mask, ratio="sequence")
    assert loss.item() == pytest.approx(2.0) and stats["clip_fraction"] == 0
    close(torch.autograd.grad(loss, now)[0], torch.tensor([[1.0, 1.0, 0.0]]))  # s |A| / T each
    # By token it is another algorithm.
    assert policy_loss(now, old, -good, mask)[0].item() == pytest.approx((4 + 1) / 2)


def batch(seed: int = 0, rows: int = 6, time: int = 5, noise: float = 0.4):
    """A random off-policy batch of ragged rows (mask in any pattern), two of them without a token."""
    generator = torch.Generator().manual_seed(seed)
    old = -torch.rand(rows, time, generator=generator, dtype=torch.float64) * 3
    now = old + noise * torch.randn(rows, time, generator=generator, dtype=torch.float64)
    advantage = torch.randn(rows, generator=generator, dtype=torch.float64)
    mask = torch.rand(rows, time, generator=generator) < 0.6
    mask[[1, rows - 1]] = False
    return now, old, advantage, mask


def loss_and_gradient(now, old, advantage, mask, **options):
    now = now.clone().requires_grad_()
    loss, _ = policy_loss(now, old, advantage, mask, norm_length=7, **options)
    return loss.detach(), torch.autograd.grad(loss, now)[0]


OBJECTIVES = ("clip", "reinforce", "cispo", "sapo")
CASES = list(itertools.product(AGGREGATES, OBJECTIVES, ("token", "sequence")))


@pytest.mark.parametrize(("aggregate", "objective", "ratio"), CASES)
def test_micro_batches_add_up_to_the_batch(aggregate, objective, ratio):
    now, old, advantage, mask = batch()
    options = {"aggregate": aggregate, "objective": objective, "ratio": ratio, "dual_clip": 3.0}
    loss, gradient = loss_and_gradient(now, old, advantage, mask, **options)
    normalizer = loss_normalizer(mask, aggregate)
    pieces = [[0], [1], [2, 3, 4], [5]]
    parts = [loss_and_gradient(now[i], old[i], advantage[i], mask[i], normalizer=normalizer, **options) for i in pieces]
    close(sum(part for part, _ in parts), loss)
    close(torch.cat([part for _, part in parts]), gradient)
    # Without the normaliser they do not: this is the mistake that the keyword is there for.
    naive = sum(loss_and_gradient(now[i], old[i], advantage[i], mask[i], **options)[0] for i in pieces)
    assert not torch.isclose(naive, loss, rtol=1e-3)


@pytest.mark.parametrize(("aggregate", "objective", "ratio"), CASES)
def test_the_order_of_rows_does_not_matter(aggregate, objective, ratio):
    now, old, advantage, mask = batch()
    options = {"aggregate": aggregate, "objective": objective, "ratio": ratio}
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss, gradient = loss_and_gradient(now, old, advantage, mask, **options)
    shuffled = loss_and_gradient(now[order], old[order], advantage[order], mask[order], **options)
    close(shuffled[0], loss)
    close(shuffled[1], gradient[order])


@pytest.mark.parametrize(("aggregate", "objective", "ratio"), CASES)
def test_what_stands_outside_the_mask_never_matters(aggregate, objective, ratio):
    now, old, advantage, mask = batch()
    options = {"aggregate": aggregate, "objective": objective, "ratio": ratio}
    loss, gradient = loss_and_gradient(now, old, advantage, mask, **options)
    per_token = advantage[:, None].expand_as(now)
    for junk in (math.nan, -math.inf, 1e300):
        dirty = [torch.where(mask, x, junk) for x in (now, old, per_token)]
        dirty_loss, dirty_gradient = loss_and_gradient(*dirty, mask, **options)
        close(dirty_loss, loss)
        close(dirty_gradient, gradient)


@pytest.mark.parametrize(("aggregate", "objective", "ratio"), CASES)
def test_a_batch_without_a_token(aggregate, objective, ratio):
    for rows, time in ((3, 4), (3, 0), (0, 4)):
        now = torch.zeros(rows, time, requires_grad=True)
        mask = torch.zeros(rows, time, dtype=torch.bool)
        loss, stats = policy_loss(
            now,
            now.detach(),
            torch.ones(rows),
            mask,
            aggregate=aggregate,
            objective=objective,
            ratio=ratio,
            norm_length=4,
        )
        assert loss.item() == 0
        assert (torch.autograd.grad(loss, now)[0] == 0).all()
        assert all(value == 0 for value in stats.values())


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loss_of_every_token_adds_up_to_each_aggregate(objective, ratio):
    now, old, advantage, mask = batch()
    options = {"objective": objective, "ratio": ratio}
    junk = torch.where(mask, now, math.nan).requires_grad_()
    per_token, stats = policy_loss(junk, old, advantage, mask, aggregate="none", normalizer=3, **options)
    assert per_token.shape == mask.shape and (per_token[~mask] == 0).all()
    slopes = torch.autograd.grad(per_token.sum(), junk)[0]
    assert (slopes[~mask] == 0).all()
    token_loss, gradient = loss_and_gradient(now, old, advantage, mask, **options)
    close(masked_mean(per_token.detach(), mask), token_loss)
    close(slopes / mask.sum(), gradient)
    for aggregate, by_hand in {
        "sequence_mean": masked_mean(per_token, mask, dim=1).mean(),
        "sequence_sum": per_token.sum(1).mean(),
        "sequence_sum_norm": per_token.sum(1).mean() / 7,
    }.items():
        close(loss_and_gradient(now, old, advantage, mask, aggregate=aggregate, **options)[0], by_hand.detach())
    _, expected = policy_loss(now, old, advantage, mask, **options)
    assert stats == expected


def test_a_loss_per_token_has_no_normalizer():
    with pytest.raises(ValueError, match=r"aggregate='none'.*token_mean"):
        loss_normalizer(torch.ones(2, 3, dtype=torch.bool), "none")


def test_a_row_without_a_token_counts_as_a_sequence_and_not_as_tokens():
    values = torch.tensor([[2.0, 4.0], [0.0, 0.0]])
    mask = torch.tensor([[True, True], [False, False]])
    expected = {"token_mean": 3.0, "sequence_mean": 1.5, "sequence_sum": 3.0, "sequence_sum_norm": 0.75}
    for aggregate, value in expected.items():
        assert aggregate_tokens(values, mask, aggregate, norm_length=4).item() == value


def test_the_length_bias_of_the_aggregates():
    # One short and one long answer of the same advantage: the weight that a token gets in each.
    mask = torch.tensor([[True] + [False] * 9, [True] * 10])
    now = torch.zeros(2, 10, dtype=torch.float64)
    weights = {}
    for aggregate in AGGREGATES:
        _, gradient = loss_and_gradient(now, now, -torch.ones(2, dtype=torch.float64), mask, aggregate=aggregate)
        weights[aggregate] = (gradient[0, 0] / gradient[1, 0]).item()
    assert weights["sequence_mean"] == pytest.approx(10.0)
    for aggregate in ("token_mean", "sequence_sum", "sequence_sum_norm"):
        assert weights[aggregate] == pytest.approx(1.0)


def test_advantages_by_token():
    now, old, advantage, mask = batch()
    by_row = loss_and_gradient(now, old, advantage, mask)
    by_token = loss_and_gradient(now, old, advantage[:, None].expand_as(now), mask)
    close(by_token[0], by_row[0])
    close(by_token[1], by_row[1])


def test_on_policy_all_objectives_have_the_same_gradient():
    now, _, advantage, mask = batch()
    gradients = [
        loss_and_gradient(now, now, advantage, mask, objective=objective, ratio=ratio)[1]
        for objective, ratio in (("clip", "token"), ("reinforce", "token"), ("cispo", "sequence"), ("sapo", "token"))
    ]
    for other in gradients[1:]:
        close(gradients[0], other)
    close(gradients[0], -advantage[:, None] * mask / mask.sum())


def test_only_logprobs_get_a_gradient():
    now, old, advantage, mask = batch()
    old, advantage = old.requires_grad_(), advantage.requires_grad_()
    loss, stats = policy_loss(now.requires_grad_(), old, advantage, mask)
    assert torch.autograd.grad(loss, [old, advantage], allow_unused=True, retain_graph=True) == (None, None)
    assert not any(value.requires_grad for value in stats.values())


def test_statistics():
    now = torch.log(torch.tensor([[0.5, 1.0, 1.5, 99.0]], dtype=torch.float64))
    mask = torch.tensor([[True, True, True, False]])
    _, stats = policy_loss(now, torch.zeros_like(now), torch.tensor([1.0], dtype=torch.float64), mask)
    assert stats["tokens"] == 3
    assert stats["ratio_mean"].item() == pytest.approx(1.0)
    assert stats["ratio_max"].item() == pytest.approx(1.5)
    assert stats["ess"].item() == pytest.approx(9 / (3 * 3.5))
    k3 = [r - 1 - math.log(r) for r in (0.5, 1.0, 1.5)]
    assert stats["approx_kl"].item() == pytest.approx(sum(k3) / 3)
    assert stats["clip_fraction"].item() == pytest.approx(1 / 3)
    _, on_policy = policy_loss(now, now, torch.ones(1, dtype=torch.float64), mask)
    assert on_policy["ess"] == 1 and on_policy["approx_kl"] == 0 and on_policy["ratio_max"] == 1


@pytest.mark.parametrize("objective", ["clip", "sapo"])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("log_ratio", [100.0, -100.0])
def test_a_broken_ratio_is_counted_and_brings_no_nan(log_ratio, advantage, objective):
    old = torch.tensor([[-1.0, -1.0]])
    now = torch.tensor([[-1.0 + log_ratio, -1.0]], requires_grad=True)
    mask = torch.ones(1, 2, dtype=torch.bool)
    loss, stats = policy_loss(now, old, torch.tensor([advantage]), mask, objective=objective)
    gradient = torch.autograd.grad(loss, now)[0]
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()
    assert gradient[0, 0] == 0 and gradient[0, 1] == -advantage / 2
    assert stats["log_ratio_clamped"] == 0.5


def test_nothing_is_clamped_below_the_limit():
    ratio = math.exp(LOG_RATIO_LIMIT - 1e-6)
    loss, gradient, stats = one_token(ratio, -1.0)
    assert loss == pytest.approx(ratio, rel=1e-12) and gradient == pytest.approx(1.0, rel=1e-12)
    assert stats["log_ratio_clamped"] == 0


def test_masked_mean_and_entropy():
    values = torch.tensor([[1.0, math.nan], [math.inf, 3.0]])
    assert masked_mean(values, torch.tensor([[True, False], [False, True]])).item() == 2.0
    assert masked_mean(values, torch.zeros(2, 2, dtype=torch.bool)).item() == 0.0
    mask = torch.tensor([[True, False], [False, False]])
    assert masked_mean(values, mask, dim=1).tolist() == [1.0, 0.0]
    assert masked_mean(values, mask, dim=0).tolist() == [1.0, 0.0]
    assert masked_mean(values, mask, dim=(0, 1)).item() == masked_mean(values, mask).item() == 1.0
    random, chosen = torch.rand(3, 4, 5).requires_grad_(), torch.rand(3, 4, 5) < 0.5
    for dim in (0, 1, -1, (0, 2)):
        found = masked_mean(random, chosen, dim)
        close(found, (random * chosen).sum(dim) / chosen.sum(dim).clamp(min=1), atol=1e-6)
        assert torch.isfinite(torch.autograd.grad(found.sum(), random)[0]).all()
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, math.log(3.0), -math.inf]], requires_grad=True)
    h = entropy(logits)
    close(h.detach(), torch.tensor([math.log(3), -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))]), atol=1e-6)
    assert torch.isfinite(torch.autograd.grad(h.sum(), logits)[0]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "ppo"}, "objective='ppo'.*clip, reinforce, cispo, sapo"),
        ({"ratio": "word"}, "ratio='word'"),
        ({"aggregate": "mean"}, "aggregate='mean'"),
        ({"aggregate": "sequence_sum_norm"}, "norm_length"),
        ({"aggregate": "sequence_sum_norm", "norm_length": 0}, "norm_length"),
        ({"clip_low": -0.1}, "clip_low"),
        ({"dual_clip": 0.9}, "dual_clip"),
        ({"tau_pos": 0.0}, "tau_pos=0.0"),
        ({"tau_neg": -1.0}, "tau_neg=-1.0"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        policy_loss(*batch(), **options)
