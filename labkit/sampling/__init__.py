"""Sampling: from a policy and prompts to rollouts."""

from labkit.sampling.choose import SamplingOptions
from labkit.sampling.engine import check_lengths, sample
from labkit.sampling.fitting import Fitting, fitting

__all__ = ["Fitting", "SamplingOptions", "check_lengths", "fitting", "sample"]
