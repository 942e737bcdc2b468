"""The command line: `labkit COMMAND`, also `python -m labkit COMMAND`.

Reports go to standard output, progress and errors to standard error. Exit status: 0; 1 for a run that failed
(a full disk, damaged checkpoints, a fault of the package); 2 for bad usage; 130 after Ctrl-C.
"""

from labkit.cli.entry import app, main

__all__ = ["app", "main"]
