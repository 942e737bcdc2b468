"""The strength of the KL penalty: fixed, or steered towards a target distance from the reference."""

from dataclasses import dataclass

from labkit.algorithms.reduction import Number

# The error is clipped to +-20 %, so that one odd batch cannot move the coefficient far (Ziegler et al. 2019).
MAX_ERROR = 0.2


@dataclass
class FixedKL:
    """A coefficient that never changes.

    >>> controller = FixedKL(0.1)
    >>> controller.update(kl=50.0, samples=64)
    0.1
    """

    coef: Number

    def update(self, kl: Number, samples: Number = 1) -> Number:
        """Ignores the measured KL and the number of samples; returns the coefficient for the next batch."""
        return self.coef


@dataclass
class AdaptiveKL:
    """A coefficient that grows while the measured KL is above `target`, and shrinks while the KL is below it.

    Ziegler et al. 2019, "Fine-tuning language models from human preferences", section 2.2:

        coef <- coef (1 + clip(kl / target - 1, -0.2, 0.2) samples / horizon)

    `target`: nats, of the same kind as the measured `kl`, which is the KL per sequence in the paper and the mean KL per
    token in some systems. `horizon`: a number of samples, over which an error of 20 % or more changes the coefficient
    by about 20 %. `coef` is the whole state. Raises ValueError unless target and horizon are above 0 and coef is at
    least 0.

    >>> controller = AdaptiveKL(coef=0.1, target=6.0, horizon=1000)
    >>> round(controller.update(kl=12.0, samples=100), 6)  # twice the target, clipped to +20 %, a tenth of the horizon
    0.102
    >>> round(controller.update(kl=5.4, samples=100), 6)  # 10 % below
    0.10098
    """

    coef: Number
    target: Number = 6.0
    horizon: Number = 10_000

    def __post_init__(self) -> None:
        if self.target <= 0 or self.horizon <= 0 or self.coef < 0:
            raise ValueError(f"target={self.target} and horizon={self.horizon} must be > 0, coef={self.coef} >= 0")

    def update(self, kl: Number, samples: Number = 1) -> Number:
        """Takes the mean KL of a batch (nats) and its number of samples; returns the coefficient for the next batch.

        Raises ValueError for a KL that is NaN or infinite, and then leaves the coefficient as it is.
        """
        if not float("-inf") < kl < float("inf"):
            raise ValueError(f"kl={kl} is not a number to steer by")
        error = min(max(kl / self.target - 1, -MAX_ERROR), MAX_ERROR)
        self.coef = self.coef * (1 + error * samples / self.horizon)
        return self.coef
