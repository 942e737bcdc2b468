"""Masks by entropy and by off-policy sequence: counts, ties, TRL's quantile, and what must never be read."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.algorithms import PRESETS, masked_mean, off_policy_sequence_mask, policy_loss, top_entropy_mask


def a_batch(seed: int = 0, rows: int = 6, time: int = 7):
    generator = torch.Generator().manual_seed(seed)
    entropy = torch.rand(rows, time, generator=generator, dtype=torch.float64)
    mask = torch.rand(rows, time, generator=generator) < 0.7
    mask[2] = False
    return entropy, mask


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.2, 0.29, 0.5, 0.7, 1.0])
def test_the_tokens_of_highest_entropy_stay(share, seed):
    entropy, mask = a_batch(seed)
    keep = top_entropy_mask(entropy, mask, share)
    assert not (keep & ~mask).any()
    assert keep.sum() == 1 + math.floor(share * (int(mask.sum()) - 1) + 1e-9)
    if share < 1:
        assert entropy[keep].min() > entropy[mask & ~keep].max()
    # The quantile of TRL; between two values it does not matter which of them is named.
    threshold = torch.quantile(entropy[mask], 1 - share, interpolation="linear")
    assert keep.sum() - (mask & (entropy >= threshold)).sum() in (0, 1)  # 1 where rounding lifts the quantile
    assert (mask & (entropy > threshold) <= keep).all()


def test_rounding_does_not_cost_a_token():
    # 0.29 * 100 is 28.999999999999996.
    entropy, mask = torch.arange(101.0)[None], torch.ones(1, 101, dtype=torch.bool)
    assert top_entropy_mask(entropy, mask, 0.29).sum() == 30


def test_ties_stay_together():
    entropy = torch.tensor([[0.5, 0.5, 0.1, 0.5, 0.9]])
    mask = torch.ones(1, 5, dtype=torch.bool)
    assert top_entropy_mask(entropy, mask, 0.25).tolist() == [[True, True, False, True, True]]
    assert top_entropy_mask(torch.zeros(1, 5), mask, 0.0).all()


@pytest.mark.parametrize("junk", [math.nan, math.inf, -1.0])
def test_what_stands_outside_the_mask_is_never_read(junk):
    entropy, mask = a_batch()
    assert (top_entropy_mask(torch.where(mask, entropy, junk), mask, 0.3) == top_entropy_mask(entropy, mask, 0.3)).all()
    now, old, advantages, _ = logprobs()
    clean = off_policy_sequence_mask(now, old, advantages, mask, 0.1)
    dirty = (torch.where(mask, x, junk) for x in (now, old, advantages[:, None].expand_as(now)))
    assert (off_policy_sequence_mask(*dirty, mask, 0.1) == clean).all()


def test_masks_without_a_token():
    for shape in ((2, 3), (0, 3), (2, 0)):
        x, mask = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        assert top_entropy_mask(x, mask).shape == shape and not top_entropy_mask(x, mask).any()
        assert off_policy_sequence_mask(x, x, torch.zeros(shape[0]), mask, 0.1).shape == shape


def logprobs(seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    old = -2 * torch.rand(6, 7, generator=generator, dtype=torch.float64)
    now = old + torch.randn(6, 7, generator=generator, dtype=torch.float64)
    return now, old, torch.randn(6, generator=generator, dtype=torch.float64), a_batch()[1]


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
def test_a_sequence_is_dropped_for_a_bad_advantage_and_a_large_gap(threshold):
    now, old, advantages, mask = logprobs()
    keep = off_policy_sequence_mask(now, old, advantages, mask, threshold)
    for row in range(len(mask)):
        gap = (old - now)[row][mask[row]]
        drop = advantages[row] < 0 and len(gap) > 0 and gap.mean() > threshold
        assert (keep[row] == (mask[row] & (not drop))).all()
    # The other direction is no reason: the policy has become likelier to write it.
    bad = -torch.ones(6)
    assert (off_policy_sequence_mask(old + 1, old, bad, mask, threshold) == mask).all()
    assert not off_policy_sequence_mask(old - 1, old, bad, mask, threshold).any()


def test_advantages_by_token_drop_tokens_of_a_far_sequence():
    mask = torch.ones(1, 3, dtype=torch.bool)
    old = torch.full((1, 3), -1.0)
    advantages = torch.tensor([[1.0, -1.0, 0.0]])
    assert off_policy_sequence_mask(old - 1, old, advantages, mask, 0.5).tolist() == [[True, False, True]]
    assert off_policy_sequence_mask(old - 0.4, old, advantages, mask, 0.5).all()


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_larger_share_keeps_what_a_smaller_one_does(share, seed):
    entropy, mask = a_batch(seed)
    assert (top_entropy_mask(entropy, mask, share * 0.6) <= top_entropy_mask(entropy, mask, share)).all()


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "dr_grpo"])
def test_multiplied_into_the_advantages_it_leaves_the_divisor_alone(name):
    now, old, advantages, mask = logprobs()
    keep = top_entropy_mask(a_batch()[0], mask, 0.3)
    preset, x = PRESETS[name], now.clone().requires_grad_()
    loss, _ = preset.loss(x, old, advantages[:, None] * keep, mask)
    slopes = torch.autograd.grad(loss, x)[0]
    per_token, _ = preset.loss(x, old, advantages[:, None] * keep, mask, aggregate="none")
    assert (per_token[~keep] == 0).all() and slopes[keep].abs().max() > 0
    if preset.ratio == "token":  # the ratio of a sequence has a gradient through all of its tokens
        assert (slopes[~keep] == 0).all()
        whole = torch.autograd.grad(preset.loss(x, old, advantages, mask)[0], x)[0]
        torch.testing.assert_close(slopes[keep], whole[keep], rtol=0, atol=1e-12)


def test_as_the_mask_it_divides_by_the_tokens_that_stay():
    now, old, advantages, mask = logprobs()
    keep = top_entropy_mask(a_batch()[0], mask, 0.3)
    per_token, _ = policy_loss(now, old, advantages, mask, aggregate="none")
    loss, _ = policy_loss(now, old, advantages, keep)
    torch.testing.assert_close(loss, masked_mean(per_token, keep))


def test_errors():
    entropy, mask = a_batch()
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="share"):
            top_entropy_mask(entropy, mask, share)
    with pytest.raises(ValueError, match="threshold"):
        off_policy_sequence_mask(entropy, entropy, torch.zeros(6), mask, -0.1)
