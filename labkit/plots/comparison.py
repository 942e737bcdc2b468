"""Learning curves of the runs of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import UserError
from labkit.evaluation.comparison import Comparison
from labkit.evaluation.comparison.settings import recipe_labels
from labkit.plots.curves import learning_curves
from labkit.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The metrics that are drawn where all runs have logged them.
CURVES = ("pass_rate", "response_length", "backtracks", "truncated")
# Where the runs trained on a reward model, and where all of them learned from data.
GOLD_CURVES = ("reward_mean", "gold_mean", "kl", "response_length")
DATA_CURVES = ("loss", "accuracy", "margin", "grad_norm")


class DrawnComparison(Comparison):
    """A comparison that can also draw its runs: `lk.compare` returns it."""

    def plot(self, file: str | Path | None = None) -> Figure:
        """Learning curves of all runs, seeds of one recipe together; also written to `file`.

        Raises UserError without matplotlib, where no step is logged, and where `file` can't be written.
        """
        try:
            figure = _draw(self.opened)
        except ModuleNotFoundError as error:
            raise UserError(f"curves need the package {error.name}: pip install {error.name}") from None
        if file is not None:
            try:
                figure.savefig(file)
            except (OSError, ValueError) as error:
                raise UserError(f"cannot write the plot {file}: {error}") from None
        return figure


def compare(runs: Run | str | Path | Sequence[Run | str | Path]) -> DrawnComparison:
    """Compares runs, as `Comparison.of` does; the result can also draw itself with `plot`."""
    return DrawnComparison.of(runs)


def _draw(runs: list[Run]) -> Figure:
    groups: dict[str, list[Run]] = {}
    for label, run in zip(recipe_labels(runs), runs, strict=True):
        groups.setdefault(label, []).append(run)
    common = set.intersection(*({key for line in run.metrics for key in line} for run in runs))
    fields = GOLD_CURVES if "gold_mean" in common else CURVES if "pass_rate" in common else DATA_CURVES
    return learning_curves(groups, [f for f in fields if f in common])
