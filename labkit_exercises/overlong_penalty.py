"""Exercise of notebook 12: long answers cost something."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def overlong_penalty(length: int, max_length: int, buffer: int) -> float:
    import torch

    from labkit import algorithms

    return algorithms.overlong_penalty(torch.tensor([length]), max_length, buffer).item()


def _ramp(length: int, max_length: int, buffer: int) -> float:
    """DAPO's line, without its ends."""
    return (max_length - buffer - length) / buffer


def _random_length(generator: random.Random) -> Case:
    max_length = generator.randint(20, 200)
    return Case((generator.randint(0, 2 * max_length), max_length, generator.randint(2, max_length // 2)))


EXERCISE = Exercise(
    name="overlong-penalty",
    title="DAPO's soft penalty for long answers",
    notebook="12_r1_zero",
    spec=(
        "Return what is ADDED to the reward of an answer of `length` tokens (Yu et al. 2025, equation "
        "13):\n\n"
        "- 0 up to `max_length - buffer` tokens,\n"
        "- then falling in a straight line to −1 at `max_length`,\n"
        "- −1 beyond. (0 < buffer ≤ max_length.)"
    ),
    stub=("def overlong_penalty(length: int, max_length: int, buffer: int) -> float:\n    raise NotImplementedError\n"),
    reference=overlong_penalty,
    literal=(
        Case((90, 100, 20), "half of the way through the buffer of 80 to 100"),
        Case((50, 100, 20), "short enough"),
        Case((80, 100, 20), "the last length that costs nothing"),
        Case((95, 100, 20), "three quarters of the way"),
        Case((100, 100, 20), "the end of the buffer"),
        Case((130, 100, 20), "beyond the end"),
    ),
    random=_random_length,
    misconceptions=(
        Misconception(
            "positive",
            lambda length, max_length, buffer: -min(0.0, max(-1.0, _ramp(length, max_length, buffer))),
            "The sign: this is added to the reward, so a penalty is negative. As it stands long answers are rewarded.",
        ),
        Misconception(
            "hard-cutoff",
            lambda length, max_length, buffer: -1.0 if length > max_length else 0.0,
            "This is a hard limit: nothing, then −1 at once. The point of the buffer is a slope, so that an "
            "answer a little shorter is a little better.",
            (
                lambda length, max_length, buffer: -1.0 if length >= max_length else 0.0,
                lambda length, max_length, buffer: -1.0 if length > max_length - buffer else 0.0,
                lambda length, max_length, buffer: max(-1, min(0, (max_length - buffer - length) // buffer)),
            ),
        ),
        Misconception(
            "starts-at-the-limit",
            lambda length, max_length, buffer: min(0.0, max(-1.0, (max_length - length) / buffer)),
            "The slope begins at `max_length`, one buffer too late. It ends there: it begins at max_length - buffer.",
        ),
        Misconception(
            "wrong-slope",
            lambda length, max_length, buffer: min(0.0, max(-1.0, (max_length - buffer - length) / max_length)),
            "The slope is too flat: it has to fall by 1 over `buffer` tokens, not over `max_length`.",
            (
                lambda length, max_length, buffer: (
                    -1.0 if length > max_length else min(0.0, (max_length - buffer - length) / max_length)
                ),
            ),
        ),
        Misconception(
            "no-floor",
            lambda length, max_length, buffer: min(0.0, _ramp(length, max_length, buffer)),
            "Beyond `max_length` the penalty goes on falling; it must stay at −1, or one very long answer "
            "outweighs the rest of its group.",
        ),
        Misconception(
            "bonus-for-short",
            lambda length, max_length, buffer: max(-1.0, _ramp(length, max_length, buffer)),
            "Short answers get a bonus: before the buffer begins the result must be 0, not positive, or the "
            "policy learns to say nothing.",
            (_ramp,),
        ),
    ),
    hints=(
        "Where does the slope begin, where does it end, and what is the value halfway?",
        "How far into the buffer the answer reaches, as a share: (length − (max_length − buffer)) / buffer.",
        "Minus that share, kept between −1 and 0 with `min` and `max`.",
    ),
    sources=("labkit.algorithms.shaping:overlong_penalty",),
)
