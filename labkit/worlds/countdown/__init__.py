"""Countdown: combine the given numbers, each exactly once, to make the target."""

from labkit.tasks import TASKS
from labkit.verifiers import VERIFIERS

TASKS.add("countdown", "labkit.worlds.countdown.task:make_countdown")
TASKS.add("countdown-4", "labkit.worlds.countdown.task:make_countdown_4")
VERIFIERS.add("countdown", "labkit.worlds.countdown.verifier:verify")
VERIFIERS.add("first_try", "labkit.worlds.countdown.controls:first_try", hidden=True)
VERIFIERS.add("leaky_countdown", "labkit.worlds.countdown.leaky:leaky_countdown", hidden=True)
VERIFIERS.add("leaky_countdown_stated", "labkit.worlds.countdown.leaky:leaky_countdown_stated", hidden=True)
