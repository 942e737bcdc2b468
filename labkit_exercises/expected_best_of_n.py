"""Exercise of notebook 06: every n from one set of N samples."""

from __future__ import annotations

import random
import statistics

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def expected_best_of_n(proxy: list[float], gold: list[float], n: int) -> float:
    import math

    size, ranked = len(proxy), sorted(range(len(proxy)), key=lambda i: proxy[i])
    wins = [math.comb(below, n - 1) / math.comb(size, n) for below in range(size)]
    return sum(win * gold[i] for win, i in zip(wins, ranked, strict=True))


def _with_replacement(proxy: list[float], gold: list[float], n: int) -> float:
    """The winner of n draws that may repeat: the rank r of N has chance (r/N)^n - ((r-1)/N)^n."""
    size, order = len(proxy), sorted(range(len(proxy)), key=proxy.__getitem__)
    return sum((((r + 1) / size) ** n - (r / size) ** n) * gold[i] for r, i in enumerate(order))


def _ranked(by: list[float], values: list[float]) -> list[float]:
    """The values, from the highest of `by` to the lowest."""
    return [values[i] for i in sorted(range(len(by)), key=lambda i: -by[i])]


def _blocks(proxy: list[float], gold: list[float], n: int) -> float:
    starts = range(0, len(proxy) - n + 1, n)
    return statistics.fmean(gold[max(range(s, s + n), key=proxy.__getitem__)] for s in starts)


def _random_samples(generator: random.Random) -> Case:
    size = generator.randint(3, 9)
    proxy = generator.sample(range(20), size)
    gold = [round(generator.uniform(-1, 1), 2) for _ in range(size)]
    return Case(([p / 4 for p in proxy], gold, generator.randint(1, size)))


EXERCISE = Exercise(
    name="expected-best-of-n",
    title="What best-of-n gets, from one set of samples",
    notebook="06_over_optimization",
    spec=(
        "N answers to one prompt, each with its `proxy` score (no two are equal) and its `gold` score. Best-of-n picks "
        "by the PROXY. Return the mean GOLD score of the pick over all draws of n different answers out of these N "
        "(1 ≤ n ≤ N): an unbiased estimate for every n, from one set of samples.\n\n"
        "It is pass@k's trick: count in how many of the C(N, n) draws each answer would have won."
    ),
    stub=(
        "def expected_best_of_n(proxy: list[float], gold: list[float], n: int) -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=expected_best_of_n,
    literal=(
        Case(([1.0, 2.0, 3.0], [0.5, 0.9, 0.1], 2), "three pairs; winners 2, 3, 3: (0.9 + 0.1 + 0.1) / 3"),
        Case(([3.0, 1.0, 2.0], [0.1, 0.5, 0.9], 2), "the same answers in another order"),
        Case(([1.0, 2.0, 3.0], [0.5, 0.9, 0.1], 1), "one draw: the mean of all"),
        Case(([1.0, 2.0, 3.0], [0.5, 0.9, 0.1], 3), "all three drawn: the proxy's favourite"),
        Case(
            ([4.0, 1.0, 3.0, 2.0], [0.0, 1.0, 0.8, 0.4], 2), "six pairs: the winner is 4 three times, 3 twice, 2 once"
        ),
        Case(([4.0, 1.0, 3.0, 2.0], [0.0, 1.0, 0.8, 0.4], 3), "four draws: 4 wins three times, 3 once"),
    ),
    random=_random_samples,
    misconceptions=(
        Misconception(
            "picks-by-gold",
            lambda proxy, gold, n: expected_best_of_n(gold, gold, n),
            "This picks by gold. In practice nobody has the gold score: the PROXY decides which answer wins, gold only "
            "says what the winner was worth.",
        ),
        Misconception(
            "returns-proxy",
            lambda proxy, gold, n: expected_best_of_n(proxy, proxy, n),
            "This is the mean proxy score of the winner, what the optimiser sees. Asked is the winner's GOLD score.",
        ),
        Misconception(
            "with-replacement",
            _with_replacement,
            "Here an answer may be drawn twice. That is biased towards smaller n: some of the n draws coincide. "
            "Count the draws of n DIFFERENT answers, with binomial coefficients.",
        ),
        Misconception(
            "first-n",
            lambda proxy, gold, n: gold[max(range(n), key=proxy.__getitem__)],
            "This looks at the first n answers alone. Unbiased, but one draw: the order of the samples must not "
            "matter, and the other samples are thrown away.",
            (_blocks,),
        ),
        Misconception(
            "top-n-mean",
            lambda proxy, gold, n: statistics.fmean(_ranked(proxy, gold)[:n]),
            "This is the mean of the n best by proxy. Best-of-n gives ONE answer, the best among n that are drawn at "
            "random; it is not always among the best of all N.",
        ),
        Misconception(
            "best-of-all",
            lambda proxy, gold, n: _ranked(proxy, gold)[0],
            "This is best-of-N, whatever n is. For n = 1 it must be the mean of all.",
        ),
    ),
    hints=(
        "Sort the answers by proxy. In how many of the C(N, n) draws is the one at rank r (1 = lowest) the highest?",
        "It must be drawn (1 way), and the other n - 1 must come from the r - 1 below it: C(r-1, n-1) draws.",
        "Add up math.comb(r - 1, n - 1) / math.comb(N, n) times the gold score of rank r.",
    ),
    sources=("labkit.evaluation.selection:best_of_n_weights", "labkit.evaluation.selection:expected_best_of_n"),
)
