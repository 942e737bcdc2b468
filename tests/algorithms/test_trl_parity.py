"""Loss and gradient equal TRL's in float64 to 1e-9.

TRL's own loss functions run on stubs that hand them log-probs (`peer_trl`): no model, no training. What is compared
stands in `parity_cases.ROWS`.
"""

import importlib.util

import pytest
import torch

from labkit.algorithms import PRESETS, advantages
from tests.algorithms.parity_cases import ROWS, TOLERANCE, on_policy, top_entropy, value_and_gradients
from tests.algorithms.parity_inputs import MAX_LENGTH, make_inputs

if importlib.util.find_spec("trl") is None:
    pytest.skip("trl is not installed: pip install 'labkit[bench]'", allow_module_level=True)

TRL_ROWS = [row for row in ROWS if row.trl is not None]


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("row", TRL_ROWS, ids=lambda row: row.name)
def test_value_and_gradient(row, seed):
    inputs = make_inputs(seed, "trl")
    ours, our_gradients = value_and_gradients(row.ours, inputs, row.wrt)
    theirs, their_gradients = value_and_gradients(row.trl, inputs, row.wrt)
    if row.compare == "both":
        assert (ours - theirs).abs().max() < TOLERANCE
    for name in row.wrt:
        assert our_gradients[name].abs().max() > 1e-4  # there is something to compare
        assert (our_gradients[name] - their_gradients[name]).abs().max() < TOLERANCE


def test_both_bounds_are_active_in_what_is_compared():
    for seed in range(3):
        x = make_inputs(seed, "trl")
        for name in ("grpo", "dr_grpo", "dapo", "ppo"):
            advantage = x["token_advantage"] if name == "ppo" else x["advantage"]
            _, stats = PRESETS[name].loss(x["now"], x["old"], advantage, x["mask"], norm_length=MAX_LENGTH)
            assert stats["clip_fraction_low"] > 0 and stats["clip_fraction_high"] > 0
        assert 1 < top_entropy(x).sum() < x["mask"].sum() / 2
        left_out = ~on_policy(x).any(1) & x["mask"].any(1)
        assert left_out.any() and (x["advantage"] < 0)[~left_out].any()
        assert x["desirable"].any() and not x["desirable"].all()
        assert (x["mask"].sum(1) == 0).any()


def test_advantages_with_the_standard_deviation_of_trl():
    from trl.trainer.utils import nanstd

    rewards = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = (rewards - rewards.mean(1, keepdim=True)) / (nanstd(rewards, dim=1)[:, None] + 1e-4)
    groups = torch.arange(4).repeat_interleave(6)
    ours = advantages(rewards.flatten(), groups, eps=1e-4)
    # TRL takes Bessel's factor n / (n - 1) in float32, whatever the rewards: 1e-7 is what can be asked.
    assert (ours - theirs.flatten()).abs().max() < 1e-7
