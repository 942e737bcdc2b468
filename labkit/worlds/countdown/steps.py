r"""What an exact checker of countdown says about each step of an answer.

A step is a line (`labkit.verifiers.steps`). In a countdown trace that is one attempt with its verdict; the last step
closes the thought and answers:

    <think>1+6=7*5=35 no
    6*5=30*1=30 yes
    </think><answer>6*5*1</answer>
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from labkit.verifiers.steps import steps
from labkit.worlds.countdown import verifier as countdown
from labkit.worlds.countdown.parse import read_line

__all__ = ["right_steps", "step_right"]


def right_steps(completion: str, reference: Any) -> list[bool]:
    r"""For each step of a countdown answer, whether it is right: the marks of a perfect annotator.

    An attempt is right when `step_right` says so. The last step is the answer, so it is right when the answer is right.
    `reference` is that of `countdown`; a malformed one raises UserError.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> right_steps("<think>1+6=7*5=35 no\n6*5=31*1=31 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle)
    [True, False, True, True]
    """
    score = countdown.verify(completion, reference)
    numbers, target = Counter(reference["numbers"]), reference["target"]
    return [step_right(line, numbers, target) for line in steps(completion)[:-1]] + [score.reward == 1.0]


def step_right(line: str, numbers: Counter[int], target: int) -> bool:
    r"""Whether every equation of an attempt holds, its numbers are those of the problem, and its verdict is right.

    A miss that is called a miss is right: this is how a search goes on. A line that ends in "wait" withdraws what it
    says, so it claims nothing that could be wrong.

    >>> numbers = Counter([5, 6, 1])
    >>> [step_right(f"{x}\n", numbers, 30) for x in ("1+6=7*5=35 no", "1+6=7*5=35 yes", "6*5=30*1=30 no", "6*5=30 yes")]
    [True, False, False, False]
    >>> step_right("6*5=31 wait\n", numbers, 30), step_right("hmm\n", numbers, 30)
    (True, False)
    """
    attempt = read_line(line.rstrip("\n").removeprefix("<think>"))
    if attempt is None:
        return False
    if attempt.verdict == "wait":
        return True
    hit = attempt.result == target
    return attempt.holds and attempt.numbers == numbers and hit == (attempt.verdict == "yes")
