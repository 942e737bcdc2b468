"""Addition: sums of two whole numbers, which the base model mostly answers at once and wrong."""

from labkit.tasks import TASKS
from labkit.verifiers import VERIFIERS

TASKS.add("addition", "labkit.worlds.addition.task:make_addition")
VERIFIERS.add("addition", "labkit.worlds.addition.verifier:verify")
