"""The command line: `labkit COMMAND`, also `python -m labkit COMMAND`.

Reports go to standard output, progress and errors to standard error. Exit status: 0; 1 for a run that failed
(a full disk, damaged checkpoints, a fault of the package); 2 for bad usage; 130 after Ctrl-C.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line on `sys.argv` and ends the process with its exit status."""
    try:
        from labkit.cli.entry import run
    except KeyboardInterrupt:  # Ctrl-C while modules are imported
        print("labkit: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))
