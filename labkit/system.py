"""What the machine gives this process: processor cores and what they can do; stopping a thread from outside."""

import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path


def cores(root: Path = Path("/")) -> int:
    """The cores that this process may use: its affinity, and no more than its control group's quota (a container's).

    A quota is rounded to whole cores, at least one. Both versions of Linux's control groups are read, the group of
    this process and every group above it. `root` is where `/proc` and `/sys` are looked for.

    >>> 1 <= cores() <= os.cpu_count()
    True
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([usable, *map(round, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The processor time per second that each control group of this process allows, in cores."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux, or no /proc in this container
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Inside a container the path may be the host's: the group itself is then mounted at the top.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for mounted in {controllers, "cpu"} if controllers else {""}:
            for depth in range(len(parts) + 1):
                yield from _quota(root.joinpath("sys/fs/cgroup", mounted, *parts[:depth]))


def _quota(group: Path) -> Iterator[float]:
    """The quota of one control group in cores; nothing where it has none."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / file).read_text(encoding="utf-8") for file in files).split()
            if float(quota) > 0 and float(period) > 0:  # version 1 says -1 where there is no limit
                yield float(quota) / float(period)
        except (OSError, ValueError):  # no such file; version 2 says "max" where there is no limit
            continue


def multiplies_bfloat16(root: Path = Path("/")) -> bool:
    """Whether this processor has units for products of bfloat16 numbers (AVX-512 BF16, AMX, Arm's BF16).

    Without them such a product is put together from float32 operations, and takes longer than in float32. Only Linux
    tells; elsewhere the answer is no, which is never slow.
    """
    try:
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    told = [line.partition(":") for line in lines]
    flags = next((rest.split() for name, _, rest in told if name.strip() in ("flags", "Features")), [])
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


class Stopped(SystemExit):
    """Raised inside a thread by `stop_thread`. As a SystemExit it ends the thread quietly, wherever it comes up."""


def stop_thread(thread: threading.Thread) -> None:
    """Raises `Stopped` in a thread at its next Python instruction; elsewhere than in CPython nothing happens.

    A loop in Python ends by that. A call that waits inside C goes on until it returns: no portable way ends a thread
    from outside. Unlike a signal, this works for any thread, in Jupyter as in a script.
    """
    if thread.is_alive() and hasattr(ctypes, "pythonapi"):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped))
