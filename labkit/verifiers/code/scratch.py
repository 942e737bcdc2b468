"""Scratch folders for programs in the sandbox: empty at first, watched, and removed whatever became of them."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MAX_ENTRIES", "PREFIX", "place", "scratch_folder", "size"]

PREFIX = "labkit-code-"
MAX_ENTRIES = 1000
"""Files and folders that a program may have in its scratch folder (under bwrap the bytes alone are bounded)."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """An empty folder that is removed afterwards, whatever the program made of it."""
    _sweep()
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place())
    try:
        yield folder
    finally:
        _remove(folder)


def place() -> str:
    """Where scratch folders are made: in memory where Linux offers that, which empties them a hundred times faster."""
    memory = "/dev/shm"
    return memory if sys.platform.startswith("linux") and os.access(memory, os.W_OK) else tempfile.gettempdir()


def _remove(folder: str) -> None:
    """Remove a folder, however deep a program has nested others in it and whatever rights it took from them."""
    if os.rmdir in os.supports_dir_fd and os.scandir in os.supports_fd:
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
            _empty(os.open(folder, os.O_RDONLY))
    shutil.rmtree(folder, ignore_errors=True)


def _empty(here: int) -> None:
    """Empty the open folder, step by step down and up again: no path grows long, nothing recurses."""
    way: list[tuple[str, list[str]]] = []
    folders = _unlink_files(here)
    while folders or way:
        if folders:
            name = folders.pop()
            os.chmod(name, 0o700, dir_fd=here)
            way.append((name, folders))
            below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here, folders = below, _unlink_files(below)
        else:
            above = os.open("..", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here, (name, folders) = above, way.pop()
            os.rmdir(name, dir_fd=here)
    os.close(here)


def _unlink_files(folder: int) -> list[str]:
    """Remove what is no folder; the names of the folders."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in found if is_folder]


@functools.cache
def _sweep() -> None:
    """Once in a process: remove the folders of labkit processes that were killed before they could."""
    for path in Path(place()).glob(f"{PREFIX}*"):
        owner = path.name.removeprefix(PREFIX).split("-")[0]
        if os.name == "posix" and owner.isdigit() and not _alive(int(owner)):
            _remove(str(path))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def size(folder: str) -> float:
    """Bytes in a folder and all below it; infinite for more than `MAX_ENTRIES` files, whatever their size."""
    total, seen, waiting = 0, 0, [folder]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > MAX_ENTRIES:
                    return float("inf")
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return total
