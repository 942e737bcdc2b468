"""Presets are the pure functions with options, and nothing more."""

import dataclasses

import pytest
import torch

from labkit.algorithms import (
    PRESETS,
    aggregate_tokens,
    kl_estimate,
    kl_penalty,
    overlong_penalty,
    policy_loss,
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    old, ref = -torch.rand(2, 4, 6, generator=generator, dtype=torch.float64) * 3
    now = old + 0.3 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([6, 1, 3, 4])[:, None]
    return now, old, ref, mask


def test_the_presets_of_the_papers():
    assert list(PRESETS) == [
        "reinforce",
        "rloo",
        "grpo",
        "dr_grpo",
        "dapo",
        "gspo",
        "cispo",
        "sapo",
        "maxrl",
        "ppo",
        "reinforce_pp",
        "remax",
        "prime",
    ]
    for name, preset in PRESETS.items():
        assert preset.name == name and preset.source and preset.kl_coef == 0
    table = {
        "reinforce": ("none", "none", "reinforce", "token", "sequence_sum"),
        "rloo": ("leave_one_out", "none", "reinforce", "token", "sequence_sum"),
        "grpo": ("group_mean", "group_std", "clip", "token", "sequence_mean"),
        "dr_grpo": ("group_mean", "none", "clip", "token", "sequence_sum_norm"),
        "dapo": ("group_mean", "group_std", "clip", "token", "token_mean"),
        "gspo": ("group_mean", "group_std", "clip", "sequence", "sequence_mean"),
        "cispo": ("group_mean", "group_std", "cispo", "token", "token_mean"),
        "sapo": ("group_mean", "group_std", "sapo", "token", "sequence_mean"),
        "maxrl": ("group_mean", "group_mean", "reinforce", "token", "sequence_sum"),
        "ppo": ("none", "none", "clip", "token", "token_mean"),
        "reinforce_pp": ("none", "none", "clip", "token", "token_mean"),
        "remax": ("none", "none", "reinforce", "token", "sequence_sum"),
        "prime": ("leave_one_out", "none", "clip", "token", "token_mean"),
    }
    for name, row in table.items():
        p = PRESETS[name]
        assert (p.baseline, p.scale, p.objective, p.ratio, p.aggregate) == row
    assert (PRESETS["dapo"].clip_low, PRESETS["dapo"].clip_high) == (0.2, 0.28)
    assert (PRESETS["sapo"].tau_pos, PRESETS["sapo"].tau_neg) == (1.0, 1.05)
    assert [p.name for p in PRESETS.values() if p.drop_zero_variance] == ["dapo"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_calls_the_pure_functions(name, batch):
    now, old, ref, mask = batch
    preset = PRESETS[name]
    rewards, groups = torch.tensor([1.0, 0.0, 0.5, 2.0]).double(), torch.tensor([7, 7, 1, 1])
    advantage = preset.advantages(rewards, groups)
    loss, stats = preset.loss(now, old, advantage, mask, norm_length=6)
    expected, _ = policy_loss(
        now,
        old,
        advantage,
        mask,
        objective=preset.objective,
        ratio=preset.ratio,
        clip_low=preset.clip_low,
        clip_high=preset.clip_high,
        tau_pos=preset.tau_pos,
        tau_neg=preset.tau_neg,
        aggregate=preset.aggregate,
        norm_length=6,
    )
    assert loss == expected
    assert "kl" not in stats
    # A reference is only measured as long as the coefficient is 0.
    with_reference, stats = preset.loss(now, old, advantage, mask, norm_length=6, ref_logprobs=ref)
    assert with_reference == expected
    torch.testing.assert_close(stats["kl"], kl_estimate(now, ref, preset.kl_kind)[mask].mean())


@pytest.mark.parametrize("name", PRESETS)
def test_micro_batches_of_a_preset_with_kl(name, batch):
    now, old, ref, mask = batch
    preset = dataclasses.replace(PRESETS[name], kl_placement="loss", kl_kind="k2", kl_coef=0.3)
    advantage = torch.tensor([1.0, -1.0, 0.5, 0.2]).double()
    whole, _ = preset.loss(now, old, advantage, mask, norm_length=6, ref_logprobs=ref)
    plain, _ = PRESETS[name].loss(now, old, advantage, mask, norm_length=6)
    kl = aggregate_tokens(kl_estimate(now, ref, "k2"), mask, preset.aggregate, norm_length=6)
    torch.testing.assert_close(whole, plain + 0.3 * kl)
    parts = sum(
        preset.loss(
            now[i],
            old[i],
            advantage[i],
            mask[i],
            norm_length=6,
            normalizer=preset.normalizer(mask),
            ref_logprobs=ref[i],
        )[0]
        for i in ([0], [1, 2], [3])
    )
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("name", PRESETS)
def test_the_loss_of_every_token_of_a_preset(name, batch):
    now, old, ref, mask = batch
    preset = dataclasses.replace(PRESETS[name], kl_placement="loss", kl_kind="k2", kl_coef=0.3, entropy_coef=0.2)
    arguments = now, old, torch.tensor([1.0, -1.0, 0.5, 0.2]).double(), mask
    given = {"norm_length": 6, "ref_logprobs": ref, "entropy": now.square()}
    per_token, stats = preset.loss(*arguments, aggregate="none", **given)
    assert per_token.shape == mask.shape and (per_token[~mask] == 0).all()
    whole, expected = preset.loss(*arguments, **given)
    torch.testing.assert_close(aggregate_tokens(per_token, mask, preset.aggregate, norm_length=6), whole)
    assert stats == expected
    # Any other aggregate replaces the preset's own, too.
    other = dataclasses.replace(preset, aggregate="token_mean").loss(*arguments, **given)
    assert preset.loss(*arguments, aggregate="token_mean", **given)[0] == other[0]


def test_sapo_passes_its_temperatures(batch):
    now, old, _, mask = batch
    preset = dataclasses.replace(PRESETS["sapo"], tau_pos=0.3, tau_neg=4.0)
    advantage = torch.tensor([1.0, -1.0, 0.5, 0.2]).double()
    options = {"objective": "sapo", "tau_pos": 0.3, "tau_neg": 4.0, "aggregate": "sequence_mean"}
    assert preset.loss(now, old, advantage, mask)[0] == policy_loss(now, old, advantage, mask, **options)[0]
    assert preset.loss(now, old, advantage, mask)[0] != PRESETS["sapo"].loss(now, old, advantage, mask)[0]


def test_junk_outside_the_mask_does_not_reach_the_kl(batch):
    now, old, ref, mask = batch
    preset = dataclasses.replace(PRESETS["grpo"], kl_coef=0.1)
    advantage = torch.ones(4).double()
    results = []
    for junk in (0.0, float("nan"), -float("inf")):
        logprobs = torch.where(mask, now, junk).requires_grad_()
        loss, _ = preset.loss(logprobs, old, advantage, mask, ref_logprobs=torch.where(mask, ref, -junk))
        results.append((loss.detach(), torch.autograd.grad(loss, logprobs)[0]))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_the_reference_and_the_old_policy_are_frozen(batch):
    now, old, ref, mask = (x.clone() for x in batch)
    for tensor in (now, old, ref):
        tensor.requires_grad_()
    for kind in ("k2", "k3"):
        preset = dataclasses.replace(PRESETS["grpo"], kl_kind=kind, kl_coef=0.3)
        loss, stats = preset.loss(now, old, torch.ones(4).double(), mask, ref_logprobs=ref)
        gradients = torch.autograd.grad(loss, [now, old, ref], allow_unused=True)
        assert gradients[0].abs().max() > 0 and gradients[1] is None and gradients[2] is None
        assert not any(value.requires_grad for value in stats.values())


def test_kl_in_the_reward(batch):
    now, _, ref, mask = batch
    preset = dataclasses.replace(PRESETS["rloo"], kl_coef=0.5)
    rewards, lengths = torch.ones(4).double(), mask.sum(1)
    kl = kl_penalty(now, ref, mask)
    torch.testing.assert_close(kl, ((now - ref) * mask).sum(1))
    torch.testing.assert_close(preset.shape_rewards(rewards, lengths, 6, kl), rewards - 0.5 * kl)
    with pytest.raises(ValueError, match="needs kl"):
        preset.shape_rewards(rewards, lengths, 6)
    # With a coefficient of 0, and with the KL in the loss, rewards stay what they were.
    assert (PRESETS["rloo"].shape_rewards(rewards, lengths, 6, kl) == rewards).all()
    assert (dataclasses.replace(PRESETS["grpo"], kl_coef=0.5).shape_rewards(rewards, lengths, 6) == 1).all()


def test_overlong_penalty():
    lengths = torch.tensor([0, 16384, 18432, 20480, 30000])
    assert overlong_penalty(lengths, 20480, 4096).tolist() == [
        0.0,
        0.0,
        -0.5,
        -1.0,
        -1.0,
    ]  # the paper's lengths
    shaped = PRESETS["dapo"].shape_rewards(torch.ones(5), lengths, 20480)
    assert shaped.tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]
    for buffer in (0, 20481):
        with pytest.raises(ValueError, match="buffer"):
            overlong_penalty(lengths, 20480, buffer)


def test_errors(batch):
    now, old, _, mask = batch
    with pytest.raises(ValueError, match=r"aggregate='mean'.*token_mean"):
        dataclasses.replace(PRESETS["grpo"], aggregate="mean")
    with pytest.raises(ValueError, match=r"aggregate='none'.*token_mean"):  # a loss per token is no algorithm
        dataclasses.replace(PRESETS["grpo"], aggregate="none")
    for field in ("tau_pos", "tau_neg"):
        with pytest.raises(ValueError, match=f"{field}=0"):
            dataclasses.replace(PRESETS["sapo"], **{field: 0})
    for changes in ({"overlong_buffer": 0.2}, {"greedy_baseline": True}, {"kl_placement": "reward", "kl_coef": 0.1}):
        with pytest.raises(ValueError, match=r"scale='group_mean'.*switch off"):
            dataclasses.replace(PRESETS["maxrl"], **changes)
    with pytest.raises(ValueError, match=r"k1.*no gradient"):
        dataclasses.replace(PRESETS["grpo"], kl_kind="k1", kl_coef=0.1)
    with pytest.raises(ValueError, match="ref_logprobs"):
        dataclasses.replace(PRESETS["grpo"], kl_coef=0.1).loss(now, old, torch.ones(4).double(), mask)
    with pytest.raises(ValueError, match="norm_length"):
        PRESETS["dr_grpo"].loss(now, old, torch.ones(4).double(), mask)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["grpo"].clip_high = 1.0
