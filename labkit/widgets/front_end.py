"""Whether there is a notebook to draw in, and how a click reaches us while a cell runs.

A kernel handles the messages of its front end in its main thread: the one that is busy as long as a cell
runs. JupyterLab from 4.4 and Notebook from 7.4 therefore send widget messages to a subshell, a second thread
of ipykernel 7. `deliver_at_once` keeps that route open for widgets that the running cell itself updates, and
on ipykernel from 7.4 it also hears the clicks of front ends that know no subshells. Where neither is there,
the kernel's interrupt button is left.
"""

import importlib.util
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from labkit.progress import in_notebook

if TYPE_CHECKING:
    from ipywidgets import Widget


def front_end() -> Literal["widgets", "plain"]:
    """What can be shown: "widgets" in a Jupyter kernel that has ipywidgets, else "plain".

    A kernel cannot know whether anybody looks: run by nbclient it is "widgets" as well, which does no harm.

    >>> front_end()
    'plain'
    """
    return "widgets" if in_notebook() and importlib.util.find_spec("ipywidgets") is not None else "plain"


# In a notebook that is opened again, the place of a widget whose kernel is gone holds an error text and no element. The
# text is hidden then, and the words in the output before it appear.
_LOST = ".jp-OutputArea-output.jupyter-widgets:not(:has(*))"
_WORDS = (
    f"<style>{_LOST}{{display:none}} "
    f".jp-OutputArea-child:has(+.jp-OutputArea-child {_LOST}) .labkit-lost{{display:inline!important}}</style>"
    '<i class="labkit-lost" style="display:none">{words}</i>'
)


def show_widget(widget: "Widget", what: str) -> None:
    """Displays a widget. `what`: said in its place where a stored notebook is read without a kernel."""
    from IPython.display import HTML, display

    words = f"{what}: run this cell to use it."
    display(HTML(_WORDS.replace("{words}", escape(words))))
    bundle = {**widget._repr_mimebundle_(), "text/html": f"<i>{escape(words)}</i>", "text/plain": words}
    display(bundle, raw=True)


def deliver_at_once(widget: "Widget", clicked: Callable[[], None] | None = None) -> None:
    """Lets messages of the front end to a widget through while a cell runs, though that cell updates it.

    `clicked` is called at a click, in the kernel's channel thread: it must be quick and must not draw. It
    comes on top of the widget's own handlers: without subshells those wait for the end of the cell.
    """
    comm = widget.comm
    if not hasattr(comm, "_reply_subshell_for"):
        return

    def route(data: Any, chosen: str | None) -> str | None:
        # By itself ipykernel 7.4 sends messages to the thread that wrote to the widget last: the busy one.
        if clicked is not None and isinstance(data, dict) and data.get("content") == {"event": "click"}:
            clicked()
        return chosen

    comm._reply_subshell_for = route
