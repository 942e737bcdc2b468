"""Inference-time compute: more tokens for an answer instead of more training.

In parallel: `majority` and what it gets from k samples (`majority_curve`), and best-of-n by any score
(`best_of_n_accuracy`; its exact arithmetic is in `labkit.evaluation.selection`). In sequence: `budget_force` (s1),
which ends a thought at a budget or does not let it end. Costs are the generated tokens of all samples, also of those
that no method reads.
"""

from labkit.inference.curves import Point, best_of_n_accuracy, majority_curve, until_accepted
from labkit.inference.forcing import Forced, another_line, budget_force, unless_sure
from labkit.inference.sheets import Sheet, load_sheet, record_forcing, record_samples
from labkit.inference.voting import majority, normal_form

__all__ = [
    "Forced",
    "Point",
    "Sheet",
    "another_line",
    "best_of_n_accuracy",
    "budget_force",
    "load_sheet",
    "majority",
    "majority_curve",
    "normal_form",
    "record_forcing",
    "record_samples",
    "unless_sure",
    "until_accepted",
]
