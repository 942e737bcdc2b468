"""Reports as plain data, as `result.json` and `labkit eval --json` hold them: what several rooms read from them."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["graded", "interval_of", "pass_at_1"]


def pass_at_1(report: Mapping[str, Any]) -> float | None:
    """The share of samples that pass; None in a report without it."""
    return report.get("pass_at_k", {}).get("1")


def interval_of(report: Mapping[str, Any]) -> list[float] | None:
    """The interval of pass@1; None in a report without it."""
    return report.get("interval", {}).get("pass_at_1")


def graded(report: Mapping[str, Any]) -> bool:
    """Whether the rewards are more than 0 and 1: the mean reward says something that pass@1 does not say.

    A sample passes with a reward of 1 or more, so rewards of 0 and 1 have the share of passes as their mean, in every
    problem. The means over all problems are compared only in a report without values per problem: they may agree by
    chance. False where there is no reward, or one that is not a number (null in JSON).

    >>> graded({"mean_reward": 0.5, "pass_at_k": {"1": 0.5}})
    False
    >>> graded({"mean_reward": 0.5, "pass_at_k": {"1": 0.5}, "rewards_per_problem": [0.9, 0.1], "per_problem": [1, 0]})
    True
    """
    rewards, passes = report.get("rewards_per_problem"), report.get("per_problem")
    if rewards and passes:
        return _differ(rewards, passes)
    return _differ([report.get("mean_reward")], [pass_at_1(report)])


def _differ(rewards: Sequence[float | None], passes: Sequence[float | None]) -> bool:
    pairs = zip(rewards, passes, strict=True)
    return any(a is not None and b is not None and abs(a - b) > 1e-9 for a, b in pairs)
