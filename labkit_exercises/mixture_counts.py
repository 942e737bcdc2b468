"""Exercise of notebook 13: how many rows of each source, when one of them runs out?"""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def mixture_counts(available: list[int], shares: list[int], total: int) -> list[int]:
    rows = min([total, *(100 * have // share for have, share in zip(available, shares, strict=True))])
    return [rows * share // 100 for share in shares]


def _asked(available: list[int], shares: list[int], total: int) -> list[int]:
    return [total * share // 100 for share in shares]


def _equal(available: list[int], shares: list[int], total: int) -> list[int]:
    rows = min(total, len(shares) * min(available))
    return [rows // len(shares) for _ in shares]


def _refilled(available: list[int], shares: list[int], total: int) -> list[int]:
    counts = [min(have, asked) for have, asked in zip(available, _asked(available, shares, total), strict=True)]
    for i, have in enumerate(available):
        missing = sum(_asked(available, shares, total)) - sum(counts)
        counts[i] += min(missing, have - counts[i])
    return counts


def _random_mixture(generator: random.Random) -> Case:
    first = generator.randrange(10, 60, 10)
    second = generator.randrange(10, 90 - first, 10)
    available = [generator.choice([20, 50, 100, 300]) for _ in range(3)]
    return Case((available, [first, second, 100 - first - second], generator.choice([10, 100, 200])))


EXERCISE = Exercise(
    name="mixture-counts",
    title="Mixing data in stated shares",
    notebook="13_r1_pipeline",
    spec=(
        "Source i has `available[i]` rows and is to be `shares[i]` per cent of the mixture (whole numbers above 0 that "
        "add up to 100). Return how many rows of each are taken:\n\n"
        "- at most `total` rows in all, and never more of a source than it has (no row twice);\n"
        "- **the shares stay**: where a source runs out, all others shrink along with it. With n the largest whole "
        "number up to `total` for which no source is asked for more than it has, source i gives "
        "`n * shares[i] // 100` rows."
    ),
    stub=(
        "def mixture_counts(available: list[int], shares: list[int], total: int) -> list[int]:\n"
        "    raise NotImplementedError\n"
    ),
    reference=mixture_counts,
    literal=(
        Case(([100, 100], [50, 50], 100), "enough of both"),
        Case(([20, 1000], [50, 50], 100), "20 kept answers are half of 40 rows"),
        Case(([20, 1000, 1000], [50, 30, 20], 100), "three sources; the first runs out"),
        Case(([1000, 10], [80, 20], 400), "the smaller share runs out"),
        Case(([0, 50], [50, 50], 100), "nothing was kept"),
        Case(([30, 30, 30], [50, 30, 20], 300), "every source is short; the largest share decides"),
    ),
    random=_random_mixture,
    misconceptions=(
        Misconception(
            "capped-one-by-one",
            lambda available, shares, total: [
                min(have, asked) for have, asked in zip(available, _asked(available, shares, total), strict=True)
            ],
            "Each source is cut to what it has, and the others stay: then the shares are no longer those that were "
            "stated, and the model learns mostly what there was plenty of.",
        ),
        Misconception(
            "repeats",
            _asked,
            "More rows are taken of a source than it has: rows would be repeated, and learnt by heart.",
        ),
        Misconception(
            "filled-up-from-others",
            _refilled,
            "What one source lacks is filled up from the others: the total is right, the shares are not.",
        ),
        Misconception(
            "equal-shares",
            _equal,
            "All sources give the same number of rows, whatever their shares.",
        ),
        Misconception(
            "as-they-come",
            lambda available, shares, total: [
                min(total, sum(available)) * have // max(sum(available), 1) for have in available
            ],
            "Sources are mixed in proportion to how many rows they have; asked for are the stated shares.",
        ),
    ),
    hints=(
        "How many rows in all can there be if source 0 alone is looked at? `100 * available[0] // shares[0]`.",
        "n is the smallest of those numbers and of `total`.",
        "`[n * share // 100 for share in shares]`",
    ),
    sources=("labkit.pipeline.stages:stage_rows",),
)
