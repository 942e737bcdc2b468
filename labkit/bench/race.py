"""Sides that take turns on the same work, and the rows that come of it."""

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from labkit.device import clock
from labkit.models import Policy
from labkit.tasks import Problem, Task

What = Literal["rollout", "train", "step"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """What every side of a benchmark gets."""

    policy: Policy
    task: Task
    prompts: int
    samples: int
    max_new_tokens: int
    repeats: int
    seed: int
    label: str = "task"  # what the rows of the table say of it
    neighbours: int = 0  # busy processes next to all sides

    @property
    def rows(self) -> int:
        """Sequences in a batch."""
        return self.prompts * self.samples

    def problems(self, turn: int) -> list[Problem]:
        """The problems of a turn, the same for all sides; turn 0 is the warm-up."""
        return self.task.sample(self.prompts, "train", seed=self.seed + turn)


@dataclass(frozen=True)
class Work:
    """What was done in a turn: prompt tokens of each group, completion tokens of each row (its eos included).

    `trained` says which rows had a backward pass, where not all had one. `parts`: seconds of the parts of the turn,
    by name, as the side measured them itself.
    """

    prompts: list[int]
    lengths: list[int]
    trained: list[bool] | None = None
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Useful tokens: those of the completions, none after a row's end."""
        return sum(self.lengths)

    @property
    def prompt_of_row(self) -> list[int]:
        """Prompt tokens of each row."""
        each = len(self.lengths) // len(self.prompts)
        return [length for length in self.prompts for _ in range(each)]


@dataclass(frozen=True)
class Side:
    """One competitor: `run(turn)` is timed, `count(result)` says afterwards what it has done; `close()` tidies up."""

    name: str
    run: Callable[[int], Any]
    count: Callable[[Any], Work]
    notes: str = ""
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Trial:
    """One timed turn of one side."""

    seconds: float
    work: Work


Trials = dict[str, list[Trial]]


def take_turn(side: Side, turn: int, device: torch.device) -> Trial:
    """One turn of one side, with the garbage of the turns before it out of the way."""
    gc.collect()
    start = clock(device)
    result = side.run(turn)
    seconds = clock(device) - start
    return Trial(seconds, side.count(result))


def race(sides: list[Side], repeats: int, device: torch.device) -> Trials:
    """`repeats` turns of each side, in alternation, after a warm-up turn (turn 0) that does not count.

    A peer that fails in its warm-up is left out, with a line on standard error that says why: it may not run on
    this device, or not with so many rows. labkit's own failures are raised.
    """
    try:
        running = [side for side in sides if _warmed_up(side, device)]
        trials: Trials = {side.name: [] for side in running}
        for turn in range(1, repeats + 1):
            for side in running:
                trials[side.name].append(take_turn(side, turn, device))
        return trials
    finally:
        for side in sides:
            side.close()


def _warmed_up(side: Side, device: torch.device) -> bool:
    try:
        take_turn(side, 0, device)
    except Exception as error:  # somebody else's code: any of its failures means "not here"
        if is_labkit(side.name):
            raise
        lines = str(error).strip().splitlines() or [""]
        print(f"labkit: {side.name} is left out: {type(error).__name__}: {lines[0][:200]}", file=sys.stderr)
        return False
    return True


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many other processes that do nothing but count, one thread each, for as long as this lasts."""
    count_on = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10**6))"
    busy = [subprocess.Popen([sys.executable, "-S", "-c", count_on]) for _ in range(count)]
    try:
        if busy:
            time.sleep(0.5)  # until they have started
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def is_labkit(side: str) -> bool:
    """Whether a side is a way of labkit's."""
    return side.split()[0] == "labkit"


def make_rows(
    what: str, trials: Trials, notes: dict[str, str], ceiling: Callable[[Work], float], **same: Any
) -> list[Row]:
    """One row per side: medians, and labkit's ratios. `ceiling(work)`: the least time for it, in seconds.

    `same` is added to every row as it is.
    """
    rates = {side: statistics.median(t.work.tokens / t.seconds for t in turns) for side, turns in trials.items()}
    rows = []
    for side, turns in trials.items():
        seconds = [t.seconds for t in turns]
        mean_length = statistics.mean(n for t in turns for n in t.work.lengths)
        peers = [peer for peer in trials if not is_labkit(peer)] if is_labkit(side) else []
        parts = {name: statistics.median(t.work.parts[name] for t in turns) for name in turns[0].work.parts}
        said = [f"mean length {mean_length:.1f}", notes.get(side, ""), f"{torch.get_num_threads()} threads"]
        rows.append(
            {
                "what": what,
                "side": side,
                "batch": len(turns[0].work.lengths),
                "tokens_per_second": rates[side],
                "seconds": statistics.median(seconds),
                "ratio": {peer: rates[side] / rates[peer] for peer in peers},
                "ceiling_fraction": statistics.median(ceiling(t.work) / t.seconds for t in turns),
                "spread": [min(seconds), max(seconds)],
                "tokens": round(statistics.median(t.work.tokens for t in turns)),
                "parts": parts,
                "notes": "; ".join(part for part in said if part),
                **same,
            }
        )
    return rows
