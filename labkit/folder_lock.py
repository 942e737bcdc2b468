"""One process per run folder: a lock that says who holds it."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from labkit.errors import RunError, UserError
from labkit.storage import refuse_recorded

if os.name == "nt":
    import msvcrt
else:
    import fcntl

NAME = ".lock"
_FAR = 2**30  # Windows locks bytes, which nobody can read then: one behind the text
_held: set[int] = set()  # descriptors of this process, which a forked child must let go


class FolderLock:
    """Holds a run folder for as long as the context lasts, or until `release`.

    The system's own lock on the file `.lock` (flock) decides, so that it ends with its process, however that dies, and
    no dead process blocks a folder. What stands in the file says who holds it: process number, host, since when.
    Where the file system has no such locks, the process that is named there decides, if it is still alive.

    Raises RunError where another process, or another run of this one, holds the folder; UserError for a recorded run.
    """

    def __init__(self, folder: Path) -> None:
        self.file, self.descriptor = folder / NAME, -1
        refuse_recorded(folder)

    def __enter__(self) -> FolderLock:
        if self.descriptor >= 0:
            return self
        while True:
            try:
                descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise UserError(f"cannot write the run folder {self.file.parent}: {error.strerror}") from None
            if not _take(descriptor):
                holder = _read(descriptor)
                os.close(descriptor)
                raise RunError(f"{self.file.parent} is in use by {_told(holder)}: wait for it to end, or stop it")
            # Whoever held it may have removed the file since we opened it: then this is not the lock any more.
            if _same(descriptor, self.file):
                break
            os.close(descriptor)
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, (json.dumps(facts) + "\n").encode())
        self.descriptor = descriptor
        _held.add(descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Lets the folder go; a second call does nothing."""
        if self.descriptor not in _held:  # let go already, or a forked child's copy
            return
        _held.discard(self.descriptor)
        if os.name != "nt":  # removed while it is still locked, so that nobody locks a file that is gone
            self.file.unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = -1


def _take(descriptor: int) -> bool:
    """Whether the lock could be taken."""
    try:
        if os.name == "nt":
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks: the process that the file names holds it, if it lives
        holder = _read(descriptor)
        return holder.get("host") in (None, socket.gethostname()) and not _alive(holder.get("pid"))


def _read(descriptor: int) -> dict[str, Any]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(descriptor, 4096))
    except ValueError:  # it has only just been made
        return {}
    return found if isinstance(found, dict) else {}


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _told(holder: dict[str, Any]) -> str:
    if "pid" not in holder:
        return "another process"
    here = "this process" if holder["pid"] == os.getpid() else f"process {holder['pid']}"
    return f"{here} on {holder.get('host')}, since {holder.get('since')}"


def _after_fork() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
