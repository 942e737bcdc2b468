"""Held-out evaluation: pass@k, maj@k, and intervals over problems (not over samples)."""

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from labkit.evaluation.intervals import bootstrap_interval
from labkit.evaluation.plain import graded
from labkit.models import Policy
from labkit.progress import progress
from labkit.rollouts import Rollouts, score
from labkit.sampling import fitting, sample
from labkit.tasks import Task
from labkit.verifiers import canonical


def pass_at_k(n: int, c: int, k: int) -> float:
    """An unbiased estimate of the chance that one of k samples or more is right, from n samples with c right ones.

    1 - C(n-c, k) / C(n, k) (Chen et al., 2021, "Evaluating large language models trained on code"). Raises ValueError
    unless 0 <= c <= n and 1 <= k <= n.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 0, 2), pass_at_k(4, 3, 2)
    (0.25, 0.5, 0.0, 1.0)
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass_at_k needs 0 <= c <= n and 1 <= k <= n, not n={n}, c={c}, k={k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def maj_at_k(answers: list[str | None], correct: list[bool], k: int) -> float:
    """Chance that the most common answer of k samples is right, averaged over the n // k disjoint groups of k samples.

    `answers` are compared as text: give them in the form that `labkit.verifiers.canonical` makes of them. Samples
    without an answer do not vote; ties go to the answer that came first (Wang et al., 2023, "Self-consistency"). Raises
    ValueError unless 1 <= k <= n.

    >>> maj_at_k(["7", "7", "9", None], [True, True, False, False], 4)
    1.0
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"maj_at_k needs 1 <= k <= {len(answers)}, not {k}")
    wins = []
    for start in range(0, len(answers) - k + 1, k):
        votes = Counter(answer for answer in answers[start : start + k] if answer is not None)
        right = {a for a, ok in zip(answers[start : start + k], correct[start : start + k], strict=True) if ok}
        wins.append(bool(votes) and votes.most_common(1)[0][0] in right)
    return sum(wins) / len(wins)


@dataclass
class Report:
    """The result of `evaluate`. Rates are shares of all samples; lengths are in completion tokens.

    A sample passes with a reward of 1 or more. Where rewards are graded (a gold score, a reward model) `mean_reward`
    says more than pass@1; its interval is `interval["mean_reward"]`, its values per problem `rewards_per_problem`.
    """

    model: str
    task: str
    problems: int
    samples: int
    pass_at_k: dict[str, float]
    maj_at_k: dict[str, float]
    interval: dict[str, list[float]]
    mean_length: float
    truncated: float
    well_formed: float
    seconds: float
    tokens_per_second: float
    behaviours: dict[str, float] = field(default_factory=dict)
    per_problem: list[float] = field(default_factory=list)
    mean_reward: float = float("nan")
    rewards_per_problem: list[float] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        low, high = self.interval["pass_at_1"]
        most = max(self.pass_at_k, key=int)
        bounds = self.interval.get("mean_reward", [float("nan")] * 2)
        reward = (
            f"mean reward {self.mean_reward:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}], " if graded(vars(self)) else ""
        )
        return (
            f"{self.model} on {self.task}: {reward}pass@1 {self.pass_at_k['1']:.3f} [{low:.3f}, {high:.3f}], "
            f"pass@{most} {self.pass_at_k[most]:.3f}, maj@{most} {self.maj_at_k[most]:.3f}, "
            f"mean length {self.mean_length:.1f} tokens, truncated {self.truncated:.3f}, "
            f"well formed {self.well_formed:.3f} ({self.problems} problems x {self.samples} samples)"
        )


def evaluate(
    policy: Policy,
    task: Task,
    samples: int = 16,
    limit: int = 128,
    *,
    split: str = "test",
    max_new_tokens: int | None = None,
    temperature: float = 1.0,
    seed: int = 1234,
    batch_rows: int = 1024,
    examples: int = 8,
) -> Report:
    """Draws `samples` completions for each of `limit` held-out problems and scores them.

    The same seed gives the same problems and the same random numbers, so that two models can be compared problem by
    problem. `batch_rows`: completions that are drawn at once. `examples`: how many of them the report shows. Prompts
    that the policy can't be given (too long, a special token in them) are left out; UserError where none is left.
    """
    started = time.perf_counter()
    problems = fitting(task, policy, max_new_tokens or task.max_new_tokens).sample(limit, split, seed=seed)
    per_batch = max(1, batch_rows // samples)
    scored: list[Rollouts] = []
    firsts = range(0, len(problems), per_batch)
    with progress(f"evaluating on {len(problems)} problems of {task.name}", len(firsts)) as bar:
        for first in firsts:
            part = problems[first : first + per_batch]
            with bar.part(0.9):
                drawn = sample(
                    policy,
                    [p.prompt for p in part],
                    n=samples,
                    max_new_tokens=max_new_tokens or task.max_new_tokens,
                    temperature=temperature,
                    stop=task.stop,
                    seed=seed,
                )
            with bar.part(0.1):
                scored.append(score(drawn, task, part))
    return summarize(scored, policy.name, task, samples, time.perf_counter() - started, examples)


def summarize(
    scored: list[Rollouts], model: str, task: Task, samples: int, seconds: float, examples: int = 8
) -> Report:
    """The report over scored rollouts; each problem has `samples` rows, one after another."""
    completions = [text for r in scored for text in r.completions]
    scores = [s for r in scored for s in r.scores or []]
    rewards = np.array([s.reward for s in scores]).reshape(-1, samples).mean(1)
    rights = np.array([s.reward >= 1.0 for s in scores]).reshape(-1, samples)
    lengths = np.array([n for r in scored for n in r.lengths.tolist()])
    truncated = np.array([t for r in scored for t in r.truncated.tolist()])
    answers = [canonical(task.verifier, s.extracted) for s in scores]
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= samples]
    counts = rights.sum(1)
    per_k = {k: np.array([pass_at_k(samples, int(c), k) for c in counts]) for k in ks}
    votes = {
        k: [
            maj_at_k(answers[i * samples : (i + 1) * samples], list(map(bool, rights[i])), k)
            for i in range(len(rights))
        ]
        for k in ks
    }
    well_formed = [task.format(text, None).reward for text in completions] if task.format else []
    seen = [task.behaviours(text) for text in completions] if task.behaviours else []
    rows = [
        {"prompt": prompt, "completion": text, "reward": s.reward, "reason": s.reason}
        for r in scored
        for prompt, text, s in zip(r.prompts, r.completions, r.scores or [], strict=True)
    ]
    return Report(
        model=model,
        task=task.name,
        problems=len(rights),
        samples=samples,
        pass_at_k={str(k): float(v.mean()) for k, v in per_k.items()},
        maj_at_k={str(k): float(np.mean(v)) for k, v in votes.items()},
        interval={f"pass_at_{k}": list(bootstrap_interval(v)) for k, v in per_k.items()}
        | {"mean_reward": list(bootstrap_interval(rewards))},
        mean_length=float(lengths.mean()),
        truncated=float(truncated.mean()),
        well_formed=float(np.mean(well_formed)) if well_formed else float("nan"),
        seconds=seconds,
        tokens_per_second=float(lengths.sum() / seconds),
        behaviours={key: float(np.mean([b[key] for b in seen])) for key in (seen[0] if seen else {})},
        per_problem=[float(x) for x in rights.mean(1)],
        mean_reward=float(rewards.mean()),
        rewards_per_problem=[float(x) for x in rewards],
        examples=rows[:: max(1, len(rows) // examples)][:examples] if examples else [],
    )
