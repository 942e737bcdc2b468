"""Whether there is a notebook to draw in, and how its messages reach us while a cell runs.

A kernel handles the messages of its front end, a click on a button among them, in its main thread: the one
that is busy as long as a cell runs. Two ways lead past that, and both are taken here:

- JupyterLab from 4.4 and Notebook from 7.4 send widget messages to a subshell, a second thread of ipykernel
  7. `deliver_at_once` keeps that route open for widgets that the cell itself updates; a click arrives within
  the step.
- Other front ends send to the main thread. `handle_pending` lets its event loop turn a few times between two
  steps; ipykernel from 7.4 then handles widget messages although a cell runs (cells wait their turn).

Where neither is possible, the kernel's interrupt button is left.
"""

import asyncio
import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ipywidgets import Widget

# Enough for a message to go from its socket through two tasks to its handler.
_TURNS = 8


def in_notebook() -> bool:
    """Whether this runs inside a Jupyter kernel; imports nothing to find out.

    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return any(parent.__name__ == "ZMQInteractiveShell" for parent in type(shell).__mro__)


def front_end() -> Literal["widgets", "plain"]:
    """What can be shown: "widgets" in a Jupyter kernel that has ipywidgets, else "plain".

    >>> front_end()
    'plain'
    """
    return "widgets" if in_notebook() and importlib.util.find_spec("ipywidgets") is not None else "plain"


def deliver_at_once(*widgets: "Widget") -> None:
    """Lets the front end's messages to these widgets take the subshell, though a running cell updates them.

    ipykernel 7.4 sends the answers to the thread that wrote to a widget last; that thread would be the busy
    one.
    """
    for widget in widgets:
        if hasattr(widget.comm, "_reply_subshell_for"):
            widget.comm._reply_subshell_for = None


def handle_pending() -> None:
    """Handles the messages that wait for the main thread's event loop; to be called between two steps.

    Does nothing outside a notebook, in another thread, or with an event loop that cannot be turned by hand.
    """
    if not in_notebook() or threading.current_thread() is not threading.main_thread():
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if not hasattr(loop, "_run_once"):
        return
    # The cell is itself a task of this loop: for the length of the turns it must not look like the running
    # one.
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    try:
        for _ in range(_TURNS):
            loop.call_soon(_nothing)  # with something due a turn does not wait
            loop._run_once()
    finally:
        if task is not None:
            asyncio.tasks._enter_task(loop, task)


def _nothing() -> None:
    pass
