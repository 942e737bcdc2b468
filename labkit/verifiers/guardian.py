"""A process that watches over another one and ends all that it starts: no process that a verifier forks outlives it.

A worker splits in two before it does anything else. The guardian runs no code of a verifier, and Linux makes it the
parent of every orphan below it (PR_SET_CHILD_SUBREAPER), whatever session a verifier put it in. It kills all of them
when the worker ends, when it is told to (SIGTERM), and when the worker's own parent is gone, killed perhaps: then the
pipe to it hangs up.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

__all__ = ["GUARDED", "guarded"]

GUARDED = sys.platform.startswith("linux")
"""Whether this system can do it; elsewhere a worker's process group is killed, and what left the group goes on."""
GRACE = 1.0
"""Seconds that a worker whose parent is gone may take to end by itself."""
_SUBREAPER = 36


class _Told(BaseException):
    """SIGTERM."""


def guarded(lifeline: int) -> None:
    """Splits this process, the leader of its session: returns in the worker; the guardian ends here, with its status.

    `lifeline` is the reading end of a pipe whose writing end the parent holds.
    """
    if not GUARDED:
        return
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _told)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until each half knows which one it is
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return
    try:
        with contextlib.suppress(_Told):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # the pipe of replies is the worker's alone and ends with it
            _wait(worker, lifeline)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_as(_end_all(worker))
    finally:
        os._exit(1)


def _end_as(status: int) -> None:
    """Ends this process as the one of this status has ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _told(*_: object) -> None:
    raise _Told


def _wait(worker: int, lifeline: int) -> None:
    """Until the worker has ended, or its parent has and the grace is over."""
    poll = select.poll()
    poll.register(lifeline, 0)  # nothing but its end
    try:
        ended, pause = os.pidfd_open(worker), None
        poll.register(ended, select.POLLIN)
    except OSError:  # an old kernel: look now and then
        ended, pause = -1, 100
    patience: float | None = None
    while True:
        events = dict(poll.poll(pause if patience is None else max(1.0, 1000 * (patience - time.monotonic()))))
        if ended in events or os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        if lifeline in events and patience is None:
            patience = time.monotonic() + GRACE
            poll.unregister(lifeline)
        if patience is not None and time.monotonic() >= patience:
            return


def _end_all(worker: int) -> int:
    """Kills everything below this process until nothing is left; returns the worker's status."""
    status, patience = 1, time.monotonic() + 10.0
    while time.monotonic() < patience:
        for process in _below(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if ended[0] == worker:
                    status = ended[1]
        except ChildProcessError:
            return status
        time.sleep(0.005)
    return status


def _below(top: int) -> list[int]:
    """The processes below one, children and theirs, as they are now."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found, line = [], [top]
    while line:
        above = line.pop()
        below = [process for process, parent in parents.items() if parent == above]
        found += below
        line += below
    return found
