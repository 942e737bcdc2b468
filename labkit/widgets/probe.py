"""One held-out problem that a policy answers again and again while it is trained: what changes, in its own words."""

import time
from typing import Any

import torch

from labkit.errors import UserError
from labkit.models import Policy
from labkit.plots.gallery import badge, coloured, summary
from labkit.plots.tokens import visible
from labkit.progress import silent
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.tasks import Task
from labkit.training.loop.measure import records

SEED = 7
SHARE = 0.05  # of the run's time that the answers may take
_LONGEST = 90  # tokens of an answer that are shown


class Probe:
    """Answers of a policy to one held-out problem, drawn with the same random numbers each time: the first and the
    newest. Raises UserError where the task holds out nothing."""

    def __init__(self, policy: Policy, task: Task) -> None:
        self.policy, self.task = policy, task
        self.problem = task.sample(1, "test", seed=SEED)[0]
        self.first: dict[str, Any] | None = None
        self.newest: dict[str, Any] | None = None
        self._next = 0.0

    def ask(self, steps: int, whatever_it_costs: bool = False) -> None:
        """Draws the answer after so many steps, unless that would take more than `SHARE` of the time."""
        started = time.monotonic()
        if started < self._next and not whatever_it_costs:
            return
        with silent():
            drawn = sample(
                self.policy,
                [self.problem.prompt],
                max_new_tokens=self.task.max_new_tokens,
                stop=self.task.stop,
                seed=SEED,
            )
            drawn = score(drawn, self.task, [self.problem])
        (row,) = records(drawn, torch.zeros_like(drawn.logprobs), steps, 1, self.policy)
        self.first, self.newest = self.first or row, row
        took = time.monotonic() - started
        self._next = time.monotonic() + took / SHARE

    def html(self) -> str:
        """The first and the newest answer side by side."""
        if self.first is None or self.newest is None:
            return ""
        head = f"One held-out problem, the same random numbers: <code>{visible(self.problem.prompt)}</code>"
        cells = [_cell("Before training", self.first)]
        if self.newest is not self.first:
            cells.append(_cell(f"After {_steps(self.newest['step'])}", self.newest))
        width = 100 // len(cells)
        columns = "".join(
            f'<td style="vertical-align:top;text-align:left;white-space:normal;width:{width}%">{cell}</td>'
            for cell in cells
        )
        return f'<div><b>{head}</b><table style="width:100%;table-layout:fixed"><tr>{columns}</tr></table></div>'


def probe_of(policy: Policy, task: Task | None) -> Probe | None:
    """A probe that has answered once; None where there is nothing to ask."""
    if task is None:
        return None
    try:
        probe = Probe(policy, task)
        probe.ask(0)
    except UserError:  # no problem is held out, or it does not fit into the model's context: the run itself will tell
        return None
    return probe


def _steps(count: int) -> str:
    return f"{count} step{'s' if count != 1 else ''}"


def _cell(title: str, row: dict[str, Any]) -> str:
    words = f'<span style="font-size:90%">{visible(summary(row))}</span>'
    return f"<div>{title}: {badge(row)} {words}</div>{coloured(row, 'logprob', legend=False, most=_LONGEST)}"
