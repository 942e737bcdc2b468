"""Advantages: literal values, groups of every kind, and what must be exactly zero."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.algorithms import advantages, zero_variance

BASELINES = ("group_mean", "leave_one_out", "batch_mean", "none")
SCALES = ("group_std", "batch_std", "none")


def d(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# Two groups, interleaved, of unequal size, with ids that are no indices.
REWARDS = d(1.0, 0.0, 4.0, 2.0, 6.0)
GROUPS = torch.tensor([-3, 900, -3, 900, -3])


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("none", (1.0, 0.0, 4.0, 2.0, 6.0)),
        ("batch_mean", (-1.6, -2.6, 1.4, -0.6, 3.4)),
        ("group_mean", (-8 / 3, -1.0, 1 / 3, 1.0, 7 / 3)),
        ("leave_one_out", (1 - 5.0, 0 - 2.0, 4 - 3.5, 2 - 0.0, 6 - 2.5)),
    ],
)
def test_baselines(baseline, expected):
    close(advantages(REWARDS, GROUPS, baseline=baseline, scale="none"), d(*expected))


@pytest.mark.parametrize("ddof", [0, 1])
def test_scales(ddof):
    first, second, whole = REWARDS[GROUPS == -3], REWARDS[GROUPS == 900], REWARDS
    centred = advantages(REWARDS, GROUPS, scale="none")
    std = torch.where(GROUPS == -3, first.std(correction=ddof), second.std(correction=ddof))
    close(advantages(REWARDS, GROUPS, scale="group_std", ddof=ddof, eps=0.01), centred / (std + 0.01))
    batch_std = whole.std(correction=ddof)
    close(advantages(REWARDS, GROUPS, scale="batch_std", ddof=ddof, eps=0.01), centred / (batch_std + 0.01))


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_scale_by_the_mean_of_the_group(baseline):
    mean = torch.where(GROUPS == -3, d(11 / 3), d(1.0))
    centred = advantages(REWARDS, GROUPS, baseline=baseline, scale="none")
    close(advantages(REWARDS, GROUPS, baseline=baseline, scale="group_mean", eps=0.01), centred / (mean + 0.01))


def test_maxrl_divides_by_the_share_of_right_answers():
    rewards, groups = d(1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1), torch.tensor([0] * 4 + [1] * 4 + [2] * 2 + [3] * 2)
    # One of four right: +3 and -1. Three of four: +1/3 and -1. None right, and all right: nothing to learn.
    expected = d(3, -1, -1, -1, 1 / 3, 1 / 3, 1 / 3, -1, 0, 0, 0, 0)
    close(advantages(rewards, groups, scale="group_mean", eps=0.0), expected)
    # Without a baseline the successes share 1 / K: with all right each has 1, with none right all have 0.
    none = advantages(rewards, groups, baseline="none", scale="group_mean", eps=0.0)
    close(none, d(4, 0, 0, 0, 4 / 3, 4 / 3, 4 / 3, 0, 0, 0, 1, 1))
    assert advantages(d(0.1, 0.1, 0.1), torch.zeros(3, dtype=torch.long), scale="group_mean").tolist() == [0, 0, 0]
    assert advantages(torch.zeros(0), torch.zeros(0, dtype=torch.long), scale="group_mean").shape == (0,)
    # In MaxRL the unit of the reward cancels; a shift changes the objective.
    close(
        advantages(250 * rewards, groups, scale="group_mean", eps=0.0),
        advantages(rewards, groups, scale="group_mean", eps=0.0),
    )


@pytest.mark.parametrize(
    ("system", "ddof", "eps", "figure"),
    [
        ("TRL", 1, 1e-4, 0.8658755),
        ("veRL", 1, 1e-6, 0.8660239),
        ("OpenRLHF", 1, 1e-9, 0.8660254),
        ("Open Instruct", 0, 1e-8, 0.99999998),
    ],
)
def test_the_figures_of_other_systems(system, ddof, eps, figure):
    result = advantages(d(0, 1, 1, 0), torch.zeros(4, dtype=torch.long), ddof=ddof, eps=eps)
    close(result, d(-figure, figure, figure, -figure), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out", "batch_mean"])
@pytest.mark.parametrize("value", [0.1, 1 / 3, -7.7, 1e6 + 0.3])
def test_equal_rewards_give_exactly_zero(value, baseline, scale, dtype):
    rewards = torch.full((7,), value, dtype=dtype)
    groups = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    result = advantages(rewards, groups, baseline=baseline, scale=scale, eps=1e-12)
    assert (result == 0).all()


def test_a_group_without_spread_among_others_is_exactly_zero():
    rewards, groups = d(0.1, 0.1, 0.1, 0.0, 1.0), torch.tensor([4, 4, 4, 9, 9])
    for scale in SCALES:
        result = advantages(rewards, groups, scale=scale, eps=0.0)
        assert (result[:3] == 0).all() and (result[3:] != 0).all()
    # Without a mean of its own the group has a numerator, and still no spread to divide it by.
    for baseline in ("batch_mean", "none"):
        assert (advantages(rewards, groups, baseline=baseline, eps=0.0)[:3] == 0).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_a_group_of_one(baseline, scale):
    rewards, groups = d(5.0, 1.0, 0.0), torch.tensor([1, 2, 2])
    alone = advantages(rewards, groups, baseline=baseline, scale=scale)[0].item()
    if baseline in ("group_mean", "leave_one_out") or scale == "group_std":
        assert alone == 0
    elif scale == "none":
        assert alone == pytest.approx(3.0 if baseline == "batch_mean" else 5.0)
    else:
        assert alone > 0 and math.isfinite(alone)


def test_too_few_members_for_the_degrees_of_freedom():
    assert advantages(d(0, 1), torch.tensor([0, 0]), ddof=2).tolist() == [0, 0]


def test_an_empty_batch():
    for baseline in BASELINES:
        for scale in SCALES:
            empty = advantages(torch.zeros(0), torch.zeros(0, dtype=torch.long), baseline, scale)
            assert empty.shape == (0,)


def test_scaling_and_shifting_the_rewards_changes_nothing_in_grpo():
    plain = advantages(REWARDS, GROUPS, eps=0.0)
    close(advantages(REWARDS * 250 - 17, GROUPS, eps=0.0), plain)
    # Without the division the scale stays: Dr. GRPO is invariant to a shift alone.
    centred = advantages(REWARDS, GROUPS, scale="none")
    close(advantages(REWARDS * 250 - 17, GROUPS, scale="none"), 250 * centred, atol=1e-9)


def test_an_easy_prompt_does_not_change_a_hard_one():
    shifted = REWARDS + 10 * (GROUPS == 900)
    for baseline in ("group_mean", "leave_one_out"):
        close(
            advantages(REWARDS, GROUPS, baseline=baseline, scale="none"),
            advantages(shifted, GROUPS, baseline=baseline, scale="none"),
        )


rows = st.lists(st.tuples(st.floats(-10, 10), st.integers(-5, 5)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(rows=rows, baseline=st.sampled_from(BASELINES), scale=st.sampled_from(SCALES), seed=st.integers(0, 99))
def test_the_order_of_rows_and_the_names_of_groups_do_not_matter(rows, baseline, scale, seed):
    rewards, groups = d(*(r for r, _ in rows)), torch.tensor([g for _, g in rows])
    result = advantages(rewards, groups, baseline, scale, eps=1e-3)
    assert torch.isfinite(result).all()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    close(advantages(rewards[order], groups[order] * 1000 - 7, baseline, scale, eps=1e-3), result[order], 1e-7)


@settings(max_examples=40, deadline=None)
@given(rows=rows)
def test_leave_one_out_is_the_group_mean_times_n_over_n_minus_1(rows):
    rewards, groups = d(*(r for r, _ in rows)), torch.tensor([g for _, g in rows])
    size = (groups[:, None] == groups).sum(1)
    mean = advantages(rewards, groups, "group_mean", "none")
    close(advantages(rewards, groups, "leave_one_out", "none"), mean * size / (size - 1).clamp(min=1), atol=1e-9)


def test_zero_variance():
    rewards, groups = d(0.1, 1, 0.1, 0, 0.5), torch.tensor([4, 9, 4, 9, 7])
    assert zero_variance(rewards, groups).tolist() == [True, False, True, False, True]


def test_no_gradient_flows_through_advantages():
    assert not advantages(REWARDS.clone().requires_grad_(), GROUPS).requires_grad


def test_errors():
    with pytest.raises(ValueError, match=r"baseline='mean'.*group_mean"):
        advantages(REWARDS, GROUPS, baseline="mean")
    with pytest.raises(ValueError, match=r"scale='std'.*group_std"):
        advantages(REWARDS, GROUPS, scale="std")
    with pytest.raises(ValueError, match=r"scale='group_mean'.*not be negative"):
        advantages(d(1, -0.5, 3), torch.tensor([0, 0, 1]), scale="group_mean")
    for broken in (math.nan, math.inf):
        with pytest.raises(ValueError, match="reward is NaN or infinite"):
            advantages(d(0, broken), torch.tensor([0, 0]))
