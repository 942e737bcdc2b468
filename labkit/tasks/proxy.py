"""Scoring answers by something in the verifier's place (a reward model, another verifier), with the task's own score
next to it: what is trained on is a proxy, what is meant is gold.
"""

from collections.abc import Callable
from typing import Any, Protocol

from labkit.tasks.problem import Problem
from labkit.verifiers import Score, run_for_prompts
from labkit.verifiers.guard import LARGEST

BatchScorer = Callable[[list[str], list[Problem]], list[Score]]
"""The scores of completions, in order; the i-th answers the i-th problem."""


class Scorer(Protocol):
    """What scores replies: `labkit.models.RewardModel`, or an object of your own."""

    def score(self, prompts: list[str], completions: list[str]) -> Any:
        """One real number per row: a tensor or a list."""
        ...


def by_reward_model(gold: BatchScorer, reward_model: Scorer) -> BatchScorer:
    """Scores with the reward model's number as reward, and the gold score as `parts["gold"]`.

    A number that is not finite, or beyond 1e12, becomes a score of 0 with `parts["not_finite"]`: training ends there.
    """

    def score(completions: list[str], problems: list[Problem]) -> list[Score]:
        golds = gold(completions, problems)
        proxies = reward_model.score([problem.prompt for problem in problems], completions)
        return [_number_beside(one, float(proxy)) for one, proxy in zip(golds, proxies, strict=True)]

    return score


def by_verifier(gold: BatchScorer, verifier: Callable[[str, Any], Any]) -> BatchScorer:
    """Scores of another verifier on the same references, with the gold score as `parts["gold"]`."""

    def score(completions: list[str], problems: list[Problem]) -> list[Score]:
        golds = gold(completions, problems)
        references, prompts = [problem.reference for problem in problems], [problem.prompt for problem in problems]
        proxies = run_for_prompts(verifier, completions, references, prompts)
        return [_score_beside(one, proxy) for one, proxy in zip(golds, proxies, strict=True)]

    return score


def _number_beside(gold: Score, proxy: float) -> Score:
    parts = {**gold.parts, "gold": gold.reward}
    if not abs(proxy) <= LARGEST:  # NaN too
        return Score(
            0.0, f"the reward model returned {proxy}", gold.extracted, {**parts, "not_finite": 1.0}, gold.fault
        )
    return Score(
        proxy, f"reward model {proxy:.3f}; gold {gold.reward:.3f}: {gold.reason}", gold.extracted, parts, gold.fault
    )


def _score_beside(gold: Score, proxy: Score) -> Score:
    errors = {"verifier_error": 1.0} if "verifier_error" in gold.parts | proxy.parts else {}
    reason = f"proxy {proxy.reward:g}: {proxy.reason}; gold {gold.reward:g}: {gold.reason}"
    return Score(proxy.reward, reason, proxy.extracted, {**proxy.parts, **errors, "gold": gold.reward}, proxy.fault)
