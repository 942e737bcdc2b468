"""The one exception that means "the user can fix this".

Everything else that is raised is a fault of the package, and is shown with its traceback.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(ValueError):
    """A user's mistake, said in one line: what is wrong and how to fix it.

    The command line prints the line alone, without a traceback. It subclasses `ValueError`, so that a
    notebook may catch it without importing this module.

    >>> raise UserError("unknown recipe 'grop'; choose one of: grpo, rloo")
    Traceback (most recent call last):
    ...
    labkit.errors.UserError: unknown recipe 'grop'; choose one of: grpo, rloo
    """


class RunError(UserError):
    """A run that failed though it was asked for rightly: a full disk, damaged checkpoints.

    The command line ends with exit status 1 for it, and with 2 for any other user's mistake.
    """


def first_fault(error: "ValidationError") -> tuple[str, str | None]:
    """The dotted key that pydantic found wrong first, and what is wrong with it; None where there is no such key."""
    first = error.errors()[0]
    message = None if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return ".".join(map(str, first["loc"])), message
