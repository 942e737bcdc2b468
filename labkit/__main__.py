"""`python -m labkit` is the same as `labkit`."""

import sys

from labkit.cli import main

if __name__ == "__main__":
    sys.argv[0] = "labkit"  # the run folder keeps the command as it can be typed again
    main()
