"""The commands put together, and what is said when one of them fails.

A command imports the rooms that it needs when it is called: so help and lists come at once, without torch.
"""

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from labkit.cli import evaluating, looking, tracing, training, verifying
from labkit.cli.streams import sturdy_streams
from labkit.errors import RunError, UserError
from labkit.printable import printable

HELP = """Reinforcement learning for language models, hands on.

Start with `labkit doctor`, then `labkit train rlvr-addition-tiny` (a minute) or `labkit train r1-zero-tiny`.

`labkit --version` says which version this is, `labkit --install-completion` has your shell complete commands.
"""


class _ReaderGone(Exception):
    """Standard output was closed by its reader, as `head` does."""


class _Interrupted(Exception):
    """Ctrl-C."""


class _QuickHelp:
    """A command whose `--help` is off by default and not None, which typer would import pydantic to read."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


class _Command(_QuickHelp, TyperCommand):
    pass


class _Group(_QuickHelp, TyperGroup):
    """Typer would answer a closed pipe and Ctrl-C by itself, with other exit statuses than ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            returned = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise _ReaderGone from None
        except KeyboardInterrupt:
            raise _Interrupted from None
        return returned


HELP_NAMES = {"help_option_names": ["-h", "--help"]}
COMPLETION = {"--install-completion", "--show-completion"}
app = typer.Typer(cls=_Group, help=HELP, add_completion=False, rich_markup_mode=None, context_settings=HELP_NAMES)
for command in (
    training.train,
    evaluating.eval_command,
    evaluating.sample_command,
    verifying.verify,
    evaluating.compare_command,
    evaluating.bench,
    training.pretrain,
    tracing.traces,
    looking.recipes,
    looking.tasks,
    looking.models,
    looking.doctor,
    looking.version,
):
    app.command(command.__name__.removesuffix("_command"), cls=_Command, context_settings=HELP_NAMES)(command)


def run(arguments: list[str]) -> int:
    """The exit status of a command; errors become one line on standard error."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["MPLBACKEND"] = "Agg"  # a command draws into files alone, whatever is set here for notebooks
    with sturdy_streams():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        looking.version()
        return 0
    # Options of all commands are read by pydantic, which takes a while to import: so these are there when asked for.
    app._add_completion = bool(set(arguments) & COMPLETION) or "_LABKIT_COMPLETE" in os.environ
    command = typer.main.get_command(app)
    try:
        returned = command.main(arguments or ["--help"], prog_name="labkit", standalone_mode=False)
        return returned if isinstance(returned, int) else 0
    except _ReaderGone:
        # What is still buffered goes nowhere, or the interpreter would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (_Interrupted, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except RunError as error:
        return _fail(str(error), 1, error)
    except UserError as error:
        return _fail(str(error), 2, error)
    except Exception as error:
        usage = _usage(error)
        if usage is not None:
            return _fail(usage, 2)
        if isinstance(error, OSError) and error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}", 1, error)
        if isinstance(error, MemoryError):
            return _fail("out of memory: take a smaller model, fewer or shorter rows at once", 1, error)
        if _out_of_memory(error):
            fix = "lower optimizer.microbatch_tokens, sampling.prompts or sampling.max_new_tokens with --set"
            return _fail(f"the device is out of memory: {fix}", 1, error)
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "this is a bug in labkit or in your verifier: run with LABKIT_TRACEBACK=1 to see where"
        return _fail(f"{told} ({hint})", 1, error)


def _out_of_memory(error: Exception) -> bool:
    """Whether torch ran out of memory; where torch is not imported, it did not."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _usage(error: Any) -> str | None:
    """What the command-line parser found wrong, in one line; None for any other exception."""
    if not hasattr(error, "format_message"):
        return None
    context = getattr(error, "ctx", None)
    name = context.command_path if context else "labkit"
    return f"{error.format_message().rstrip('.')}; `{name} --help` says what there is"


def _fail(message: str, status: int, error: BaseException | None = None) -> int:
    if error is not None and os.environ.get("LABKIT_TRACEBACK", "0") not in ("", "0"):
        traceback.print_exception(error)
    while error is not None:
        # The frames of the exception keep a progress bar alive: without them it ends its line.
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    print(f"labkit: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status
