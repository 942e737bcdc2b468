"""How commands print: one JSON document, tables, notes about progress."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.jsonl import finite
from labkit.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

Result = TypeVar("Result")


def note(text: str) -> None:
    """A line about what is going on, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def announce(text: str) -> None:
    """What the command does next, on standard error if that is a terminal."""
    if sys.stderr.isatty():
        note(text)


def console() -> "Console":
    """Standard output for rich; a line is never wrapped or cut."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Leaves a closed pipe to `labkit.cli.entry`; rich would end the process with status 1."""
            raise BrokenPipeError

    return Plain(soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document; numbers that are not finite become null."""
    print(json.dumps(finite(value), indent=1))


def quietly(work: Callable[[], Result]) -> Result:
    """The result of some work that may print: what it prints goes to standard error."""
    with redirect_stdout(sys.stderr):
        return work()


def print_list(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    """Rows as JSON, or some of their columns as a table."""
    if as_json:
        print_json(rows)
        return
    from labkit.tables import table

    print(table(columns, [[str(row[column]) for column in columns] for row in rows]))
