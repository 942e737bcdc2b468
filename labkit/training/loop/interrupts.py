"""Ctrl-C, and the interrupt button of a notebook, during training steps."""

import signal
import sys
import threading
from types import FrameType
from typing import Any


class FirstInterrupt:
    """A context in which the first interrupt only sets `asked`; a second interrupt is raised at once, as usual.

    So the present step can end, and weights, optimiser and log agree. The context changes nothing outside the main
    thread, where Python receives no signals, or if the process ignores interrupts.
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
