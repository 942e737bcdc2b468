"""A task as a model can be asked it: prompts that it can't be given are left out and counted."""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

from labkit.errors import UserError, say_once
from labkit.models import Policy
from labkit.sampling.engine import check_lengths
from labkit.tasks import Problem, Task

TRIES = 200
"""So many problems in a row that a task draws and that do not fit: then none is expected to."""


@dataclass
class Fitting:
    """A task whose prompts a policy can be given, with room for `max_new_tokens`.

    A prompt is left out where it is too long, holds a special token, or can't be put into the model's chat template.
    The problems of a finite task are checked when they are first asked for, those of others as they are drawn.
    `left_out` counts them by split.
    """

    source: Task
    policy: Policy
    max_new_tokens: int
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def task(self) -> Task:
        """The task; it raises UserError where it has no prompt that fits."""
        pool = self.source.pool
        return replace(self.source, draw=self._draw, pool=None if pool is None else cache(self._pool))

    def why_not(self, problem: Problem) -> str | None:
        """Why the policy can't be given a prompt; None where it can."""
        try:
            problem.prompt.encode()
            check_lengths(self.policy, [problem.prompt], [self.policy.encode(problem.prompt)], self.max_new_tokens)
        except UserError as error:
            return str(error)
        except UnicodeEncodeError:
            return f"the prompt {ascii(problem.prompt)[:60]} holds half of a character (a lone surrogate)"
        return None

    def _pool(self, split: str) -> list[Problem]:
        assert self.source.pool is not None
        everything = self.source.pool(split)
        reasons = [self.why_not(problem) for problem in everything]
        fitting = [problem for problem, reason in zip(everything, reasons, strict=True) if reason is None]
        self.left_out[split] = len(everything) - len(fitting)
        first = next((reason for reason in reasons if reason is not None), None)
        if first is not None and not fitting:
            raise UserError(f"no prompt of {self.source.name} ({split}) can be given to {self.policy.name}: {first}")
        if first is not None:
            where = f"{self.source.name} ({split})"
            say_once(f"{where}: {self.left_out[split]} of {len(everything)} prompts are left out; the first: {first}")
        return fitting

    def _draw(self, split: str, rng: Random) -> Problem:
        first = None
        for _ in range(TRIES):
            problem = self.source.draw(split, rng)
            reason = self.why_not(problem)
            if reason is None:
                if first is not None:
                    say_once(f"prompts of {self.source.name} ({split}) are left out and counted; the first: {first}")
                return problem
            first = first or reason
            self.left_out[split] += 1
        raise UserError(f"no prompt of {self.source.name} ({split}) can be given to {self.policy.name}: {first}")


def fitting(task: Task, policy: Policy, max_new_tokens: int) -> Task:
    """The task without the prompts that the policy can't be given; see `Fitting`."""
    return Fitting(task, policy, max_new_tokens).task
