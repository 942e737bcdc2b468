"""What the tests with hostile texts share: a clock, and names for cases of a megabyte."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes more than so many seconds of this process's CPU.

    Other jobs on the machine do not count, so the limits can be tight.
    """
    start = time.process_time()
    yield
    used = time.process_time() - start
    assert used < seconds, f"took {used:.2f} s of CPU, more than {seconds} s"


def short(value: object) -> str:
    """A test id of a few printable characters: pytest would put the whole text into each name."""
    if isinstance(value, int) and value.bit_length() > 100:
        return "huge"
    if isinstance(value, str):
        value = value[:24]
    return ascii(value)[:32]
