"""Several tasks in one: each problem keeps its own verifier, so that one RL run can learn from all of them.

The last stage of DeepSeek-R1 trains on reasoning problems, scored by rules, and on general requests, scored by reward
models, in one batch. The same is possible here. Bring the rewards to one scale before you mix tasks (see `Bounded`).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.tasks.base import Problem, Task
from labkit.tasks.proxy import Scorer
from labkit.verifiers import Score


def mix_tasks(tasks: Sequence[Task], shares: Sequence[float]) -> Task:
    """One task that draws each problem from one of `tasks`, with these shares (any positive numbers).

    The reference of a problem names its task: `{"task": name, "reference": that of the task}`. Raises UserError for two
    tasks of one name, and for shares that are not positive.
    """
    names = [task.name for task in tasks]
    if not tasks or len(shares) != len(tasks) or len(set(names)) < len(names):
        raise UserError("a mixed task takes different tasks, with a share for each")
    if not all(math.isfinite(share) and share > 0 for share in shares):
        raise UserError(f"the shares of a mixed task are positive numbers, not {', '.join(map(str, shares))}")
    parts = dict(zip(names, tasks, strict=True))

    def draw(split: str, rng: random.Random) -> Problem:
        task = rng.choices(tasks, weights=shares)[0]
        problem = task.draw(split, rng)
        return Problem(problem.prompt, {"task": task.name, "reference": problem.reference}, problem.id)

    def score_all(completions: list[str], problems: list[Problem]) -> list[Score]:
        scores: dict[int, Score] = {}
        for name, task in parts.items():
            rows = [i for i, problem in enumerate(problems) if problem.reference["task"] == name]
            inner = [_own(problems[i]) for i in rows]
            scores |= dict(zip(rows, task.score_all([completions[i] for i in rows], inner), strict=True))
        return [scores[i] for i in range(len(problems))]

    def verify(completion: str, reference: Any) -> Score:
        problem = Problem("", reference, "")
        return parts[reference["task"]].score(completion, _own(problem))

    return Task(
        name="+".join(names),
        description="; ".join(f"{task.name}: {task.description}" for task in tasks),
        verifier=verify,
        draw=draw,
        max_new_tokens=max(task.max_new_tokens for task in tasks),
        options={"shares": dict(zip(names, shares, strict=True)), **{task.name: task.options for task in tasks}},
        batch_scorer=score_all,
        probe=min(task.probe for task in tasks),
    )


def _own(problem: Problem) -> Problem:
    """The problem with the reference of its own task."""
    return Problem(problem.prompt, problem.reference["reference"], problem.id)


@dataclass(frozen=True)
class Bounded:
    """A reward model's scores brought to (0, 1): sigmoid((score - middle) / spread).

    A verifier pays 0 to 1; the numbers of a reward model have no unit and no zero. With the mean and the spread of its
    scores over many replies a typical reply gets about 0.5, and few are far from it, so that neither kind of reward
    outweighs the other. A score that is not finite stays so, and training refuses it.

    >>> class RewardModel:
    ...     def score(self, prompts, completions):
    ...         return [3.0, 5.0, float("nan")]
    >>> [round(x, 3) for x in Bounded(RewardModel(), 3.0, 2.0).score(["a"] * 3, ["b"] * 3)]
    [0.5, 0.731, nan]
    """

    scorer: Scorer
    middle: float = 0.0
    spread: float = 1.0

    def score(self, prompts: list[str], completions: list[str]) -> list[float]:
        """One number between 0 and 1 per row."""
        scaled = [(float(x) - self.middle) / self.spread for x in self.scorer.score(prompts, completions)]
        return [1.0 / (1.0 + math.exp(-max(min(x, 60.0), -60.0))) if math.isfinite(x) else x for x in scaled]


def bounded(scorer: Scorer, rows: Sequence[Mapping[str, str]]) -> Bounded:
    """A reward model on the scale of a verifier; the scale comes from its scores of the replies in comparison rows.

    Raises UserError where it gives all of them one score.
    """
    prompts = [row["prompt"] for row in rows for _ in range(2)]
    replies = [row[side] for row in rows for side in ("chosen", "rejected")]
    scores = [float(x) for x in scorer.score(prompts, replies)]
    middle = math.fsum(scores) / max(len(scores), 1)
    spread = math.sqrt(math.fsum((x - middle) ** 2 for x in scores) / max(len(scores), 1))
    if not math.isfinite(spread) or spread <= 0:
        raise UserError("the reward model gives all replies one score: train it before it is trained on")
    return Bounded(scorer, middle, spread)
