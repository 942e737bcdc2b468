"""Standard output and standard error as a command needs them: whatever they are, printing does not end it."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def sturdy_streams() -> Iterator[None]:
    """Inside, a stream that is closed goes nowhere, letters that a console does not have are written as escapes, and a
    reader of standard error that goes away does not end a run."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (out, err))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(ValueError, OSError):
                stream.reconfigure(errors="backslashreplace")
    sys.stderr = _Deaf(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class _Deaf:
    """A stream that says nothing any more once nobody reads it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, if anybody still reads."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes, if anybody still reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            # What is still buffered goes nowhere, or the interpreter would complain about it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
