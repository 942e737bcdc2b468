"""What k samples of a problem are worth, and what they cost, from one recording of N >= k samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labkit.evaluation.intervals import bootstrap_interval
from labkit.evaluation.selection import expected_best_of_n, powers_of_two


@dataclass(frozen=True)
class Point:
    """One point of a curve: mean generated tokens per problem, accuracy and its 95 % interval over problems.

    `setting` is k, a budget or a number of extensions; `per_problem` are the accuracies that the interval is over.
    """

    setting: int
    tokens: float
    accuracy: float
    interval: tuple[float, float]
    per_problem: Float[np.ndarray, " problems"]


def point(setting: int, tokens: Float[np.ndarray, " problems"], accuracy: Float[np.ndarray, " problems"]) -> Point:
    """A point from tokens and accuracy problem by problem."""
    return Point(setting, float(tokens.mean()), float(accuracy.mean()), bootstrap_interval(accuracy), accuracy)


def majority_curve(
    votes: Int[np.ndarray, "problems samples"],
    right: Bool[np.ndarray, "problems samples"],
    lengths: Int[np.ndarray, "problems samples"],
    ks: Sequence[int] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> list[Point]:
    """Accuracy of the majority of k samples, for each k, next to what they cost.

    `votes`: a number for each different answer to a problem, negative for no vote. For each k the mean over `draws`
    random choices of k of the N samples, in random order; ties go to the answer that comes first, no vote at all is
    wrong. k = N is one choice in different orders.

    >>> votes = np.array([[0, 0, 1, -1]])
    >>> [p.accuracy for p in majority_curve(votes, votes == 0, np.full((1, 4), 10), ks=[4])]
    [1.0]
    """
    rng = np.random.default_rng(seed)
    total = votes.shape[1]
    order = np.argsort(rng.random((draws, total)), axis=1)
    curve = []
    for k in powers_of_two(total) if ks is None else ks:
        accuracy = np.array([_majority_right(v, r, order[:, :k]) for v, r in zip(votes, right, strict=True)])
        curve.append(point(k, k * lengths.mean(1), accuracy))
    return curve


def _majority_right(
    votes: Int[np.ndarray, " samples"], right: Bool[np.ndarray, " samples"], chosen: Int[np.ndarray, "draws k"]
) -> float:
    """Share of the draws whose commonest vote is right; an answer is right where its samples are."""
    answers = np.unique(votes[votes >= 0])
    if not len(answers):
        return 0.0
    correct = np.array([right[votes == answer].all() for answer in answers])
    cast = votes[chosen][:, :, None] == answers  # [draws, k, answers]
    counts, first = cast.sum(1), np.where(cast.any(1), cast.argmax(1), chosen.shape[1])
    # Of the most votes, the earliest: counts weigh more than any position.
    winner = (counts * (chosen.shape[1] + 1) - first).argmax(1)
    return float((correct[winner] & (counts.max(1) > 0)).mean())


def best_of_n_accuracy(
    scores: Float[np.ndarray, "problems samples"],
    right: Bool[np.ndarray, "problems samples"],
    lengths: Int[np.ndarray, "problems samples"],
    ns: Sequence[int] | None = None,
) -> list[Point]:
    """Accuracy of the best of n by `scores`, for each n, exactly in expectation over draws; ties are shared evenly.

    With `right` itself as scores this is pass@n: the upper bound of all selection.

    >>> right = np.array([[True, False, False, False]])
    >>> [round(p.accuracy, 2) for p in best_of_n_accuracy(right.astype(float), right, np.full((1, 4), 10))]
    [0.25, 0.5, 1.0]
    """
    values = right.astype(float)
    return [
        point(n, n * lengths.mean(1), expected_best_of_n(scores, n, values))
        for n in (powers_of_two(right.shape[1]) if ns is None else ns)
    ]


def until_accepted(
    accepted: Bool[np.ndarray, "problems samples"],
    right: Bool[np.ndarray, "problems samples"],
    lengths: Int[np.ndarray, "problems samples"],
    ns: Sequence[int] | None = None,
) -> list[Point]:
    """Samples one after another until one is accepted, at most n; the last one answers where none is.

    The accuracy is that of best-of-n by `accepted`, up to chance; the cost is lower, since easy problems stop early.
    Averaged over the n-long runs that begin at each of the N samples, going round.

    >>> accepted = np.array([[False, True]])
    >>> [(p.tokens, p.accuracy) for p in until_accepted(accepted, accepted, np.array([[10, 20]]), ns=[2])]
    [(25.0, 1.0)]
    """
    total = right.shape[1]
    curve = []
    for n in powers_of_two(total) if ns is None else ns:
        runs = (np.arange(total)[:, None] + np.arange(n)) % total  # [starts, n]
        yes = accepted[:, runs]
        last = np.where(yes.any(2), yes.argmax(2), n - 1)  # [problems, starts]
        spent = np.take_along_axis(lengths[:, runs].cumsum(2), last[:, :, None], 2)[:, :, 0]
        correct = np.take_along_axis(right[:, runs], last[:, :, None], 2)[:, :, 0]
        curve.append(point(n, spent.mean(1), correct.mean(1)))
    return curve
