"""Selection: estimators against exact enumeration of all draws, the KL against exact sums, controls against chance."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from labkit import load_task
from labkit.errors import UserError
from labkit.evaluation.selection import (
    best_of_n,
    best_of_n_curve,
    best_of_n_weights,
    choose_rows,
    expected_best_of_n,
    kl_of_best_of_n,
    kl_of_levels,
    measured_kl_of_best_of_n,
    rejection_sample,
)
from labkit.models import Policy

TIED = np.array([2.0, -1.0, 2.0, 0.5, 0.5, 0.5])
DISTINCT = np.array([0.3, 1.7, -2.0, 0.9, 0.1])


# ------------------------------------------------------------------------------------------------ estimators


@pytest.mark.parametrize("scores", [TIED, DISTINCT], ids=["tied", "distinct"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_weights_are_the_share_of_all_draws_that_a_sample_wins(scores: np.ndarray, n: int):
    wins = np.zeros(len(scores))
    draws = list(itertools.combinations(range(len(scores)), n))
    for draw in draws:
        best = max(scores[i] for i in draw)
        winners = [i for i in draw if scores[i] == best]
        wins[winners] += 1 / len(winners) / len(draws)
    assert np.allclose(best_of_n_weights(scores, n), wins, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_estimate_from_more_samples_is_unbiased(n: int):
    """Averaged over EVERY sample of N = 4 answers, it is what best-of-n gets: proxy and gold, ties included."""
    p = np.array([0.2, 0.5, 0.1, 0.2])
    proxy, gold = np.array([1.0, 0.0, 2.0, 2.0]), np.array([3.0, -1.0, 0.0, 7.0])

    def expectation(size: int, value: Callable[[np.ndarray], float]) -> float:
        draws = np.array(list(itertools.product(range(4), repeat=size)))
        return sum(p[draw].prod() * value(draw) for draw in draws)

    def winner(values: np.ndarray, draw: np.ndarray) -> float:
        return float(values[draw][proxy[draw] == proxy[draw].max()].mean())

    for values in (proxy, gold):
        truth = expectation(n, lambda draw, v=values: winner(v, draw))
        estimate = expectation(4, lambda draw, v=values: expected_best_of_n(proxy[draw][None], n, v[draw][None])[0])
        assert math.isclose(truth, estimate, abs_tol=1e-12)


@pytest.mark.parametrize("n", [0, 6])
def test_more_than_there_are_cannot_be_drawn(n: int):
    with pytest.raises(ValueError, match="needs 1 <= n <= 5"):
        best_of_n_weights(DISTINCT, n)


# -------------------------------------------------------------------------------------------------------- KL


def exact_kl(p: np.ndarray, scores: np.ndarray, n: int) -> float:
    """KL(best-of-n || policy) from the definition: every draw of n answers is listed."""
    chosen = np.zeros(len(p))
    for draw in itertools.product(range(len(p)), repeat=n):
        best = max(scores[i] for i in draw)
        winners = [i for i in draw if scores[i] == best]
        for i in winners:
            chosen[i] += p[list(draw)].prod() / len(winners)
    return float(sum(q * math.log(q / p[i]) for i, q in enumerate(chosen) if q > 0))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_only_the_levels_of_the_score_matter(n: int):
    """Answers of equal score are re-weighed alike, so the KL over answers is the KL over levels."""
    p = np.array([0.1, 0.3, 0.25, 0.15, 0.2])
    scores = np.array([1.0, 0.0, 1.0, 2.0, 0.0])
    levels = np.array([0.5, 0.35, 0.15])
    exact = exact_kl(p, scores, n)
    assert math.isclose(exact, kl_of_levels(levels, n), abs_tol=1e-12)
    assert exact <= kl_of_best_of_n(n) + 1e-12
    if n > 1:
        assert exact < kl_of_best_of_n(n) - 0.05  # ties make the formula an overstatement


@pytest.mark.parametrize("n", [1, 2, 7, 32])
def test_without_ties_it_is_the_formula(n: int):
    assert abs(kl_of_levels(np.full(4000, 1 / 4000), n) - kl_of_best_of_n(n)) < 1e-4
    # Numerically, from the density n u^(n-1) of the best of n uniform numbers.
    u = (np.arange(200_000) + 0.5) / 200_000
    density = n * u ** (n - 1)
    logs = np.log(n) + (n - 1) * np.log(u)
    assert math.isclose((density * logs).mean(), kl_of_best_of_n(n), abs_tol=1e-4)


def test_measured_from_samples_it_comes_near_the_truth():
    levels = np.array([0.5, 0.35, 0.15])
    rng = np.random.default_rng(0)
    drawn = rng.choice(3, size=(400, 128), p=levels).astype(float)
    values = measured_kl_of_best_of_n(drawn, 4)
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert abs(values.mean() - kl_of_levels(levels, 4)) < 4 * error + 0.01
    # Without ties and with N = 4 n, it lacks (n / N)^2 / 24, as its docstring says.
    short = measured_kl_of_best_of_n(rng.normal(size=(3, 32)), 8)
    assert np.allclose(kl_of_best_of_n(8) - short, 1 / 16 / 24, atol=2e-4)


def test_the_kl_grows_with_n_and_is_never_negative():
    values = [kl_of_best_of_n(n) for n in range(1, 50)]
    assert values[0] == 0 and all(a < b for a, b in itertools.pairwise(values))
    assert kl_of_levels(np.array([1e-9, 1 - 1e-9]), 1) == 0
    assert kl_of_levels(np.array([0.9, 0.1, 0.0]), 10_000) == pytest.approx(math.log(10))
    for wrong in (kl_of_best_of_n, lambda n: kl_of_levels(np.array([1.0]), n)):
        with pytest.raises(ValueError, match="n >= 1"):
            wrong(0)


# ----------------------------------------------------------------------------------------------------- curve


def test_a_curve_has_proxy_gold_and_kl_for_each_n():
    rng = np.random.default_rng(1)
    proxy = rng.normal(size=(60, 32))
    gold = proxy - 0.5 * proxy**2
    rows = best_of_n_curve(proxy, {"gold": gold})
    assert [row["n"] for row in rows] == [1, 2, 4, 8]
    assert rows[0]["score"] == pytest.approx(proxy.mean()) and rows[0]["gold"] == pytest.approx(gold.mean())
    # The maximum of n normals (Royston 1982, table): 0.5642, 1.0294, 1.4236 for n = 2, 4, 8.
    assert np.allclose([row["score"] for row in rows[1:]], [0.5642, 1.0294, 1.4236], atol=0.08)
    for row in rows:
        assert row["kl"] == kl_of_best_of_n(row["n"]) and 0 <= row["kl"] - row["kl_measured"] < 0.01
        for name in ("score", "gold"):
            low, high = row[f"{name}_interval"]
            assert low <= row[name] <= high
    assert [row["n"] for row in best_of_n_curve(proxy, ns=(3, 32))] == [3, 32]


def test_a_curve_of_broken_scores_is_refused():
    with pytest.raises(UserError, match="1 of 8 scores are NaN or infinite"):
        best_of_n_curve(np.array([[0.0, 1.0, math.nan, 2.0], [0.0, 1.0, 3.0, 2.0]]))
    with pytest.raises(ValueError, match="prompts, samples"):
        best_of_n_curve(np.zeros((0, 4)))


# ---------------------------------------------------------------------------------------- drawing and choosing


def length(prompts: list[str], completions: list[str]) -> list[float]:
    return [float(len(text)) for text in completions]


PROMPTS = ["12+34:", "5,6,1->30:", "7+8:"]


def test_best_of_n_takes_the_best_and_the_control_any(tiny: Policy):
    chosen = best_of_n(tiny, PROMPTS, length, 6, max_new_tokens=24, seed=3)
    assert [row["prompt"] for row in chosen.rows] == PROMPTS == [row["prompt"] for row in chosen.control]
    assert chosen.scores.shape == (3, 6) and chosen.kept.sum() == 3
    texts = np.array(chosen.rollouts.completions).reshape(3, 6)
    for row, control, scores, drawn in zip(chosen.rows, chosen.control, chosen.scores, texts, strict=True):
        assert row["score"] == scores.max() == len(row["completion"])
        assert control["completion"] in drawn and control["score"] == len(control["completion"])
    assert chosen.score > chosen.control_score
    assert "a blind choice of as many" in str(chosen)
    again = best_of_n(tiny, PROMPTS, length, 6, max_new_tokens=24, seed=3)
    assert (again.rows, again.control) == (chosen.rows, chosen.control)


def test_with_one_sample_there_is_nothing_to_choose(tiny: Policy):
    chosen = best_of_n(tiny, PROMPTS, length, 1, max_new_tokens=8)
    assert chosen.rows == chosen.control


def test_the_control_is_a_fair_draw(tiny: Policy):
    """Over many seeds its mean score is that of all candidates: it must not peek."""
    from labkit.evaluation.selection import _blind_rows

    scores = np.arange(12.0).reshape(2, 6)
    candidates = np.ones((2, 6), dtype=bool)
    candidates[1, 5] = False
    kept = choose_rows(scores, candidates, keep=2)
    counts = np.zeros((2, 6))
    for seed in range(3000):
        blind = _blind_rows(kept, candidates, np.random.default_rng(seed))
        assert blind.sum(1).tolist() == [2, 2] and not (blind & ~candidates).any()
        counts += blind
    expected = np.array([[1000] * 6, [1200] * 5 + [0]])
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(1000)).all()


def test_a_task_scores_its_own_problems(tiny: Policy):
    task = load_task("addition")
    problems = task.sample(8, "train", seed=0)
    kept = rejection_sample(tiny, problems, task, 8, keep=None, threshold=1.0, unique=True)
    assert kept.rows and all(row["score"] == 1 for row in kept.rows)
    pairs = [(row["prompt"], row["completion"]) for row in kept.rows]
    assert len(set(pairs)) == len(pairs)
    by_prompt = {p.prompt: p for p in problems}
    for row in kept.control:
        assert row["score"] == task.score(row["completion"], by_prompt[row["prompt"]]).reward
    assert len(kept.control) == len(kept.rows) and kept.control_score < 1
    with pytest.raises(UserError, match="give its problems"):
        best_of_n(tiny, PROMPTS, task, 2)


def test_a_reward_model_may_score_with_a_tensor(tiny: Policy):
    class Model:
        def score(self, prompts: list[str], completions: list[str]) -> torch.Tensor:
            assert len(prompts) == len(completions) == 12
            return torch.tensor([-float(len(text)) for text in completions], requires_grad=True)

    chosen = best_of_n(tiny, PROMPTS, Model(), 4, max_new_tokens=16)
    assert (chosen.scores.max(1) == [row["score"] for row in chosen.rows]).all() and chosen.score < 0


def test_top_takes_the_best_of_all_prompts():
    scores = np.array([[5.0, 1.0, 4.0], [3.0, 2.0, 9.0]])
    everything = np.ones_like(scores, dtype=bool)
    assert choose_rows(scores, everything, keep=None, top=3).tolist() == [[True, False, True], [False, False, True]]
    assert choose_rows(scores, everything, keep=1, top=1).tolist() == [[False] * 3, [False, False, True]]
    assert choose_rows(scores, everything, keep=2, threshold=4.0).sum() == 3
    assert choose_rows(scores, everything, keep=9, top=9).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1e9}, r"none of 12 answers has a score of 1e\+09 or more \(the best has [\d.]+\): take easier"),
        ({"n": 0}, "n must be 1 or more, not 0"),
        ({"keep": 0}, "keep must be 1 or more, not 0"),
        ({"top": -1}, "top must be 1 or more, not -1"),
        ({"scorer": lambda p, c: [math.nan, *[0.0] * 11]}, "1 of 12 scores are NaN or infinite"),
        ({"scorer": lambda p, c: [0.0]}, "1 numbers for 12 answers"),
        ({"prompts": []}, "no prompts to select"),
    ],
)
def test_wrong_arguments_and_empty_selections_are_named(tiny: Policy, options: dict[str, Any], words: str):
    given: dict[str, Any] = {"prompts": PROMPTS, "scorer": length, "n": 4, "max_new_tokens": 8} | options
    with pytest.raises(UserError, match=words):
        rejection_sample(tiny, **given)
