"""The KL coefficient: fixed, and steered."""

import math

import pytest

from labkit.algorithms import AdaptiveKL, FixedKL


def test_fixed():
    controller = FixedKL(0.3)
    assert [controller.update(kl, 64) for kl in (0.0, 5.0, math.nan)] == [0.3] * 3


def test_adaptive_moves_towards_the_target_and_no_faster_than_a_fifth_of_the_horizon():
    for kl, factor in ((6.0, 1.0), (6.6, 1.01), (5.4, 0.99), (100.0, 1.02), (-100.0, 0.98)):
        assert AdaptiveKL(0.5, target=6.0, horizon=1000).update(kl, 100) == pytest.approx(0.5 * factor)


def test_adaptive_holds_a_policy_at_the_target():
    # A stand-in for training: the higher the coefficient, the smaller the KL that the policy settles at.
    controller = AdaptiveKL(0.01, target=4.0, horizon=500)
    for _ in range(600):
        kl = 1.0 / (0.05 + controller.coef)
        controller.update(kl, 64)
    assert kl == pytest.approx(4.0, rel=1e-3) and controller.coef == pytest.approx(0.2, rel=1e-2)


def test_errors():
    for options in ({"target": 0}, {"horizon": -1}, {"coef": -0.1}):
        with pytest.raises(ValueError, match="must be"):
            AdaptiveKL(**{"coef": 0.1, **options})
    controller = AdaptiveKL(0.1)
    for kl in (math.nan, math.inf):
        with pytest.raises(ValueError, match="steer"):
            controller.update(kl, 1)
    assert controller.coef == 0.1
