"""One runner for batches of (completion, reference): order kept, nothing hangs, every fault of a verifier is counted.

Where a verifier runs, by what it declares (attributes of the function or object):

- `run_batch(completions, references, *, timeout, workers, progress)`: it scores batches itself (`math`);
- `own_process = True`: it starts and limits a process of its own, so several are called at once from threads (`code`);
- `needs_worker = False`: it always returns soon, and is called here. So are all other functions of labkit;
- `needs_worker = True`, or nothing, which is the case of your own: in worker processes that are killed when over time
  (`labkit.verifiers.pool`). It is sent there by name when it lives in a module, else, defined in a notebook, by value.

A verifier that cannot be sent (it holds a lock, a file, a torch model) is called in a copy of this process (a fork), on
Linux, as long as no GPU is in use; there it is timed and killed as in a worker (`labkit.verifiers.forked`). Elsewhere
it is called here in a thread, and asked to stop when over time. That ends a loop in Python, not one in C such as a
regular expression that explodes: so that is said once, with the way out. What a verifier changes in a worker process
or in a copy (a counter, a list) stays there: set `needs_worker = False` on it to have it called here.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from labkit.errors import say_once
from labkit.progress import progress as following
from labkit.system import Stopped, cores, stop_thread
from labkit.verifiers.forked import can_fork, score_in_copy
from labkit.verifiers.guard import fault, safe_score
from labkit.verifiers.pool import GIVE_UP, CannotLoad, shared_pool
from labkit.verifiers.score import Fault, Score

__all__ = ["TIMEOUT", "run_verifier"]

TIMEOUT = 5.0
"""Seconds that one completion may take, unless told otherwise."""
MAX_PAYLOAD = 32 * 2**20
"""Bytes of a verifier with all that it refers to; a larger one is called here."""


def run_verifier(
    verifier: Callable[[str, Any], Any],
    completions: list[str],
    references: list[Any],
    *,
    timeout: float = TIMEOUT,
    workers: int | None = None,
    progress: bool = False,
) -> list[Score]:
    """The scores of a batch, in order, whatever the verifier does; usable from any thread.

    A verifier that raises, hangs, crashes its process or returns nonsense gives reward 0 with the reason, and
    `parts["verifier_error"]` = 1.0 counts it. When its first 16 answers all take too long, the rest of the batch is not
    tried: a verifier that always hangs costs a training step a minute, not an hour. `timeout` is in seconds for one
    completion, `workers` the number of processes (default: one a core), `progress` shows a bar on standard error.

    Raises ValueError when the two lists differ in length or the timeout is not positive.

    >>> run_verifier(lambda completion, reference: completion == reference, ["4", "5"], ["4", "4"])
    [Score(reward=1.0, reason='verifier returned True', extracted=None, parts={}),
     Score(reward=0.0, reason='verifier returned False', extracted=None, parts={})]
    """
    if len(completions) != len(references):
        raise ValueError(f"{len(completions)} completions for {len(references)} references")
    if not timeout > 0:
        raise ValueError(f"the timeout is {timeout}; it must be more than 0 seconds")
    if not completions:
        return []
    run_batch = getattr(verifier, "run_batch", None)
    if run_batch is not None:
        return run_batch(completions, references, timeout=timeout, workers=workers, progress=progress)
    pairs = list(zip(completions, references, strict=True))
    if getattr(verifier, "own_process", False):
        return _in_threads(verifier, pairs, workers or cores(), progress)
    if not needs_worker(verifier):
        with _bar(len(pairs), progress) as tick:
            return [_counted(verifier, pair, tick, i) for i, pair in enumerate(pairs)]
    try:
        payload, items = _pack(verifier), [pickle.dumps(pair) for pair in pairs]
    except Exception as error:  # pickling runs the objects' own code, which may raise anything
        return _not_sent(verifier, pairs, timeout, progress, error)
    try:
        with _bar(len(pairs), progress) as tick:
            scores, printed = shared_pool().run(payload, items, timeout, workers, tick)
    except (CannotLoad, OSError) as error:  # its module is not to be found there, or no process can be started
        if getattr(verifier, "needs_worker", False):
            return [fault(f"no worker process for the verifier: {error}", Fault.NO_WORKER)] * len(pairs)
        return _not_sent(verifier, pairs, timeout, progress, error)
    sys.stdout.write(printed)
    return scores


def needs_worker(verifier: Callable[[str, Any], Any]) -> bool:
    declared = getattr(verifier, "needs_worker", None)
    if declared is not None:
        return bool(declared)
    while isinstance(verifier, functools.partial):
        verifier = verifier.func
    home = getattr(verifier, "__module__", None) or type(verifier).__module__
    return home.split(".")[0] != "labkit"


def _counted(verifier: Any, pair: tuple[str, Any], tick: Callable[[int], None], i: int) -> Score:
    score = safe_score(verifier, *pair)
    tick(i + 1)
    return score


def _in_threads(verifier: Any, pairs: list[tuple[str, Any]], workers: int, progress: bool) -> list[Score]:
    with _bar(len(pairs), progress) as tick, ThreadPoolExecutor(workers) as threads:
        scores = []
        for score in threads.map(lambda pair: safe_score(verifier, *pair), pairs):
            scores.append(score)
            tick(len(scores))
        return scores


@contextlib.contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """A function that is told how many are done: it moves a bar where one is wanted, else a line that comes late."""
    if not progress:
        with following(f"scoring {total} answers", total) as line:
            yield line.reach
        return
    from tqdm import tqdm

    with tqdm(total=total, desc="scoring", unit="answer", leave=False, file=sys.stderr) as bar:

        def tick(done: int) -> None:
            bar.update(done - bar.n)

        yield tick
        tick(total)


# ------------------------------------------------------------------------------- sending a verifier elsewhere


class _TooLarge(pickle.PicklingError):
    pass


class _Limited(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > MAX_PAYLOAD:
            raise _TooLarge(f"more than {MAX_PAYLOAD} bytes")
        return super().write(data)


def _pack(verifier: Any) -> bytes:
    """The verifier as bytes for a worker process. Raises anything when that is impossible or unwise."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        def persistent_id(self, item: Any) -> None:
            # A model in a worker would be a second copy of it, on a CPU, in a process that first imports torch.
            if type(item).__module__.split(".")[0] == "torch":
                raise pickle.PicklingError("it refers to a torch object")

    packed = _Limited()
    Pickler(packed).dump(verifier)
    return packed.getvalue()


# --------------------------------------------------------------------- calling a verifier that cannot be sent


def _not_sent(
    verifier: Any, pairs: list[tuple[str, Any]], timeout: float, progress: bool, why: Exception
) -> list[Score]:
    """The scores of a verifier that cannot be sent: in a copy of this process, else in a thread."""
    if can_fork():
        with _bar(len(pairs), progress) as tick:
            scores, printed = score_in_copy(verifier, pairs, timeout, tick)
        sys.stdout.write(printed)
        return scores
    say_once(
        f"a verifier is called in this process, since it can't be sent to another one ({type(why).__name__}: "
        f"{str(why)[:100]}): if it hangs inside C (a regular expression, say), nothing can stop it. Define it without "
        "locks, open files and models, or load them inside it"
    )
    return _here(verifier, pairs, timeout, progress)


class _Caller:
    """A thread that calls a verifier, so that this one need not wait for it for ever."""

    def __init__(self, verifier: Any) -> None:
        self._work: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._verifier = verifier
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while (pair := self._work.get()) is not None:
            try:
                self._results.put(safe_score(self._verifier, *pair))
            except Stopped:
                return
            except BaseException as error:
                self._results.put(error)

    def score(self, pair: tuple[str, Any], timeout: float) -> Score | None:
        """The score, or None when it is not there in time; then the thread is told to stop and must not be used again.

        What stops a run on purpose (`KeyboardInterrupt`, `SystemExit`) is raised here.
        """
        self._work.put(pair)
        try:
            result = self._results.get(timeout=timeout)
        except queue.Empty:
            stop_thread(self._thread)
            self._thread.join(0.5)
            return None
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        self._work.put(None)


def _here(verifier: Any, pairs: list[tuple[str, Any]], timeout: float, progress: bool) -> list[Score]:
    """The scores, one after the other in a thread of this process."""
    late = fault(f"verifier took longer than {timeout:g} s", Fault.TIMEOUT)
    scores: list[Score] = []
    caller = _Caller(verifier)
    with _bar(len(pairs), progress) as tick:
        for pair in pairs:
            if len(scores) >= GIVE_UP and all(score is late for score in scores):
                reason = f"not tried: the verifier took longer than {timeout:g} s on each of {len(scores)} answers"
                return scores + [fault(reason, Fault.NOT_TRIED)] * (len(pairs) - len(scores))
            score = caller.score(pair, timeout)
            if score is None:
                caller = _Caller(verifier)
            scores.append(score or late)
            tick(len(scores))
    caller.close()
    return scores
