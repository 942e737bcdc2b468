"""The truth table of clipping: which gradients live, for A > 0 and A < 0, below, inside and above the bounds.

The bounds are 0.8 and 1.2 everywhere. "Pulled" is the gradient of the loss with respect to the log-prob, divided by
the advantage's size: -r for a token that is pulled up with weight r, +r for one that is pushed down, 0 for one that
is left alone.
"""

import math

import pytest
import torch

from labkit.algorithms import policy_loss, value_loss

BELOW, INSIDE, ABOVE, FAR = 0.5, 1.1, 1.5, 10.0

# (options, A): what the gradient is at each ratio.
POLICY = {
    ("PPO, GRPO, DAPO", +1): {BELOW: -0.5, INSIDE: -1.1, ABOVE: 0.0, FAR: 0.0},
    ("PPO, GRPO, DAPO", -1): {BELOW: 0.0, INSIDE: 1.1, ABOVE: 1.5, FAR: 10.0},
    ("dual clip", +1): {BELOW: -0.5, INSIDE: -1.1, ABOVE: 0.0, FAR: 0.0},
    ("dual clip", -1): {BELOW: 0.0, INSIDE: 1.1, ABOVE: 1.5, FAR: 0.0},
    ("GSPO", +1): {BELOW: -0.5, INSIDE: -1.1, ABOVE: 0.0, FAR: 0.0},
    ("GSPO", -1): {BELOW: 0.0, INSIDE: 1.1, ABOVE: 1.5, FAR: 10.0},
    ("CISPO", +1): {BELOW: -0.8, INSIDE: -1.1, ABOVE: -1.2, FAR: -1.2},
    ("CISPO", -1): {BELOW: 0.8, INSIDE: 1.1, ABOVE: 1.2, FAR: 1.2},
    ("REINFORCE, RLOO, ReMax", +1): {BELOW: -1.0, INSIDE: -1.0, ABOVE: -1.0, FAR: -1.0},
    ("REINFORCE, RLOO, ReMax", -1): {BELOW: 1.0, INSIDE: 1.0, ABOVE: 1.0, FAR: 1.0},
    # No bound: r sech^2(tau (r - 1) / 2), with tau = 1 for A > 0 and tau = 2 for A < 0.
    ("SAPO", +1): {r: -r / math.cosh((r - 1) / 2) ** 2 for r in (BELOW, INSIDE, ABOVE, FAR)},
    ("SAPO", -1): {r: r / math.cosh(r - 1) ** 2 for r in (BELOW, INSIDE, ABOVE, FAR)},
}
OPTIONS = {
    "PPO, GRPO, DAPO": {},
    "dual clip": {"dual_clip": 3.0},
    "GSPO": {"ratio": "sequence"},
    "CISPO": {"objective": "cispo"},
    "REINFORCE, RLOO, ReMax": {"objective": "reinforce"},
    "SAPO": {"objective": "sapo", "tau_pos": 1.0, "tau_neg": 2.0},
}
ROWS = [(name, sign, ratio, pulled) for (name, sign), row in POLICY.items() for ratio, pulled in row.items()]


@pytest.mark.parametrize("size", [1.0, 2.5])
@pytest.mark.parametrize(("name", "sign", "ratio", "pulled"), ROWS)
def test_policy_losses(name, sign, ratio, pulled, size):
    # Two tokens of the same ratio, so that the sequence's ratio is that of each.
    old = torch.full((1, 2), -3.0, dtype=torch.float64)
    now = (old + math.log(ratio)).requires_grad_()
    advantage = torch.tensor([sign * size], dtype=torch.float64)
    loss, stats = policy_loss(now, old, advantage, torch.ones(1, 2, dtype=torch.bool), **OPTIONS[name])
    gradient = torch.autograd.grad(loss, now)[0] * 2  # the loss is a mean over two tokens
    torch.testing.assert_close(gradient, torch.full_like(gradient, size * pulled), rtol=1e-12, atol=1e-12)
    left_alone = (stats["clip_fraction"] + stats["dual_clip_fraction"]).item()
    if name in ("SAPO", "REINFORCE, RLOO, ReMax"):
        assert left_alone == 0
    elif name != "CISPO":
        assert left_alone == (1.0 if pulled == 0 else 0.0)


@pytest.mark.parametrize(
    ("value", "target", "gradient"),
    [
        # The old value is 0, the bounds are -0.2 and 0.2.
        (-0.5, 1.0, -1.5),  # below, the return above: has run away from it, is fetched back
        (0.1, 1.0, -0.9),  # inside
        (0.5, 1.0, 0.0),  # above, towards the return: enough for one update
        (-0.5, -1.0, 0.0),  # the same, mirrored
        (0.1, -1.0, 1.1),
        (0.5, -1.0, 1.5),
        (0.5, 0.1, 0.4),  # has overshot a return inside the bounds: fetched back
        (0.5, 0.34, 0.16),  # has overshot, and the bound is nearer to the return: the larger error counts
        (0.5, 0.36, 0.0),  # has overshot, but the bound is farther from the return: left alone
    ],
)
def test_value_loss(value, target, gradient):
    now = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    old, mask = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    loss, stats = value_loss(now, old, torch.full_like(old, target), mask, clip=0.2)
    assert torch.autograd.grad(loss, now)[0].item() == pytest.approx(gradient, abs=1e-12)
    assert stats["value_clip_fraction"] == (1.0 if gradient == 0 else 0.0)
    bound = min(max(value, -0.2), 0.2)
    assert loss.item() == pytest.approx(max((value - target) ** 2, (bound - target) ** 2) / 2)
