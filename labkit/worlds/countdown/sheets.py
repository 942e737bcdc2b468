"""Sheets of behaviour: what each answer did and what it got, as arrays [problems, samples], and tables of them.

The unit of every interval is the problem, for samples of one problem are not independent.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Shaped

import labkit.sampling
from labkit.models import Policy
from labkit.rollouts import Rollouts, score
from labkit.tables import ShownTable, show_table, with_interval
from labkit.tasks import Problem, Task
from labkit.worlds.countdown.behaviours import behaviours
from labkit.worlds.countdown.corpus import cached_chains

__all__ = ["KINDS", "NAMES", "by_kind", "count_inside", "estimate", "inside", "kind", "make_sheet", "measure"]

KINDS = ("answers at once", "searches, gives up", "searches until a yes", "cut off")
NAMES = {"right": "right", "length": "length (tokens)", "thinks": "thinks", "attempts": "attempts"}
NAMES |= {"backtracks": "backtracks", "gave_up": "gives up", "cut off": "cut off at the limit"}
Sheet = dict[str, Shaped[np.ndarray, "problems samples"]]

_COMPUTE: dict[str, Callable[[int, int], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def kind(text: str, truncated: bool = False) -> str:
    """One of `KINDS`.

    >>> kind("<answer>6*5*1</answer>"), kind("<think>5+6=11*1=11 no\\n</think><answer>?</answer>")
    ('answers at once', 'searches, gives up')
    """
    seen = behaviours(text)
    if truncated:
        return KINDS[3]
    return KINDS[0] if not seen["thinks"] else KINDS[2] if seen["verified"] else KINDS[1]


def make_sheet(
    texts: Sequence[str], rewards: Sequence[float], lengths: Sequence[int], cut: Sequence[bool], samples: int
) -> Sheet:
    """What each text did and what it got; texts of one problem stand together, `samples` of each."""
    seen = [behaviours(text) for text in texts]
    columns: dict[str, list] = {key: [s[key] for s in seen] for key in seen[0]}
    columns |= {"length": list(lengths), "cut off": list(cut), "right": [reward >= 1 for reward in rewards]}
    columns["kind"] = [kind(text, bool(c)) for text, c in zip(texts, cut, strict=True)]
    return {key: np.array(values).reshape(-1, samples) for key, values in columns.items()}


def measure(
    policy: Policy, task: Task, problems: Sequence[Problem], samples: int, opening: str = "", seed: int = 7
) -> tuple[Rollouts, Sheet]:
    """Samples of a policy, scored, and their sheet; `opening` is put behind each prompt and counts as the answer's."""
    prompts = [problem.prompt + opening for problem in problems]
    drawn = labkit.sampling.sample(policy, prompts, n=samples, max_new_tokens=task.max_new_tokens, seed=seed)
    drawn.completions = [opening + text for text in drawn.completions]
    drawn = score(drawn, task, list(problems))
    lengths, cut = drawn.lengths.tolist(), drawn.truncated.tolist()
    return drawn, make_sheet(drawn.completions, drawn.rewards.tolist(), lengths, cut, samples)


def estimate(total: Shaped[np.ndarray, "problems samples"], per: Shaped[np.ndarray, "..."] | None = None) -> str:
    """sum(total) / sum(per), or the mean, as text with a 95 % bootstrap interval over problems.

    >>> estimate(np.array([[1, 1], [0, 0], [1, 1]]))
    '0.67 [0.00, 1.00]'
    """
    over = np.ones(total.shape) if per is None else per
    sums, counts = total.sum(1), over.sum(1)
    pick = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    draws = counts[pick].sum(1)
    if not draws.all():
        return "too few"
    low, high = np.quantile(sums[pick].sum(1) / draws, [0.025, 0.975])
    return with_interval(float(sums.sum() / counts.sum()), [float(low), float(high)], digits=2)


def by_kind(sheet: Sheet, title: str) -> ShownTable:
    """Share, accuracy and length of each kind of answer."""
    rows = []
    for name in KINDS:
        here = sheet["kind"] == name
        if here.any():
            accuracy = estimate(sheet["right"] & here, here)
            rows.append([name, f"{here.mean():.2f}", accuracy, f"{sheet['length'][here].mean():.0f}"])
    rows.append(["**all**", "1.00", estimate(sheet["right"]), f"{sheet['length'].mean():.0f}"])
    return show_table(["what it does", "share", "accuracy [95 %]", "tokens"], rows, title)


def inside(text: str, problem: Problem) -> dict[str, int]:
    """What happens line by line in a thought: slips, how many are noticed, verdicts, and the order of the attempts."""
    thought = text.partition("<think>")[2].partition("</think>")[0]
    lines = [line.rsplit(" ", 1) for line in thought.splitlines() if line.endswith((" no", " yes", " wait"))]
    slips = [word for chain, word in lines if _slipped(chain)]
    judged = [(chain, word) for chain, word in lines if word != "wait"]
    target = str(problem.reference["target"])
    right = [(chain.rpartition("=")[2] == target) == (word == "yes") for chain, word in judged]
    order = [chain.trace() for chain in cached_chains(tuple(problem.reference["numbers"]))]
    at = [order.index(chain) if chain in order else -9 for chain, _ in judged]
    found = {"lines": len(lines), "slips": len(slips), "noticed": slips.count("wait"), "judged": len(judged)}
    found |= {"judged right": sum(right), "waits": len(lines) - len(judged)}
    return found | {"pairs": max(len(at) - 1, 0), "in order": sum(b == a + 1 for a, b in pairwise(at))}


def count_inside(sheet: Sheet, texts: Sequence[str], problems: Sequence[Problem]) -> None:
    """Adds the counts of `inside`, and `misses`: attempts that failed, whatever came after them."""
    counts = [inside(*pair) for pair in zip(texts, problems, strict=True)]
    sheet |= {key: np.array([c[key] for c in counts]).reshape(sheet["right"].shape) for key in counts[0]}
    sheet["misses"] = sheet["backtracks"] + sheet["gave_up"]


def _slipped(chain: str) -> bool:
    found = re.findall(r"(\d+)([-+*/])(\d+)=(?=(\d+))", chain)
    return any(int(b) and _COMPUTE[op](int(a), int(b)) != int(c) for a, op, b, c in found)
