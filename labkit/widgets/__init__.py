"""What a notebook can do with a run besides drawing it: watch it live, stop it, read its rollouts, see a model write.

Where there is no notebook (a terminal, a script) the same calls work and give plain text, or nothing.
"""

from labkit.progress import in_notebook
from labkit.widgets.browser import browse
from labkit.widgets.dashboard import Dashboard
from labkit.widgets.front_end import front_end
from labkit.widgets.live import sample_live

__all__ = ["Dashboard", "browse", "front_end", "in_notebook", "sample_live"]
