r"""The steps of an answer, and what an exact checker of the tiny world says about each.

A step is a line. In a countdown trace that is one attempt with its verdict; the last step closes the thought and
answers:

    <think>1+6=7*5=35 no
    6*5=30*1=30 yes
    </think><answer>6*5*1</answer>
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from labkit.worlds.countdown import verifier as countdown

__all__ = ["right_steps", "step_right", "steps"]

_LINE = re.compile(r"(?:<think>)?([0-9]{1,6})((?:[-+*/][0-9]{1,6}=[0-9]{1,6})+) (no|yes|wait)", re.ASCII)
_PART = re.compile(r"([-+*/])([0-9]+)=([0-9]+)", re.ASCII)


def steps(completion: str) -> list[str]:
    r"""A text cut behind each of its line breaks; joined, the pieces are the text. An empty text is one empty step.

    >>> steps("<think>1+6=7*5=35 no\n</think><answer>?</answer>")
    ['<think>1+6=7*5=35 no\n', '</think><answer>?</answer>']
    """
    return re.findall(r"[^\n]*\n|[^\n]+", completion) or [""]


def right_steps(completion: str, reference: Any) -> list[bool]:
    r"""For each step of a countdown answer, whether it is right: what a perfect annotator would mark.

    An attempt is right when `step_right` says so; the last step is the answer's, so it is right when the answer is.
    `reference` is that of `countdown`; a malformed one raises UserError.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> right_steps("<think>1+6=7*5=35 no\n6*5=31*1=31 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle)
    [True, False, True, True]
    """
    score = countdown.verify(completion, reference)
    numbers, target = Counter(reference["numbers"]), reference["target"]
    return [step_right(line, numbers, target) for line in steps(completion)[:-1]] + [score.reward == 1.0]


def step_right(line: str, numbers: Counter[int], target: int) -> bool:
    r"""Whether every equation of an attempt holds, the numbers are the problem's, and the verdict is the right one.

    A miss that is called a miss is right: it is how a search goes on. A line ended by "wait" withdraws what it says,
    so that nothing in it is claimed.

    >>> numbers = Counter([5, 6, 1])
    >>> [step_right(f"{x}\n", numbers, 30) for x in ("1+6=7*5=35 no", "1+6=7*5=35 yes", "6*5=30*1=30 no", "6*5=30 yes")]
    [True, False, False, False]
    >>> step_right("6*5=31 wait\n", numbers, 30), step_right("hmm\n", numbers, 30)
    (True, False)
    """
    shape = _LINE.fullmatch(line.rstrip("\n"))
    if shape is None:
        return False
    if shape[3] == "wait":
        return True
    value, used = int(shape[1]), Counter([int(shape[1])])
    for operator, text, said in _PART.findall(shape[2]):
        operand = int(text)
        used[operand] += 1
        # a/b=c holds when c*b=a: whole numbers alone, no division by zero.
        left, right = (int(said) * operand, value) if operator == "/" else (_apply(value, operator, operand), int(said))
        if left != right or (operator == "/" and operand == 0):
            return False
        value = int(said)
    return used == numbers and (value == target) == (shape[3] == "yes")


def _apply(left: int, operator: str, right: int) -> int:
    return left + right if operator == "+" else left - right if operator == "-" else left * right
