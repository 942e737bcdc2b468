"""Exercise of notebook 00: the chance that one of k samples is right, without bias."""

from __future__ import annotations

import math
import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def pass_at_k(n: int, c: int, k: int) -> float:
    from labkit.evaluation.report import pass_at_k as estimate

    return estimate(n, c, k)


def _factorials(n: int, c: int, k: int) -> float:
    f = math.factorial
    return 1 - f(n - c) * f(n - k) / (f(n - c - k) * f(n))


def _log_factorials(n: int, c: int, k: int) -> float:
    g = math.lgamma
    return 1 - math.exp(g(n - c + 1) + g(n - k + 1) - g(n - c - k + 1) - g(n + 1))


def _zero_when_few_wrong(n: int, c: int, k: int) -> float:
    return 0.0 if n - c < k else 1 - math.comb(n - c, k) / math.comb(n, k)


def _random_counts(generator: random.Random) -> Case:
    n = generator.randint(2, 40)
    return Case((n, generator.randint(0, n), generator.randint(1, n)))


EXERCISE = Exercise(
    name="pass-at-k",
    title="pass@k without bias",
    notebook="00_start_here",
    spec=(
        "You drew `n` samples for a problem and `c` of them are right (0 ≤ c ≤ n). Return the chance that a "
        "draw of `k` of these samples (1 ≤ k ≤ n), all different, holds at least one right one. Its mean "
        "over problems is the unbiased estimate of pass@k (Chen et al. 2021, *Evaluating large language "
        "models trained on code*)."
    ),
    stub="def pass_at_k(n: int, c: int, k: int) -> float:\n    raise NotImplementedError\n",
    reference=pass_at_k,
    literal=(
        Case((4, 2, 1), "with k = 1 it is the share of right ones"),
        Case((4, 2, 2), "of the 6 pairs only one has no right sample"),
        Case((4, 0, 2), "none is right"),
        Case((4, 3, 2), "only one is wrong: each pair holds a right one"),
        Case((4, 4, 4), "all are right"),
        Case((10, 3, 5), "of the 252 draws of 5, 21 have no right sample"),
        Case((16, 1, 8), "one right sample, half of all drawn"),
    ),
    random=_random_counts,
    misconceptions=(
        Misconception(
            "with-replacement",
            lambda n, c, k: 1 - (1 - c / n) ** k,
            "This is the chance when the k samples are drawn WITH replacement. It is too low on average: "
            "one sample may be drawn twice. Count the draws of k different samples: C(n, k) in all, C(n-c, "
            "k) without a right one.",
        ),
        Misconception(
            "ignores-k",
            lambda n, c, k: c / n,
            "c/n is pass@1, whatever k is: with more draws the chance to hit a right sample grows.",
        ),
        Misconception(
            "adds-chances",
            lambda n, c, k: min(1.0, k * c / n),
            "k·c/n adds up the chances of the k draws, and counts a draw with two right samples twice. Go "
            "by the complement: the chance that NONE of the k is right.",
            (lambda n, c, k: k * c / n,),
        ),
        Misconception(
            "all-k",
            lambda n, c, k: math.comb(c, k) / math.comb(n, k),
            "This is the chance that ALL k samples are right. pass@k asks for at least one: 1 minus the "
            "chance of none.",
        ),
        Misconception(
            "none-right",
            lambda n, c, k: math.comb(n - c, k) / math.comb(n, k),
            "This is the chance that NONE of the k samples is right: 1 minus it is what is asked.",
        ),
        Misconception(
            "few-wrong",
            _factorials,
            "It fails where fewer than k samples are wrong (n - c < k). There every draw of k holds a right "
            "one, and the answer is 1.",
            (_log_factorials, _zero_when_few_wrong),
        ),
    ),
    hints=(
        "It is easier to count the draws in which NO sample is right.",
        "There are C(n, k) draws, of which C(n-c, k) take only wrong samples. `math.comb` counts them.",
        "What does `math.comb(1, 2)` return? Does that suit a draw of 2 where only 1 sample is wrong?",
    ),
    sources=("labkit.evaluation.report:pass_at_k",),
)
