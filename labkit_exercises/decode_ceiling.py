"""Exercise of notebook 17: the most tokens per second that a device could sample."""

from __future__ import annotations

import random
from collections.abc import Callable

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def decode_ceiling(
    rows: int, context: int, parameters: float, cache_bytes: float, bandwidth: float, rate: float
) -> float:
    moving = (2 * parameters + rows * context * cache_bytes) / bandwidth
    computing = 2 * parameters * rows / rate
    return rows / max(moving, computing)


def _variant(
    join: Callable[[float, float], float] = max,
    *,
    weight_reads: bool = False,
    cache: float = 1.0,
    flops: float = 2.0,
    tokens: bool = True,
    size: float = 2.0,
) -> Callable[..., float]:
    """The ceiling with one thing done otherwise."""

    def wrong(rows: int, context: int, parameters: float, cache_bytes: float, bandwidth: float, rate: float) -> float:
        weights = size * parameters * (rows if weight_reads else 1)
        moving = (weights + cache * rows * context * cache_bytes) / bandwidth
        return (rows if tokens else 1) / join(moving, flops * parameters * rows / rate)

    return wrong


def _random_case(generator: random.Random) -> Case:
    rows, context = generator.choice([1, 7, 64, 900, 5000]), generator.choice([20, 300, 2000])
    parameters, cache_bytes = generator.uniform(0.5, 9) * 1e8, generator.uniform(1, 30) * 1e3
    return Case(
        (rows, context, parameters, cache_bytes, generator.uniform(1, 4) * 1e12, generator.uniform(1, 9) * 1e13)
    )


EXERCISE = Exercise(
    name="decode-ceiling",
    title="The ceiling of decoding",
    notebook="17_scaling_up",
    spec=(
        "A decoding step gives each of `rows` rows one token. It reads every weight ONCE (`parameters` weights of 2 "
        "bytes) and every row's cache (`context` tokens of `cache_bytes` bytes each), at `bandwidth` bytes per second. "
        "It computes 2 operations for each weight and row, at `rate` operations per second. Reading and computing "
        "overlap: the step takes as long as the slower of them. Return the tokens per second (float), all rows "
        "together.\n\n"
        "(Attention's own operations are left out here.)"
    ),
    stub=(
        "def decode_ceiling(rows: int, context: int, parameters: float, cache_bytes: float, bandwidth: float, "
        "rate: float) -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=decode_ceiling,
    literal=(
        Case((1, 0, 100.0, 0.0, 50.0, 1000.0), "200 bytes at 50 a second: 4 s for one token"),
        Case((10, 0, 100.0, 0.0, 50.0, 1000.0), "the same 4 s for ten tokens"),
        Case((40, 0, 100.0, 0.0, 50.0, 1000.0), "now arithmetic is slower: 8,000 operations at 1,000 a second"),
        Case((10, 5, 100.0, 4.0, 50.0, 1000.0), "200 bytes of weights and 200 of cache"),
        Case((256, 384, 134.5e6, 23040.0, 3.35e12, 989e12), "SmolLM2-135M at batch 256 on an H100"),
    ),
    random=_random_case,
    misconceptions=(
        Misconception(
            "weights-for-every-row",
            _variant(weight_reads=True),
            "The weights are read once a STEP, for all rows together. That is the whole reason to batch: ten tokens "
            "for the price of one.",
        ),
        Misconception(
            "no-cache",
            _variant(cache=0.0),
            "The cache is missing from the bytes. At a large batch it is most of them: each row reads its own past at "
            "every step.",
        ),
        Misconception(
            "added",
            _variant(lambda moving, computing: moving + computing),
            "Reading and computing are added up. They overlap (while one matrix is multiplied, the next is read), so "
            "the slower of the two decides.",
        ),
        Misconception(
            "faster-of-the-two",
            _variant(min),
            "This takes the FASTER of reading and computing. A step has ended when both are done.",
        ),
        Misconception(
            "steps-a-second",
            _variant(tokens=False),
            "These are steps per second. Each step gives every row a token.",
        ),
        Misconception(
            "one-operation",
            _variant(flops=1.0),
            "A weight costs two operations per token: one multiplication and one addition.",
        ),
        Misconception(
            "one-byte",
            _variant(size=1.0),
            "The weights take 2 bytes each; this counts 1.",
        ),
    ),
    hints=(
        "Two times: bytes / bandwidth, and operations / rate. Which of them decides?",
        "Bytes: 2 x parameters, once, and rows x context x cache_bytes.",
        "The step's time is the larger of the two; a step gives `rows` tokens.",
    ),
    sources=("labkit.bench.roofline:decode_ceiling", "labkit.bench.roofline:pass_work"),
)
