"""Sampling: from a policy and prompts to rollouts."""

from labkit.sampling.choose import SamplingOptions
from labkit.sampling.engine import check_lengths, sample

__all__ = ["SamplingOptions", "check_lengths", "sample"]
