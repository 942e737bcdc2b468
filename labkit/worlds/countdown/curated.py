r"""Curated traces: a careful author of the tiny world writes them, for a cold start.

This author works like the authors of the corpus, but without their faults: the author tries the chains in order, never
slips, never gives up, and stops at the first chain that hits. Only problems of the training split are used, and only
traces of at most `most` attempts: a cold start shall be readable, it need not cover everything.
"""

import random

from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown.corpus import cached_chains

Row = dict[str, str]


def curated_trace(numbers: tuple[int, ...], target: int) -> str:
    r"""The careful author's answer to the problem with these numbers, in the order of the prompt, and this target.

    >>> print(curated_trace((5, 6, 1), 29))
    <think>5+6=11+1=12 no
    5+6=11-1=10 no
    5+6=11*1=11 no
    5*6=30+1=31 no
    5*6=30-1=29 yes
    </think><answer>5*6-1</answer>
    """
    text = "<think>"
    for chain in cached_chains(numbers):
        if chain.value == target:
            return f"{text}{chain.trace()} yes\n</think><answer>{chain.expression()}</answer>"
        text += f"{chain.trace()} no\n"
    raise ValueError(f"no chain over {numbers} makes {target}")


def curated_rows(count: int, seed: int = 0, numbers: int = 3, most: int = 12) -> list[Row]:
    """`count` different problems of the training split with their traces, as rows `{"prompt", "completion"}`.

    The same seed gives the same rows. Raises ValueError where the game has fewer such problems.
    """
    rng = random.Random(f"curated/{numbers}/{seed}")
    rows: dict[str, Row] = {}
    for _ in range(50 * count):
        if len(rows) == count:
            break
        problem = countdown.draw(numbers, "train", rng)
        trace = curated_trace(tuple(problem.reference["numbers"]), problem.reference["target"])
        if trace.count("\n") <= most:
            rows.setdefault(problem.prompt, {"prompt": problem.prompt, "completion": trace})
    if len(rows) < count:
        raise ValueError(f"countdown with {numbers} numbers has no {count} problems of at most {most} attempts")
    return list(rows.values())
