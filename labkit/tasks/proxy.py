"""Scores of a proxy (a reward model, another verifier) next to gold: a task's own score, for which the proxy stands."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from labkit.verifiers import Score

__all__ = ["Scorer", "proxy_of_reward_model", "proxy_of_verifier"]


class Scorer(Protocol):
    """What gives replies their scores: `labkit.models.RewardModel`, or an object of your own."""

    def score(self, prompts: list[str], completions: list[str]) -> Any:
        """One real number per row: a tensor or a list."""
        ...


def proxy_of_reward_model(golds: Sequence[Score], numbers: Any) -> list[Score]:
    """Scores whose reward is the number of a reward model; `parts["gold"]` is the reward of the task's own score.

    A number that is not finite becomes a score of 0 with `parts["not_finite"]`: training ends there.
    """
    return [_with_number(gold, float(number)) for gold, number in zip(golds, numbers, strict=True)]


def _with_number(gold: Score, number: float) -> Score:
    parts = {**gold.parts, "gold": gold.reward}
    if not math.isfinite(number):
        return Score(0.0, f"the reward model returned {number}", gold.extracted, {**parts, "not_finite": 1.0})
    return Score(number, f"reward model {number:.3f}; gold {gold.reward:.3f}: {gold.reason}", gold.extracted, parts)


def proxy_of_verifier(golds: Sequence[Score], proxies: Sequence[Score]) -> list[Score]:
    """Scores of another verifier; `parts["gold"]` is the reward of the task's own score."""
    return [_with_score(gold, proxy) for gold, proxy in zip(golds, proxies, strict=True)]


def _with_score(gold: Score, proxy: Score) -> Score:
    errors = {"verifier_error": 1.0} if "verifier_error" in gold.parts | proxy.parts else {}
    reason = f"proxy {proxy.reward:g}: {proxy.reason}; gold {gold.reward:g}: {gold.reason}"
    return Score(proxy.reward, reason, proxy.extracted, {**proxy.parts, **errors, "gold": gold.reward})
