"""A worker that is a copy of this process: for a verifier that cannot be sent to another one, since it holds a lock, an
open file or a model. It is timed and killed as every worker is, also where it hangs inside C and holds Python's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Callable
from subprocess import TimeoutExpired
from typing import Any

from labkit.verifiers.guardian import GUARDED, guarded
from labkit.verifiers.pool import MEMORY, Pool, Worker
from labkit.verifiers.score import Score
from labkit.verifiers.worker import limit_memory, serve

__all__ = ["can_fork", "score_in_copy"]


def can_fork() -> bool:
    """Whether a copy of this process would work: on Linux, as long as no GPU is in use, which no copy can use."""
    torch = sys.modules.get("torch")
    return GUARDED and not (torch is not None and torch.cuda.is_initialized())


def score_in_copy(
    verifier: Callable[[str, Any], Any],
    pairs: list[tuple[str, Any]],
    timeout: float,
    tick: Callable[[int], None] | None = None,
) -> tuple[list[Score], str]:
    """The scores of (completion, reference) pairs, one after another, and what the verifier printed."""
    pool = Pool(1, lambda: _Copy(verifier, pairs))
    try:
        return pool.run(b"", [pickle.dumps(i) for i in range(len(pairs))], timeout, 1, tick)
    finally:
        pool.close()


class _Copy(Worker):
    """A worker that has the verifier and the pairs since it is a copy; it is sent the numbers of pairs."""

    def __init__(self, verifier: Callable[[str, Any], Any], pairs: list[tuple[str, Any]]) -> None:
        super().__init__(_Child(verifier, pairs))

    def load(self, payload: bytes) -> None:
        """Nothing is to be done but to be known by the payload's digest."""
        self.loaded = hashlib.blake2b(payload, digest_size=16).hexdigest()


class _Child:
    """A forked child with the part of `subprocess.Popen` that a worker uses."""

    def __init__(self, verifier: Callable[[str, Any], Any], pairs: list[tuple[str, Any]]) -> None:
        requests, to_child = os.pipe()
        from_child, replies = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads: what they hold, the child never needs
            self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(to_child)
                os.close(from_child)
                _work(requests, replies, verifier, pairs)
            finally:
                os._exit(0)
        os.close(requests)
        os.close(replies)
        self.stdin, self.stdout = os.fdopen(to_child, "wb"), os.fdopen(from_child, "rb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, where it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() >= end:
                raise TimeoutExpired("the copy of this process", timeout or 0.0)
            time.sleep(0.002)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _work(requests: int, replies: int, verifier: Callable[[str, Any], Any], pairs: list[tuple[str, Any]]) -> None:
    """In the child: serves until its requests end."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(replies, 1)
    os.close(replies)
    guarded(requests)
    replies = os.dup(1)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # the threads of its parent are not there
    limit_memory(MEMORY)
    with os.fdopen(requests, "rb") as stream, os.fdopen(replies, "wb") as answers:
        serve(stream, answers, verifier, lambda item: pairs[pickle.loads(item)])
