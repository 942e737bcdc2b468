"""Selection instead of training: best-of-n and rejection sampling, each with a random control of the same budget.

Best-of-n draws n answers and returns the one with the highest score; rejection sampling keeps such answers to train
on. Both raise a score without changing a weight, so both over-optimise it just as RL does. The pure functions below say
how far a selection moves away from the policy (its KL) and what it gains, from ranks alone.

The control takes as many answers to the same prompts, drawn at the same cost, and picks blindly. The difference is what
selection is worth (Lambert, *RLHF book*, on rejection sampling).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Shaped

from labkit.errors import NothingKeptError, UserError
from labkit.evaluation.intervals import bootstrap_interval
from labkit.models import Policy
from labkit.rollouts import Rollouts, score
from labkit.sampling import sample
from labkit.tasks import Problem, Task


class ScoresAnswers(Protocol):
    """What selection needs of a reward model."""

    def score(self, prompts: list[str], completions: list[str]) -> Any:
        """One number per answer, in a sequence or a tensor [batch]."""
        ...


Scorer = Task | ScoresAnswers | Callable[[list[str], list[str]], Any]


# ------------------------------------------------------------------------------------- what follows from ranks


def kl_of_best_of_n(n: int) -> float:
    """KL(best-of-n || policy) in nats of a whole answer: log n - (n - 1) / n.

    Exact where no two answers have the same score, whatever the policy and the score (Stiennon et al. 2020, appendix
    G.3); where scores tie it is an upper bound (Beirami et al. 2024): see `measured_kl_of_best_of_n`. Raises ValueError
    for n < 1.

    >>> kl_of_best_of_n(1), round(kl_of_best_of_n(4), 4), round(kl_of_best_of_n(64), 4)
    (0.0, 0.6363, 3.1745)
    """
    if n < 1:
        raise ValueError(f"best-of-n needs n >= 1, not {n}")
    return math.log(n) - (n - 1) / n


def best_of_n_weights(
    scores: Shaped[np.ndarray, " samples"] | Sequence[float], n: int
) -> Float[np.ndarray, " samples"]:
    """The chance of each of N >= n samples to be chosen, when n of them are drawn without replacement.

    The highest score wins, ties are shared evenly; the weights add up to 1. Then weights @ values is the mean value of
    the winner over all C(N, n) draws. This is an unbiased estimate of what best-of-n gets, with far less noise than one
    draw (pass@k, Chen et al. 2021, does the same for right and wrong). Raises ValueError unless 1 <= n <= N.

    >>> best_of_n_weights([0.3, 0.9, 0.1], 2).round(4).tolist()  # pairs: the middle one wins one of three
    [0.3333, 0.6667, 0.0]
    >>> best_of_n_weights([1.0, 1.0, 0.0], 1).round(4).tolist()
    [0.3333, 0.3333, 0.3333]
    """
    values = np.asarray(scores, dtype=float)
    size = len(values)
    if not 1 <= n <= size:
        raise ValueError(f"best-of-n from {size} samples needs 1 <= n <= {size}, not {n}")
    # C(at or below, n) of the draws are at or below a level; in those that are not all below it, the highest is AT it.
    everything = math.comb(size, n)
    weights = np.zeros(size)
    for level in np.unique(values):
        at, below = values == level, int((values < level).sum())
        wins = math.comb(below + int(at.sum()), n) - math.comb(below, n)
        weights[at] = wins / everything / at.sum()
    return weights


def expected_best_of_n(
    scores: Shaped[np.ndarray, "prompts samples"], n: int, values: Shaped[np.ndarray, "prompts samples"] | None = None
) -> Float[np.ndarray, " prompts"]:
    """Unbiased estimate, prompt by prompt, of the score that best-of-n by `scores` gets.

    With `values` it is the winners' mean value instead: choose by the proxy, evaluate with the gold score. Raises
    UserError for a score that is not finite.

    >>> proxy, gold = np.array([[1.0, 2.0, 3.0]]), np.array([[5.0, 9.0, 1.0]])
    >>> expected_best_of_n(proxy, 2).round(4).tolist()  # (2 + 3 + 3) / 3
    [2.6667]
    >>> expected_best_of_n(proxy, 2, gold).round(4).tolist()  # the winners' gold scores: (9 + 1 + 1) / 3
    [3.6667]
    """
    table = _finite(np.asarray(scores, dtype=float))
    looked_at = table if values is None else values
    return np.array([best_of_n_weights(s, n) @ v for s, v in zip(table, looked_at, strict=True)])


def measured_kl_of_best_of_n(scores: Shaped[np.ndarray, "prompts samples"], n: int) -> Float[np.ndarray, " prompts"]:
    """KL(best-of-n || policy) in nats, prompt by prompt, from the scores of N samples; ties are taken into account.

    The log-probs of the answers cancel. With F the distribution function of the score, an answer of score s has
    pi_n(y) / pi(y) = (F(s)^n - F(s-)^n) / (F(s) - F(s-)): best-of-n only re-weights the levels of the score, and among
    equal scores it chooses as the policy does. F is estimated by shares of the N samples; the rest is arithmetic.

    So the result is the exact KL of best-of-n on these N samples. A finite sample lacks the highest levels, so it is
    below the true KL, without ties by (n / N)^2 / 24, which is negligible from N = 4 n on. Where all N scores differ it
    agrees with `kl_of_best_of_n`; where they repeat it shows how far the formula overstates the distance.

    >>> measured_kl_of_best_of_n(np.array([[0.0, 1.0]]), 2).round(4).tolist()  # 1/4 log 1/2 + 3/4 log 3/2
    [0.1308]
    >>> measured_kl_of_best_of_n(np.array([[7.0, 7.0, 7.0]]), 8).tolist()  # nothing to choose
    [0.0]
    """
    return np.array([kl_of_levels(np.unique(row, return_counts=True)[1] / len(row), n) for row in scores])


def kl_of_levels(probabilities: Shaped[np.ndarray, " levels"], n: int) -> float:
    """The exact KL of best-of-n for a score whose levels, from the lowest up, have these probabilities.

    >>> round(kl_of_levels(np.full(2, 0.5), 4), 3), round(kl_of_best_of_n(4), 3)  # two levels, many ties
    (0.459, 0.636)
    """
    if n < 1:
        raise ValueError(f"best-of-n needs n >= 1, not {n}")
    p = np.asarray(probabilities, dtype=float)
    p = p[p > 0]
    up_to = np.minimum(np.cumsum(p), 1.0)
    chosen = np.diff(up_to**n, prepend=0.0)
    # A level that is never chosen adds nothing: x log x is 0 at 0.
    some = chosen > 0
    return max(0.0, float((chosen[some] * np.log(chosen[some] / p[some])).sum()))


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`.

    >>> powers_of_two(20)
    [1, 2, 4, 8, 16]
    """
    return [2**i for i in range(most.bit_length())]


def best_of_n_curve(
    scores: Shaped[np.ndarray, "prompts samples"],
    values: Mapping[str, Shaped[np.ndarray, "prompts samples"]] | None = None,
    ns: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """What best-of-n by `scores` gets for each n, from the same samples: one dict per n, as `plots` draws them.

    Keys: `n`; `kl` = log n - (n - 1) / n; `kl_measured`, the mean of `measured_kl_of_best_of_n` over prompts; `score`
    with its 95 % bootstrap `score_interval` over prompts; the same for each name in `values`, such as gold. The random
    control is the row of n = 1: a blind choice among n answers gets the mean of all. `ns`: by default powers of two up
    to a quarter of the samples; for larger n a few samples decide.

    >>> rng = np.random.default_rng(0)
    >>> proxy = rng.uniform(size=(200, 16))
    >>> [(row["n"], round(row["kl"], 2), round(row["score"], 1)) for row in best_of_n_curve(proxy)]
    [(1, 0.0, 0.5), (2, 0.19, 0.7), (4, 0.64, 0.8)]
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"scores must be [prompts, samples], not of shape {list(table.shape)}")
    rows = []
    for n in ns if ns is not None else powers_of_two(max(1, table.shape[1] // 4)):
        row: dict[str, Any] = {"n": n, "kl": kl_of_best_of_n(n)}
        row["kl_measured"] = float(measured_kl_of_best_of_n(table, n).mean())
        for name, looked_at in {"score": table, **(values or {})}.items():
            each = expected_best_of_n(table, n, np.asarray(looked_at, dtype=float))
            row[name], row[f"{name}_interval"] = float(each.mean()), bootstrap_interval(each)
        rows.append(row)
    return rows


# ------------------------------------------------------------------------------------------- drawing and choosing


@dataclass
class Selection:
    """The selected answers, and those of a blind choice of the same budget.

    Rows are {"prompt", "completion", "score"}, ready for fine-tuning. `control` has as many rows for each prompt as
    `rows`. `scores` [prompts, n] are those of all candidates, `kept` marks the selected ones among them; `rollouts`
    holds the candidates, prompt by prompt.
    """

    rows: list[dict[str, Any]]
    control: list[dict[str, Any]]
    scores: Float[np.ndarray, "prompts n"]
    kept: Shaped[np.ndarray, "prompts n"]
    rollouts: Rollouts

    @property
    def score(self) -> float:
        """Mean score of the selected rows."""
        return float(np.mean([row["score"] for row in self.rows]))

    @property
    def control_score(self) -> float:
        """Mean score of the control's rows."""
        return float(np.mean([row["score"] for row in self.control]))

    def __str__(self) -> str:
        candidates, budget = self.scores.size, int(self.rollouts.lengths.sum())
        return (
            f"{len(self.rows)} of {candidates} answers ({budget} tokens drawn): mean score {self.score:.3f}, "
            f"a blind choice of as many {self.control_score:.3f}"
        )


def best_of_n(
    policy: Policy,
    prompts: Sequence[str] | Sequence[Problem],
    scorer: Scorer,
    n: int,
    *,
    seed: int = 0,
    max_new_tokens: int | None = None,
    temperature: float = 1.0,
    **options: Any,
) -> Selection:
    """The best of n answers to each prompt, and as the control one of the same n picked blindly.

    `scorer`: a task (then `prompts` are its problems), a reward model (anything with `score(prompts, completions)`), or
    a function of prompts and completions that returns one number per answer. Ties go to the answer drawn first. Other
    `options` are those of `sample` (top_p, stop, ...). Raises UserError for a score that is not finite.
    """
    return rejection_sample(
        policy,
        prompts,
        scorer,
        n,
        keep=1,
        seed=seed,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        **options,
    )


def rejection_sample(
    policy: Policy,
    prompts: Sequence[str] | Sequence[Problem],
    scorer: Scorer,
    n: int,
    *,
    keep: int | None = 1,
    threshold: float | None = None,
    top: int | None = None,
    unique: bool = False,
    seed: int = 0,
    max_new_tokens: int | None = None,
    temperature: float = 1.0,
    **options: Any,
) -> Selection:
    """Answers to train on: n are drawn for each prompt, and those that pass are kept.

    Kept are, of the answers with a score of `threshold` or more (None: of all), the best `keep` of each prompt (None:
    all), and of these the best `top` over all prompts (None: all). `unique`: of equal answers to one prompt only the
    first is a candidate, for the control too. `scorer`, `options`: as for `best_of_n`.

    Raises NothingKeptError (a UserError) where nothing passes, instead of leaving nothing to train on.
    """
    if not prompts:
        raise UserError("no prompts to select answers for")
    for name, value in (("n", n), ("keep", keep), ("top", top)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be 1 or more, not {value}")
    texts = [p.prompt if isinstance(p, Problem) else p for p in prompts]
    if max_new_tokens is None:
        max_new_tokens = scorer.max_new_tokens if isinstance(scorer, Task) else 256
    if isinstance(scorer, Task):
        options.setdefault("stop", scorer.stop)
    drawn = sample(policy, texts, n=n, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, **options)
    scores = _scores(scorer, drawn, prompts, n)
    candidates = _first_of_each(drawn.completions, n) if unique else np.ones(scores.shape, dtype=bool)
    kept = choose_rows(scores, candidates, keep, threshold, top)
    if threshold is not None and not kept.any():  # without a threshold something is always kept
        raise NothingKeptError(scores.size, threshold, float(scores.max()))
    blind = _blind_rows(kept, candidates, np.random.default_rng(seed))
    return Selection(_rows(drawn, scores, kept), _rows(drawn, scores, blind), scores, kept, drawn)


def choose_rows(
    scores: Float[np.ndarray, "prompts n"],
    candidates: Shaped[np.ndarray, "prompts n"],
    keep: int | None = 1,
    threshold: float | None = None,
    top: int | None = None,
) -> Shaped[np.ndarray, "prompts n"]:
    """The answers that `rejection_sample` keeps, as a table of bool; ties go to the first.

    >>> scores = np.array([[0.1, 0.9, 0.9], [0.2, 0.3, 0.4]])
    >>> choose_rows(scores, scores > -1).astype(int).tolist()
    [[0, 1, 0], [0, 0, 1]]
    >>> choose_rows(scores, scores > -1, keep=None, threshold=0.3).astype(int).tolist()
    [[0, 1, 1], [0, 1, 1]]
    >>> choose_rows(scores, scores > -1, keep=None, top=2).astype(int).tolist()
    [[0, 1, 1], [0, 0, 0]]
    """
    kept = candidates if threshold is None else candidates & (scores >= threshold)
    if keep is not None:
        # Rank within the prompt: 0 is the best; answers that are no candidates come last.
        order = np.argsort(-np.where(kept, scores, -np.inf), axis=1, kind="stable")
        kept = kept & (np.argsort(order, axis=1, kind="stable") < keep)
    if top is not None and kept.sum() > top:
        best = np.argsort(-np.where(kept, scores, -np.inf), axis=None, kind="stable")[:top]
        chosen = np.zeros(kept.size, dtype=bool)
        chosen[best] = True
        kept = chosen.reshape(kept.shape)
    return kept


def _scores(scorer: Scorer, drawn: Rollouts, prompts: Sequence[Any], n: int) -> Float[np.ndarray, "prompts n"]:
    if isinstance(scorer, Task):
        if not all(isinstance(p, Problem) for p in prompts):
            raise UserError("to score with a task, give its problems (task.sample(...)) in place of plain prompts")
        raw: Any = score(drawn, scorer, list(prompts)).rewards
    else:
        give_scores = scorer.score if hasattr(scorer, "score") else scorer
        raw = give_scores(drawn.prompts, drawn.completions)
    if hasattr(raw, "detach"):
        raw = raw.detach().float().cpu().numpy()
    values = np.asarray(raw, dtype=float)
    if values.shape != (len(drawn),):
        raise UserError(f"the scorer gave {values.size} numbers for {len(drawn)} answers; it must give one an answer")
    return _finite(values.reshape(-1, n))


def _finite(scores: np.ndarray) -> np.ndarray:
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise UserError(f"{bad} of {scores.size} scores are NaN or infinite: nothing can be ranked by them")
    return scores


def _first_of_each(completions: list[str], n: int) -> np.ndarray:
    first = [text not in completions[i - i % n : i] for i, text in enumerate(completions)]
    return np.array(first).reshape(-1, n)


def _blind_rows(kept: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many candidates of each prompt as were kept, at random."""
    order = np.where(candidates, rng.random(kept.shape), np.inf).argsort(1).argsort(1)
    return order < kept.sum(1, keepdims=True)


def _rows(drawn: Rollouts, scores: np.ndarray, chosen: np.ndarray) -> list[dict[str, Any]]:
    flat = scores.ravel()
    return [
        {"prompt": drawn.prompts[i], "completion": drawn.completions[i], "score": float(flat[i])}
        for i in np.flatnonzero(chosen)
    ]
