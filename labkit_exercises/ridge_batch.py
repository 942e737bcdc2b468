"""Exercise of notebook 17: from which batch on is arithmetic the limit?"""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def ridge_batch(parameters: float, row_bytes: float, bandwidth: float, rate: float) -> float:
    import math

    # Reading:   2 N / bandwidth, and row_bytes / bandwidth more with every row. Computing: 2 N / rate with every row.
    gained = 2 * parameters / rate - row_bytes / bandwidth
    return 2 * parameters / bandwidth / gained if gained > 0 else math.inf


def _or_infinite(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else float("inf")


def _random_case(generator: random.Random) -> Case:
    parameters, bandwidth = generator.uniform(1, 9) * 1e8, generator.uniform(1, 4) * 1e12
    rate = generator.uniform(20, 300) * bandwidth
    limit = 2 * parameters * bandwidth / rate  # the row_bytes from which on there is no such batch
    return Case((parameters, limit * generator.choice([0.0, 0.3, 0.8, 1.5, 4.0]), bandwidth, rate))


EXERCISE = Exercise(
    name="ridge-batch",
    title="Where the ridge lies",
    notebook="17_scaling_up",
    spec=(
        "The setting of `decode-ceiling`: a step over B rows moves `2 * parameters + B * row_bytes` bytes at "
        "`bandwidth`, and computes `2 * parameters * B` operations at `rate`. Return the batch B (float) at which both "
        "take equally long: below it memory is the limit, above it arithmetic.\n\n"
        "- If there is no such batch, because each further row brings at least as much time of reading as of "
        "computing, return `math.inf`."
    ),
    stub=(
        "def ridge_batch(parameters: float, row_bytes: float, bandwidth: float, rate: float) -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=ridge_batch,
    literal=(
        Case((100.0, 0.0, 50.0, 1000.0), "no cache: rate / bandwidth = 20 rows"),
        Case((100.0, 5.0, 50.0, 1000.0), "a row brings 0.2 s of computing and 0.1 s of reading: twice as many rows"),
        Case((100.0, 20.0, 50.0, 1000.0), "0.4 s of reading for 0.2 s of computing: never"),
        Case((134.5e6, 0.0, 3.35e12, 989e12), "SmolLM2-135M on an H100, no context"),
        Case((134.5e6, 23040.0 * 384, 3.35e12, 989e12), "the same with 384 tokens of context"),
    ),
    random=_random_case,
    misconceptions=(
        Misconception(
            "no-cache",
            lambda parameters, row_bytes, bandwidth, rate: rate / bandwidth,
            "This is the ridge of the weights alone, rate / bandwidth. Each row also brings its own cache to read, and "
            "so moves the ridge out, often beyond reach.",
        ),
        Misconception(
            "negative",
            lambda parameters, row_bytes, bandwidth, rate: (
                2 * parameters / bandwidth / ((2 * parameters / rate - row_bytes / bandwidth) or 1e-30)
            ),
            "A negative batch is the equation's way to say that there is none: return math.inf.",
        ),
        Misconception(
            "absolute-value",
            lambda parameters, row_bytes, bandwidth, rate: (
                2 * parameters / bandwidth / (abs(2 * parameters / rate - row_bytes / bandwidth) or 1e-30)
            ),
            "Where a row brings more reading than computing, the two lines never meet: the answer is math.inf, not the "
            "distance's absolute value.",
        ),
        Misconception(
            "cache-added",
            lambda parameters, row_bytes, bandwidth, rate: (
                (2 * parameters + row_bytes) / bandwidth / (2 * parameters / rate)
            ),
            "The cache is counted once, as if it were more weights. Every row has one: it grows with B, so it stands "
            "on the same side of the equation as the operations.",
        ),
        Misconception(
            "one-operation",
            lambda parameters, row_bytes, bandwidth, rate: _or_infinite(
                2 * parameters / bandwidth, parameters / rate - row_bytes / bandwidth
            ),
            "A weight costs two operations per row: one multiplication and one addition.",
        ),
        Misconception(
            "upside-down",
            lambda parameters, row_bytes, bandwidth, rate: _or_infinite(
                2 * parameters / rate, 2 * parameters / bandwidth - row_bytes / rate
            ),
            "Bandwidth and rate are swapped: bytes go with bandwidth, operations with rate.",
        ),
    ),
    hints=(
        "Write both times as functions of B and set them equal.",
        "(2N + B * row_bytes) / bandwidth = 2N * B / rate: collect the terms with B on one side.",
        "B = (2N / bandwidth) / (2N / rate - row_bytes / bandwidth). When is that no batch?",
    ),
    sources=("labkit.bench.roofline:ridge",),
)
