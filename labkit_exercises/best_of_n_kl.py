"""Exercise of notebook 06: how far from the policy best-of-n goes."""

from __future__ import annotations

import math

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def best_of_n_kl(n: int) -> float:
    import math

    return math.log(n) - (n - 1) / n


EXERCISE = Exercise(
    name="best-of-n-kl",
    title="The KL of best-of-n",
    notebook="06_over_optimization",
    spec=(
        "Draw n answers, give the best one. Return KL(best-of-n || policy) in nats of a whole answer, for scores that "
        "never tie.\n\n"
        "Derive it: let u in [0, 1] be the share of answers that score lower than the one given (its rank). Under the "
        "policy u is uniform: density 1. The best of n has u as the largest of n such numbers: density n u^(n−1). The "
        "log-probs of the answers themselves cancel, so the KL is the integral of n u^(n−1) · log(n u^(n−1)) over u "
        "from 0 to 1. (You will need the mean of log u under that density: −1/n.)"
    ),
    stub="def best_of_n_kl(n: int) -> float:\n    raise NotImplementedError\n",
    reference=best_of_n_kl,
    literal=(
        Case((2,), "log 2 - 1/2 = 0.193"),
        Case((1,), "one answer: the policy itself, at distance 0"),
        Case((4,), "log 4 - 3/4 = 0.636"),
        Case((64,), "64 times the sampling, and only 3.17 nats"),
    ),
    random=lambda generator: Case((generator.randint(1, 2000),)),
    misconceptions=(
        Misconception(
            "log-n",
            lambda n: math.log(n),
            "log n is the most that it can be: it would hold if the best answer always had density n. Its density is "
            "n u^(n-1), which is n only at the very top (u = 1); the mean of (n-1) log u has to be added.",
        ),
        Misconception(
            "plus",
            lambda n: math.log(n) + (n - 1) / n,
            "The second term has the wrong sign: log u is negative, so it lowers the KL.",
        ),
        Misconception(
            "bits",
            lambda n: math.log2(n) - (n - 1) / n,
            "The first term is in bits (log2), the second in nats: use the natural logarithm.",
            (lambda n: (math.log(n) - (n - 1) / n) / math.log(2),),
        ),
        Misconception(
            "one-over-n",
            lambda n: math.log(n) - 1 / n,
            "The mean of log u is -1/n, but it stands with the factor n - 1. At n = 1 the KL must be 0.",
        ),
        Misconception(
            "other-direction",
            lambda n: (n - 1) - math.log(n),
            "This is KL(policy || best-of-n), with the uniform density in front. Here one draws from best-of-n: its "
            "density n u^(n-1) is the weight.",
        ),
        Misconception(
            "n-minus-one",
            lambda n: (n - 1) / n,
            "Only the second term is there. log n, the density at the top, comes first.",
            (lambda n: -(n - 1) / n,),
        ),
    ),
    hints=(
        "log(n u^(n-1)) = log n + (n - 1) log u. Take the mean of both terms.",
        "The mean of log u is -1/n, so the second term is -(n - 1)/n.",
        "`math.log(n)` is the natural logarithm. Check that n = 1 gives 0.",
    ),
    sources=("labkit.evaluation.selection:kl_of_best_of_n",),
)
