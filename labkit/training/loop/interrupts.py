"""Ctrl-C and the kernel's interrupt button while steps are taken."""

import signal
import sys
import threading
from types import FrameType
from typing import Any


class FirstInterrupt:
    """While it lasts, the first interrupt only sets `asked`: the step is taken to its end, so that weights, optimiser
    and log agree. A second interrupt is raised at once, as ever.

    Outside the main thread, where Python hears no signals, and where interrupts are ignored, nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._former: Any = None

    def __enter__(self) -> "FirstInterrupt":
        former = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(former):
            self._former = former
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        print("\nlabkit: this step is the last one; interrupt again to leave at once", file=sys.stderr, flush=True)

    def _restore(self) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)
            self._former = None
