"""What the trainers that learn from a data set have in common, beside their step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import UserError
from labkit.training.loop.loop import Learner
from labkit.training.rows.data import Dataset, Left


@dataclass
class Offline:
    """A prepared run on a data set.

    `begin(run folder)` does what must be done before the first step. `measure()` gives the held-out numbers, before and
    after training (None without held-out rows). `rows` counts what is trained on, `left` what was left out; `facts` go
    into the result.
    """

    learner: Learner
    dataset: Dataset
    left: Left
    rows: int
    measure: Callable[[], dict[str, Any] | None]
    begin: Callable[[Path], None] = lambda folder: None
    facts: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """What the run learned from, for its result."""
        return {
            "source": self.dataset.source,
            "rows": self.rows,
            "held_out": len(self.dataset.test),
            **({"left_out": self.left.counts} if self.left.counts else {}),
            **self.facts,
        }


def refuse_empty(rows: Sequence[Any], source: str, left: Left) -> None:
    """Raises UserError where no row is left to train on, and says why."""
    if not rows:
        why = "; ".join(f"{count} {reason}" for reason, count in left.counts.items())
        raise UserError(f"no row of {source} can be trained on: {why}")
