"""A task without the prompts that a model cannot take. These prompts are left out and counted."""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

from labkit.errors import UserError, say_once
from labkit.models import Policy
from labkit.sampling.engine import check_lengths
from labkit.tasks import Problem, Task

TRIES = 200
"""After so many drawn problems in a row that do not fit, the search for one that fits ends with an error."""


@dataclass
class Fitting:
    """A task of which only the prompts are left that the policy can take, with room for `max_new_tokens` more tokens.

    A prompt is left out if it is too long, holds a special token, or does not work with the model's chat template.
    `left_out` counts such prompts per split. The problems of a finite task are checked all together, at the first
    request for them; the problems of other tasks are checked when they are drawn.
    """

    source: Task
    policy: Policy
    max_new_tokens: int
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def task(self) -> Task:
        """The task without these prompts. Drawing from it raises UserError if no prompt fits."""
        pool = self.source.pool
        return replace(self.source, draw=self._draw, pool=None if pool is None else cache(self._pool))

    def why_not(self, problem: Problem) -> str | None:
        """The reason why the policy cannot take the problem's prompt; None if it can."""
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
    """The task without the prompts that the policy cannot take; see `Fitting`."""
    return Fitting(task, policy, max_new_tokens).task
