"""A task whose answers are scored by something in its verifier's place (a reward model, another verifier), with the
task's own score kept beside it: what is trained on is a proxy, what is meant is gold.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from labkit.verifiers import Score, run_for_prompts

if TYPE_CHECKING:
    from labkit.tasks.base import Problem, Task


class Scorer(Protocol):
    """What scores replies: `labkit.models.RewardModel`, or an object of your own."""

    def score(self, prompts: list[str], completions: list[str]) -> Any:
        """One real number a row: a tensor or a list."""
        ...


def with_reward_model(task: "Task", reward_model: Scorer) -> "Task":
    """The task with the reward model's number as reward, and its own score as `parts["gold"]`.

    A number that is not finite becomes a score of 0 with `parts["not_finite"]`: training ends there.
    """

    def score(completions: list[str], problems: "list[Problem]") -> list[Score]:
        golds = task.score_all(completions, problems)
        proxies = reward_model.score([problem.prompt for problem in problems], completions)
        return [_score(gold, float(proxy)) for gold, proxy in zip(golds, proxies, strict=True)]

    return replace(task, batch_scorer=score)


def _score(gold: Score, proxy: float) -> Score:
    parts = {**gold.parts, "gold": gold.reward}
    if not math.isfinite(proxy):
        return Score(0.0, f"the reward model returned {proxy}", gold.extracted, {**parts, "not_finite": 1.0})
    return Score(proxy, f"reward model {proxy:.3f}; gold {gold.reward:.3f}: {gold.reason}", gold.extracted, parts)


def with_verifier(task: "Task", verifier: Callable[[str, Any], Any]) -> "Task":
    """The task scored by another verifier, on the same references; its own score is `parts["gold"]`."""

    def score(completions: list[str], problems: "list[Problem]") -> list[Score]:
        golds = task.score_all(completions, problems)
        references, prompts = [problem.reference for problem in problems], [problem.prompt for problem in problems]
        proxies = run_for_prompts(verifier, completions, references, prompts)
        return [_beside(gold, proxy) for gold, proxy in zip(golds, proxies, strict=True)]

    return replace(task, batch_scorer=score)


def _beside(gold: Score, proxy: Score) -> Score:
    errors = {"verifier_error": 1.0} if "verifier_error" in gold.parts | proxy.parts else {}
    reason = f"proxy {proxy.reward:g}: {proxy.reason}; gold {gold.reward:g}: {gold.reason}"
    return Score(proxy.reward, reason, proxy.extracted, {**proxy.parts, **errors, "gold": gold.reward})
