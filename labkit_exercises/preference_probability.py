"""Exercise of notebook 03: how likely is it that one reply is preferred?"""

from __future__ import annotations

import math
import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def preference_probability(score_a: float, score_b: float, temperature: float) -> float:
    import math

    difference = (score_a - score_b) / temperature
    # Two ways of writing the same: neither ever takes exp of a large positive number.
    if difference >= 0:
        return 1 / (1 + math.exp(-difference))
    return math.exp(difference) / (1 + math.exp(difference))


def _sigmoid(x: float) -> float:
    return preference_probability(x, 0.0, 1.0)


def _random_pair(generator: random.Random) -> Case:
    return Case((generator.gauss(0, 1), generator.gauss(0, 1), generator.choice([0.2, 0.4, 1.0, 3.0])))


EXERCISE = Exercise(
    name="preference-probability",
    title="Bradley and Terry's annotator",
    notebook="03_reward_models",
    spec=(
        "Two replies are worth `score_a` and `score_b` to an annotator who judges with noise. Return the chance (a "
        "float) that a is preferred: the odds of a against b are exp(score_a / temperature) : exp(score_b / "
        "temperature) (Bradley and Terry 1952).\n\n"
        "- Only the difference of the scores matters, in units of the `temperature` (above 0).\n"
        "- It must also work for scores of 1,000."
    ),
    stub=(
        "def preference_probability(score_a: float, score_b: float, temperature: float) -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=preference_probability,
    literal=(
        Case((1.0, 1.0, 1.0), "equally good: one half"),
        Case((1.0, 0.0, 1.0), "odds of e : 1, so e / (e + 1) = .731"),
        Case((0.0, 1.0, 1.0), "the other way round: .269"),
        Case((1.0, 0.0, 0.5), "half the noise: odds of e^2 : 1, .881"),
        Case((2.0, -1.0, 3.0), "a negative score is no problem: only the difference 3 counts"),
        Case((1000.0, 0.0, 1.0), "a large difference: practically 1"),
        Case((0.0, 1000.0, 1.0), "and practically 0"),
    ),
    random=_random_pair,
    misconceptions=(
        Misconception(
            "never-errs",
            lambda a, b, temperature: 1.0 if a > b else 0.0 if a < b else 0.5,
            "This annotator never errs. With noise a slightly better reply wins only slightly more often than not.",
        ),
        Misconception(
            "times-temperature",
            lambda a, b, temperature: _sigmoid((a - b) * temperature),
            "The difference is multiplied by the temperature. Divide: a HIGH temperature is much noise, and chances "
            "near one half.",
        ),
        Misconception(
            "no-temperature",
            lambda a, b, temperature: _sigmoid(a - b),
            "The temperature is not used: it says how large a difference must be to be seen through the noise.",
        ),
        Misconception(
            "swapped",
            lambda a, b, temperature: _sigmoid((b - a) / temperature),
            "This is the chance that b is preferred: a stands first in the difference.",
        ),
        Misconception(
            "overflows",
            lambda a, b, temperature: (
                math.exp(a / temperature) / (math.exp(a / temperature) + math.exp(b / temperature))
            ),
            "Right, but exp(1000) overflows. Divide above and below by one of the two exponentials: only the "
            "difference is left, and it can be kept from being large and positive.",
            (lambda a, b, temperature: 1 / (1 + math.exp(-(a - b) / temperature)),),
        ),
        Misconception(
            "scores-as-odds",
            lambda a, b, temperature: a / (a + b) if a + b else 0.5,
            "The scores themselves were taken as odds. Scores may be 0 or negative; the odds are their exponentials.",
        ),
    ),
    hints=(
        "The chance is exp(a/T) / (exp(a/T) + exp(b/T)). What if numerator and denominator are divided by exp(a/T)?",
        "It is the logistic function of (a − b) / T.",
        "For a negative difference d use exp(d) / (1 + exp(d)), for a positive one 1 / (1 + exp(−d)).",
    ),
)
