"""Sampling: from a policy and prompts to rollouts."""

from labkit.sampling.choose import SamplingOptions
from labkit.sampling.engine import sample

__all__ = ["SamplingOptions", "sample"]
