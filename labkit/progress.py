"""How far a long call is: one line, which appears once a call has lasted a second and is gone when it ends.

A call that takes long opens a `progress` and advances it. Calls nest: an evaluation samples, and what the sampler
reports moves the evaluation's line. Only the outermost one is shown: in a notebook as a line of the cell, in a terminal
as a line of standard error, elsewhere (a pipe, a test) not at all.

    with progress("evaluating on countdown", total=len(batches)) as bar:
        for batch in batches:
            with bar.part():
                rollouts = sample(...)  # opens a progress of its own, whose share moves this one
"""

import html
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Item = TypeVar("Item")
Show = Callable[[str, float | None], None]
"""Draws how far a call is: what is done, and its share between 0 and 1; None: it has ended."""

PATIENCE = 1.0  # seconds before a line appears: what is quicker leaves no trace
BETWEEN = 0.25  # seconds between two drawings

_current: ContextVar["Progress | None"] = ContextVar("current", default=None)


class Progress:
    """How much of a call is done, of `total`."""

    def __init__(self, what: str, total: float, outer: "Progress | None", show: Show | None) -> None:
        self.what, self.total, self.outer, self.show = what, max(total, 1e-9), outer, show
        self.done = self.inner = 0.0
        self.weight = 1.0  # how much of this call the one that it made last is

    @property
    def share(self) -> float:
        """The share that is done, with what the call inside has done of its own."""
        return min((self.done + self.inner * self.weight) / self.total, 1.0)

    def advance(self, count: float = 1.0) -> None:
        """So much more is done."""
        self.done, self.inner = self.done + count, 0.0
        self._tell()

    def reach(self, done: float) -> None:
        """So much is done in all."""
        self.done, self.inner = done, 0.0
        self._tell()

    @contextmanager
    def part(self, weight: float = 1.0) -> Iterator[None]:
        """A part of this call that weighs so much: calls inside it move this one by their own share of it."""
        self.weight = weight
        yield
        self.weight = 1.0
        self.advance(weight)

    def _tell(self) -> None:
        if self.outer is not None:
            self.outer.inner = self.share
            self.outer._tell()
        elif self.show is not None:
            self.show(self.what, self.share)


@contextmanager
def progress(what: str, total: float, show: Show | None = None) -> Iterator[Progress]:
    """Opens a progress of `total` parts; `show` draws it in place of the line, where no other progress is open."""
    outer = _current.get()
    bar = Progress(what, total, outer, show or (line() if outer is None else None))
    token = _current.set(bar)
    try:
        yield bar
    finally:
        _current.reset(token)
        if outer is None and bar.show is not None:
            bar.show(what, None)


@contextmanager
def silent() -> Iterator[None]:
    """What is called inside shows no line: something else says how far it is."""
    with progress("", 1, lambda what, share: None):
        yield


def each(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items one by one, with a line that says how many are done.

    >>> sum(each([1, 2, 3], "adding"))
    6
    """
    known = list(items) if total is None else items
    with progress(what, len(known) if total is None else total) as bar:  # type: ignore[arg-type]
        for item in known:
            yield item
            bar.advance()


def in_notebook() -> bool:
    """Whether this runs inside a Jupyter kernel; imports nothing to find out.

    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return any(parent.__name__ == "ZMQInteractiveShell" for parent in type(shell).__mro__)


def line() -> Show | None:
    """What draws a line here: the notebook's cell, or a terminal; None where nobody would see it."""
    if in_notebook():
        return Line(NotebookLine())
    return Line(TerminalLine()) if sys.stderr is not None and sys.stderr.isatty() else None


class Line:
    """A line that appears after `PATIENCE` seconds, is drawn anew every `BETWEEN` seconds and leaves at the end."""

    def __init__(self, page: "NotebookLine | TerminalLine") -> None:
        self.page = page
        self.started = time.monotonic()
        self.drawn: float | None = None

    def __call__(self, what: str, share: float | None) -> None:
        now = time.monotonic()
        if share is None:
            if self.drawn is not None:
                self.page.clear()
        elif now - self.started >= PATIENCE and (self.drawn is None or now - self.drawn >= BETWEEN):
            self.drawn = now
            self.page.draw(share, f"{what}: {share:.0%}{left(share, now - self.started)}")


def left(share: float, seconds: float) -> str:
    """The time that is left, where enough is done to tell.

    >>> left(0.25, 10.0), left(0.01, 10.0)
    (', about 30 s left', '')
    """
    return f", about {duration(seconds * (1 - share) / share)} left" if 0.05 < share < 1 else ""


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(12.3), duration(100), duration(7300)
    ('12 s', '1 min 40 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def as_html(share: float, text: str) -> str:
    """A bar with its words."""
    bar = f'<progress value="{share:.3f}" max="1" style="vertical-align:middle;width:12em"></progress>'
    return f'<div style="line-height:1.5">{bar} <span style="opacity:.85">{html.escape(text)}</span></div>'


class NotebookLine:
    """A line of the cell's output, drawn in place. No widget: a stored notebook would miss its model."""

    handle: Any = None

    def draw(self, share: float, text: str) -> None:
        """Shows the line, or changes it."""
        self._put({"text/html": as_html(share, text), "text/plain": text})

    def clear(self) -> None:
        """An output can't be taken back: an empty one is left."""
        self._put({"text/html": "", "text/plain": ""})

    def _put(self, bundle: dict[str, str]) -> None:
        from IPython.display import display

        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)


class TerminalLine:
    """A line of standard error that is written over."""

    width = 0

    def draw(self, share: float, text: str) -> None:
        """Writes over the line."""
        print(f"\r{text:{self.width}}", end="", file=sys.stderr, flush=True)
        self.width = max(self.width, len(text))

    def clear(self) -> None:
        """Leaves an empty line for what comes next."""
        print(f"\r{'':{self.width}}\r", end="", file=sys.stderr, flush=True)
