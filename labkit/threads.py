"""How many threads torch uses on a CPU, while other programs use the same cores.

Threads that share one operation wait for each other at its end, and they wait by spinning. On a quiet machine this is
the fastest way. Next to one busy program it is the slowest: a thread whose core was taken keeps the others spinning,
once per operation, and a decoding step has a hundred small ones. So the sampler leaves to others the cores they use:

    with yielding() as look:
        for step in steps:
            look()  # now and then: who else is busy?
            ...

This changes how long a step takes and nothing else: the forward pass gives the same bits on one thread as on several.
A backward pass does not (its sums over a batch are split by threads), so an update keeps the threads it was given.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from labkit.system import cores

BETWEEN = 0.1  # seconds between two looks; the kernel counts processor time in hundredths
STALE = 5.0  # seconds after which an old reading says nothing about now
DOWN, UP = 0.35, 0.2  # the share of a core by which others may use the one that is kept, or taken back
_STAT = Path("/proc/stat")


def processor_seconds(stat: Path = _STAT) -> float | None:
    """The processor time (seconds) that all programs have used on the cores of this process; None: the system is mum.

    Waiting for disks is idle time; time that a host machine gave to others ("steal") is not.
    """
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
        mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        rows = [row for row in map(str.split, lines) if row and row[0] in mine]
        ticks = sum(sum(map(int, row[1:9])) - int(row[4]) - int(row[5]) for row in rows)
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):  # not Linux, or a container that hides it
        return None


class Yielding:
    """Chooses the number of threads from what others used since the last look."""

    def __init__(
        self,
        used: Callable[[], float | None] = processor_seconds,
        own: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
        usable: int | None = None,
    ) -> None:
        self.used, self.own, self.clock = used, own, clock
        self.usable = cores() if usable is None else usable
        self.last: tuple[float, float, float] | None = None  # when; processor time of all; of this process
        self.chosen: int | None = None
        self.calm = 0  # looks in a row that would take a core back

    def choose(self, limit: int) -> int:
        """So many threads are best now, from one to `limit`; None of the past counts that is older than `STALE`."""
        limit = min(limit, self.usable)
        now, then = self.clock(), self.last
        if then is not None and now - then[0] < BETWEEN:
            return min(self.chosen or limit, limit)
        read, own = self.used(), self.own()
        self.last = None if read is None else (now, read, own)
        if read is None or then is None or now - then[0] > STALE:
            self.chosen = limit
        else:
            others = max(0.0, (read - then[1] - (own - then[2])) / (now - then[0]))
            self._weigh(self.usable - others, limit)
        return min(self.chosen or limit, limit)

    def _weigh(self, free: float, limit: int) -> None:
        """Gives cores up at once, and takes them back when two looks in a row find them free."""
        before = self.chosen or limit
        keep = max(1, min(limit, int(free + DOWN)))
        more = max(1, min(limit, int(free + UP)))
        self.calm = self.calm + 1 if more > before else 0
        if keep < before:
            self.chosen = keep
        elif self.calm >= 2:
            self.chosen, self.calm = more, 0


def keep_to_quota() -> None:
    """Torch's threads are no more than the cores that this process may use, by its affinity and its container's quota.

    Torch counts the cores of its affinity alone: with 64 of them and a quota of two, 64 threads would share two cores'
    time and wait for each other. Whoever sets `OMP_NUM_THREADS` has the last word.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > (usable := cores()):
        torch.set_num_threads(usable)


_watch: Yielding | None = None
_fixed = False


@contextmanager
def fixed() -> Iterator[None]:
    """Within it the threads stay as they are, whoever else is busy: for a comparison."""
    global _fixed
    before, _fixed = _fixed, True
    try:
        yield
    finally:
        _fixed = before


@contextmanager
def yielding() -> Iterator[Callable[[], None]]:
    """Within it, each call of what it yields sets torch's threads; afterwards they are as before.

    Only in a process whose torch has several threads; what the user set (`OMP_NUM_THREADS`, `torch.set_num_threads`) is
    the most that is ever used, and a container's quota of processor time is respected.
    """
    global _watch
    limit = torch.get_num_threads()
    if limit == 1 or _fixed:
        yield lambda: None
        return
    watch = _watch = _watch or Yielding()
    now = limit

    def look() -> None:
        nonlocal now
        wanted = watch.choose(limit)
        if wanted != now:
            torch.set_num_threads(wanted)
            now = wanted

    try:
        look()
        yield look
    finally:
        look()  # the reading from which the next call starts
        torch.set_num_threads(limit)
