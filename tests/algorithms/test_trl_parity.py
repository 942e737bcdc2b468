"""Loss and gradient equal TRL's in float64 to 1e-9.

TRL's `GRPOTrainer._compute_loss` runs on a stub that hands it log-probs: no model, no training.
"""

import dataclasses
import importlib.util
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from labkit.algorithms import PRESETS, advantages, policy_loss

if importlib.util.find_spec("trl") is None:
    pytest.skip("trl is not installed: pip install 'labkit[bench]'", allow_module_level=True)

MAX_LENGTH = 11
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def trl_compute_loss():
    from trl import GRPOTrainer

    return GRPOTrainer._compute_loss


@pytest.fixture(params=range(3))
def batch(request):
    """Off-policy log-probs of 8 rows, far enough for both bounds to be active, one row without a token."""
    generator = torch.Generator().manual_seed(request.param)
    old = -torch.rand(8, 9, generator=generator, dtype=torch.float64) * 3
    now = old + 0.3 * torch.randn(8, 9, generator=generator, dtype=torch.float64)
    ref = old + 0.3 * torch.randn(8, 9, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, 10, (8,), generator=generator)
    lengths[3] = 0
    mask = torch.arange(9) < lengths[:, None]
    advantage = torch.randn(8, generator=generator, dtype=torch.float64)
    return now.requires_grad_(), old, ref, advantage, mask


def trl_loss(compute_loss, batch, loss_type, *, low=0.2, high=0.2, level="token", beta=0.0, tokens=None):
    now, old, ref, advantage, mask = batch
    stub = SimpleNamespace(
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        model=SimpleNamespace(training=True),
        loss_type=loss_type,
        importance_sampling_level=level,
        epsilon_low=low,
        epsilon_high=high,
        beta=beta,
        max_completion_length=MAX_LENGTH,
        current_gradient_accumulation_steps=1,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (now, torch.zeros_like(now), None),
    )
    ids = torch.zeros(now.shape, dtype=torch.long)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": torch.ones_like(ids),
        "completion_ids": ids,
        "completion_mask": mask.long(),
        "advantages": advantage,
        "old_per_token_logps": old,
        "ref_per_token_logps": ref,
        "num_items_in_batch": mask.sum() if tokens is None else torch.tensor(tokens),
    }
    return compute_loss(stub, None, inputs)


def assert_same(ours, theirs, now):
    difference = (ours - theirs).abs().item()
    gradients = [torch.autograd.grad(loss, now, retain_graph=True)[0] for loss in (ours, theirs)]
    assert gradients[0].abs().max() > 1e-4  # there is something to compare
    assert difference < TOLERANCE
    assert (gradients[0] - gradients[1]).abs().max() < TOLERANCE


@pytest.mark.parametrize(("name", "loss_type"), [("grpo", "grpo"), ("dr_grpo", "dr_grpo"), ("dapo", "dapo")])
def test_presets(trl_compute_loss, batch, name, loss_type):
    now, old, _, advantage, mask = batch
    preset = PRESETS[name]
    ours, stats = preset.loss(now, old, advantage, mask, norm_length=MAX_LENGTH)
    assert stats["clip_fraction_low"] > 0 and stats["clip_fraction_high"] > 0
    theirs = trl_loss(trl_compute_loss, batch, loss_type, low=preset.clip_low, high=preset.clip_high)
    assert_same(ours, theirs, now)


def test_token_mean_of_the_batch_at_hand_is_bnpo(trl_compute_loss, batch):
    now, old, _, advantage, mask = batch
    ours, _ = policy_loss(now, old, advantage, mask, aggregate="token_mean")
    assert_same(ours, trl_loss(trl_compute_loss, batch, "bnpo"), now)


def test_token_mean_of_a_larger_batch_is_dapo(trl_compute_loss, batch):
    now, old, _, advantage, mask = batch
    ours, _ = policy_loss(now, old, advantage, mask, aggregate="token_mean", normalizer=1234)
    assert_same(ours, trl_loss(trl_compute_loss, batch, "dapo", tokens=1234.0), now)


@pytest.mark.parametrize("clip", [(3e-4, 4e-4), (0.05, 0.05)])
def test_gspo(trl_compute_loss, batch, clip):
    now, old, _, advantage, mask = batch
    low, high = clip
    preset = dataclasses.replace(PRESETS["gspo"], clip_low=low, clip_high=high)
    ours, _ = preset.loss(now, old, advantage, mask)
    assert_same(ours, trl_loss(trl_compute_loss, batch, "grpo", low=low, high=high, level="sequence"), now)


def test_cispo_with_the_bound_said_in_the_way_of_trl(trl_compute_loss, batch):
    now, old, _, advantage, mask = batch
    preset = dataclasses.replace(PRESETS["cispo"], clip_high=0.2)
    ours, stats = preset.loss(now, old, advantage, mask)
    assert stats["clip_fraction_high"] > 0
    assert_same(ours, trl_loss(trl_compute_loss, batch, "cispo", high=1.2), now)


def test_kl_in_the_loss(trl_compute_loss, batch):
    now, old, ref, advantage, mask = batch
    preset = dataclasses.replace(PRESETS["grpo"], kl_coef=0.7)
    ours, _ = preset.loss(now, old, advantage, mask, ref_logprobs=ref)
    assert_same(ours, trl_loss(trl_compute_loss, batch, "grpo", beta=0.7), now)


def test_advantages_with_the_standard_deviation_of_trl():
    from trl.trainer.utils import nanstd

    rewards = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = (rewards - rewards.mean(1, keepdim=True)) / (nanstd(rewards, dim=1)[:, None] + 1e-4)
    groups = torch.arange(4).repeat_interleave(6)
    ours = advantages(rewards.flatten(), groups, eps=1e-4)
    # TRL takes Bessel's factor n / (n - 1) in float32, whatever the rewards: 1e-7 is what can be asked.
    assert (ours - theirs.flatten()).abs().max() < 1e-7
