"""The exceptions that mean "the user can fix this".

Everything else that is raised is a fault of the package, and is shown with its traceback. A subclass says by its type
what happened, and by its fields with what: code reads these, never the message.
"""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.printable import printable

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(ValueError):
    """A user's mistake, said in one line: what is wrong and how to fix it.

    The command line and Jupyter show the line alone, without a traceback. It subclasses `ValueError`, so that a
    notebook may catch it without importing this module.

    >>> raise UserError("unknown recipe 'grop'; choose one of: grpo, rloo")
    Traceback (most recent call last):
    ...
    labkit.errors.UserError: unknown recipe 'grop'; choose one of: grpo, rloo
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show of it: the line, as on the command line."""
        return [f"{type(self).__name__}: {self}"]


class NothingKeptError(UserError):
    """Rejection sampling kept none of its answers: no score reached the threshold."""

    def __init__(self, answers: int, threshold: float, best: float) -> None:
        super().__init__(answers, threshold, best)  # the fields, so that the error can be pickled
        self.answers, self.threshold, self.best = answers, threshold, best

    def __str__(self) -> str:
        return (
            f"none of {self.answers} answers has a score of {self.threshold:g} or more (the best has {self.best:g}): "
            "take easier prompts, more samples per prompt, a policy that was trained further, or a lower threshold"
        )


class RunError(UserError):
    """A run that failed though it was asked for rightly: a full disk, damaged checkpoints.

    The command line ends with exit status 1 for it, and with 2 for any other user's mistake.
    """


class NotFiniteError(RunError):
    """A model that gives NaN or infinity. `what` is no number any more, at `step` of a run if there is one.

    A checkpoint that was written now would keep the damage, so none is.
    """

    def __init__(self, what: str, step: int | None = None) -> None:
        super().__init__(what, step)
        self.what, self.step = what, step

    def __str__(self) -> str:
        when = "" if self.step is None else f"step {self.step}: "
        return (
            f"{when}{self.what} is NaN or infinite: the weights are damaged, or training has diverged; take an earlier "
            "checkpoint, and train anew with a smaller optimizer.lr"
        )


def first_fault(error: "ValidationError") -> tuple[str, str | None]:
    """The dotted key that pydantic found wrong first, and what is wrong with it; None where there is no such key."""
    first = error.errors()[0]
    message = None if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    if message is not None and first["type"].startswith(("greater_than", "less_than")):
        message = f"{message.replace('Input should be', 'must be')}, not {first['input']}"
    return ".".join(map(str, first["loc"])), message


class RunFolderError(RunError):
    """A run folder that can't be written any more. `resume`: the folder that `--resume` goes on with, the run's own or
    that of the pipeline that the run is a stage of."""

    def __init__(self, folder: Path, reason: str, resume: Path | None = None) -> None:
        super().__init__(folder, reason, resume)
        self.folder, self.reason, self.resume = folder, reason, resume or folder

    def __str__(self) -> str:
        return (
            f"cannot write to {self.folder}: {self.reason}; what was logged is kept, and "
            f"`labkit train --resume {self.resume}` goes on from the newest checkpoint"
        )


@functools.cache
def say_once(line: str) -> None:
    """Says something that is no error on standard error, in one line, the first time that it comes up."""
    print(f"labkit: {printable(line)}", file=sys.stderr)
